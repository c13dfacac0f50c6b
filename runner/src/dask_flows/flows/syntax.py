"""Read Python source, whatever else the process is at."""

import ast
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
_TRIES = 3


def parsed(source: str | bytes) -> ast.Module:
    """Return a module's tree; raises SyntaxError, ValueError, RecursionError."""
    return unspoiled(lambda: ast.parse(source))


def unspoiled(call: Callable[[], T]) -> T:
    """Return what a call that parses returns, as the formatting of a traceback does, too.

    CPython before 3.11.8 counts the depth of all parsers of a process in one place: where garbage is
    collected in the middle and a finalizer parses (it logs a traceback), the outer one raises SystemError though
    nothing is wrong (python/cpython#106905). The garbage is gone then, and it is called again.
    """
    for _ in range(_TRIES - 1):
        try:
            return call()
        except SystemError:
            continue
    return call()
