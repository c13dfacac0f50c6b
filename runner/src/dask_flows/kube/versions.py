"""Which of two copies is newer: resourceVersions, as far as they can be compared.

Since Kubernetes 1.35 they are documented to be whole numbers that grow. Where one is not, nobody can
tell, and what arrives later is taken for newer.
"""

from typing import Any

Version = int | None  # None: no number
MOST_DIGITS = 32  # etcd counts in 64 bits; what is longer is no number of its


def parse(text: str) -> Version:
    """Return a resourceVersion as a number, None if it is not one."""
    number = text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS
    return int(text) if number else None


def passes(new: Version, old: Version) -> bool:
    """Whether ``new`` is newer than ``old``, or nobody can tell."""
    return new is None or old is None or new > old


def reaches(new: Version, old: Version) -> bool:
    """Whether ``new`` is at least as new as ``old``, or nobody can tell."""
    return new is None or old is None or new >= old


def version_of(obj: Any) -> str:
    """Return an object's resourceVersion, an empty text if it has none."""
    return _text(obj, "resourceVersion")


def name_of(obj: Any) -> str:
    """Return an object's name, an empty text if it has none."""
    return _text(obj, "name")


def _text(obj: Any, key: str) -> str:
    meta = obj.get("metadata") if isinstance(obj, dict) else None
    value = meta.get(key) if isinstance(meta, dict) else None
    return value if isinstance(value, str) else ""
