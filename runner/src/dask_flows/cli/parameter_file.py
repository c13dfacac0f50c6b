"""Read a file of parameters, JSON or YAML, as a person means it.

YAML's plain values are read as ``-p`` reads its own: JSON, else text. So ``no``, ``2026-01-31`` and ``01234``
stay what they look like, and only ``true``, ``null`` and numbers are something else.
"""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dask_flows.errors import UsageError

if TYPE_CHECKING:
    import yaml

_STR, _MAP, _MERGE = (f"tag:yaml.org,2002:{name}" for name in ("str", "map", "merge"))
_PLAIN_TAGS = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"null|Null|NULL|~|", ["n", "N", "~", ""]),
    ("int", r"-?(0|[1-9][0-9]*)", "-0123456789"),
    ("float", r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?", "-0123456789"),
    ("merge", r"<<", "<"),
)


def read_parameters(file: Path) -> dict[str, Any]:
    """Return the file's mapping; raises UsageError that names the file, and the line if it can."""
    where = str(file)
    try:
        text = file.read_text(encoding="utf-8-sig")
        data = _parse(text, is_json=file.suffix.lower() == ".json")
        json.dumps(data, allow_nan=False)
    except UnicodeDecodeError:
        raise UsageError(
            "the parameters are not text", where=where, do="give JSON or YAML in UTF-8"
        ) from None
    except OSError as error:
        raise UsageError(
            f"cannot read the parameters: {error.strerror or error}",
            where=where,
            do="check the path",
        ) from None
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise UsageError(
            f"cannot read the parameters: {' '.join(str(error).split())}",
            where=where,
            do="correct the file: a mapping in JSON or YAML",
        ) from None
    if not isinstance(data, dict):
        raise UsageError("the parameters are no mapping", where=where, do="write name: value lines")
    return data


def parse_json(text: str) -> Any:
    """Read strict JSON: no NaN, no number that is too large, no name twice. Raises ValueError."""
    return json.loads(
        text, parse_constant=_refuse, parse_float=_finite, object_pairs_hook=_each_name_once
    )


def _parse(text: str, *, is_json: bool) -> Any:
    if is_json or text.lstrip().startswith("{"):
        try:
            return parse_json(text)
        except ValueError:
            if is_json:
                raise
    import yaml

    try:
        return yaml.load(text, Loader=_loader())  # noqa: S506 - a SafeLoader, only stricter
    except yaml.YAMLError as error:
        raise ValueError(error) from None


def _loader() -> "type[yaml.SafeLoader]":
    import yaml

    class Loader(yaml.SafeLoader):
        """Knows the words of JSON only, and refuses a name that comes twice."""

        yaml_implicit_resolvers = {}  # noqa: RUF012 - yaml's own way

    for name, pattern, first in _PLAIN_TAGS:
        tag = f"tag:yaml.org,2002:{name}"
        Loader.add_implicit_resolver(tag, re.compile(f"^(?:{pattern})$"), list(first))
    Loader.add_constructor(_MAP, _mapping)
    Loader.add_constructor("tag:yaml.org,2002:float", _float)
    Loader.add_constructor("tag:yaml.org,2002:int", _int)
    return Loader


def _mapping(loader: "yaml.SafeLoader", node: "yaml.MappingNode") -> dict[str, Any]:
    import yaml

    own = [key for key, _ in node.value if key.tag != _MERGE]
    for key in own:
        if isinstance(key, yaml.ScalarNode):
            key.tag = _STR  # names are text, as in JSON: also 1, true and null
    _each_name_once([(loader.construct_object(key), None) for key in own])
    loader.flatten_mapping(node)
    return {
        str(loader.construct_object(key, deep=True)): loader.construct_object(value, deep=True)
        for key, value in node.value
    }


def _float(loader: "yaml.SafeLoader", node: Any) -> float:
    return _finite(str(loader.construct_scalar(node)))


def _int(loader: "yaml.SafeLoader", node: Any) -> int:
    return int(str(loader.construct_scalar(node)))


def _each_name_once(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    names: dict[Any, Any] = {}
    for name, value in pairs:
        if not isinstance(name, str):
            raise ValueError(f"{name!r} is no name")  # noqa: TRY004 - one error for all of it
        if name in names:
            raise ValueError(f"{name!r} is there twice")
        names[name] = value
    return names


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"{text} is too large")
    return number


def _refuse(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")
