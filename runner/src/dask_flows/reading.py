"""Read untrusted YAML and JSON structures into typed values, with the path in every complaint."""

from collections.abc import Callable
from typing import Any, TypeVar

from dask_flows.errors import ConfigError

T = TypeVar("T")


class Reader:
    """Take typed fields out of a mapping; ``done()`` refuses what nobody asked for."""

    def __init__(self, data: Any, path: str) -> None:
        if not isinstance(data, dict):
            raise ConfigError(f"{path or 'the file'} is {_kind(data)}, not a mapping")
        self._data: dict[str, Any] = dict(data)
        self.path = path

    def _at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def get(self, key: str, kind: type[T], default: T | None = None) -> T:
        """Take a field of this type; raises ConfigError if it is missing without default."""
        value = self._data.pop(key, None)
        if value is None:
            if default is None:
                raise ConfigError(f"{self._at(key)} is missing", do=f"set it to a {kind.__name__}")
            return default
        return self._check(key, value, kind)

    def maybe(self, key: str, kind: type[T]) -> T | None:
        """Take a field of this type, or None if it is absent or null."""
        value = self._data.pop(key, None)
        return None if value is None else self._check(key, value, kind)

    def items(self, key: str, kind: type[T]) -> list[T]:
        """Take a list of fields of this type, an empty one if it is absent or null."""
        found: list[Any] = self.get(key, list, [])
        return [self._check(f"{key}[{n}]", value, kind) for n, value in enumerate(found)]

    def texts(self, key: str) -> dict[str, str]:
        """Take a mapping of texts, an empty one if it is absent or null."""
        found: dict[str, Any] = self.get(key, dict, {})
        return {name: self._check(f"{key}.{name}", text, str) for name, text in found.items()}

    def reader(self, key: str) -> "Reader":
        """Take a nested mapping; an absent one reads as empty."""
        value = self._data.pop(key, None)
        return Reader({} if value is None else value, self._at(key))

    def whole(self, key: str, read: Callable[["Reader"], T]) -> T:
        """Return what ``read`` makes of a section; fields that it leaves unread are refused."""
        section = self.reader(key)
        value = read(section)
        section.done()
        return value

    def left(self) -> list[str]:
        """Return the names of the fields that nobody has taken yet."""
        return list(self._data)

    def maybe_whole(self, key: str, read: Callable[["Reader"], T]) -> T | None:
        """Do the same with a section that may be missing."""
        section = self.maybe(key, dict)
        if section is None:
            return None
        reader = Reader(section, self._at(key))
        value = read(reader)
        reader.done()
        return value

    def done(self) -> None:
        """Raise ConfigError if unknown fields are left."""
        if self._data:
            names = ", ".join(sorted(self._at(key) for key in self._data))
            raise ConfigError(f"unknown field {names}", do="remove it, or upgrade this program")

    def _check(self, key: str, value: Any, kind: type[T]) -> T:
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise ConfigError(
                f"{self._at(key)} is {_kind(value)}", do=f"set it to a {kind.__name__}"
            )
        return value


def _kind(value: Any) -> str:
    return "null" if value is None else f"a {type(value).__name__}"
