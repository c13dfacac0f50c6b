"""Source is read whatever else goes on in the process."""

import ast
import gc

import pytest

from dask_flows.flows.syntax import parsed, unspoiled

SOURCE = "\n".join(f"x{n} = [a + {n} for a in range({n})]" for n in range(200))


class Litter:
    """Garbage that parses when it is collected, as the log of a lost task's traceback does."""

    def __init__(self) -> None:
        self.me = self

    def __del__(self) -> None:
        ast.parse("((1 + 2) * 3)")


def test_a_finalizer_that_parses_spoils_nothing() -> None:
    """Some CPythons take it for damage (python/cpython#106905): an innocent flow failed of it."""
    before = gc.get_threshold()
    gc.collect()
    litter = [Litter() for _ in range(10)]
    del litter
    gc.set_threshold(50)
    try:
        tree = parsed(SOURCE)
    finally:
        gc.set_threshold(*before)

    assert len(tree.body) == 200


def test_it_is_asked_again_and_not_for_ever() -> None:
    """On Pythons without the fault, too."""
    answers: list[object] = [SystemError("depth"), SystemError("depth"), 3]

    def call() -> object:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert unspoiled(call) == 3
    answers[:] = [SystemError("depth")] * 3
    with pytest.raises(SystemError):
        unspoiled(call)


def test_what_is_wrong_is_said() -> None:
    """It is the flow's, and names its line."""
    with pytest.raises(SyntaxError):
        parsed("def x(:")
