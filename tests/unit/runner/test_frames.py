"""Rules of tracebacks: the user's lines, without the machinery, and never without a place."""

import importlib
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from dask.utils import parse_bytes

from dask_flows.flows.frames import format_failure, place_of


def raised(function: Callable[[], Any]) -> Exception:
    """Return what the function raises, with a traceback that begins at it."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - all kinds
        function()
    frames: Any = caught.value.__traceback__
    return caught.value.with_traceback(frames.tb_next)


def without_own(function: Callable[[], Any]) -> Exception:
    """Return what it raises, its own frame left out."""
    error = raised(function)
    frames: Any = error.__traceback__
    return error.with_traceback(frames.tb_next)


def in_dask() -> None:
    parse_bytes("no size")


def of_a_group() -> None:
    raise ExceptionGroup("both", [raised(in_dask), raised(own)])


def own() -> None:
    raise KeyError("own line")


def chained() -> None:
    try:
        in_dask()
    except ValueError as error:
        raise KeyError("own line") from error


def syntax() -> None:
    compile("x = = 1", "/flows/flow.py", "exec")


def imported(path: Any) -> Exception:
    """Return the SyntaxError of a module that the machinery imports by its name."""
    (path / "half_written.py").write_text("def main(:\n    pass\n")

    def imports() -> None:
        importlib.import_module("half_written")

    return without_own(imports)


@pytest.mark.parametrize(
    ("function", "says", "lacks"),
    [
        (own, ["in own", "own line"], []),
        (in_dask, ["in in_dask", "no size"], ["dask/utils.py"]),
        (chained, ["in in_dask", "in chained", "direct cause"], ["dask/utils.py"]),
        (of_a_group, ["in of_a_group", "in in_dask", "in own", "2 sub-exceptions"],
         ["dask/utils.py"]),
        (syntax, ['File "/flows/flow.py", line 1', "x = = 1", "SyntaxError"], ["<frozen"]),
    ],
)  # fmt: skip
def test_a_failure_shows_the_users_frames_only(
    function: Callable[[], Any], says: list[str], lacks: list[str]
) -> None:
    """Causes and members of groups, too; with debug it is all there."""
    error = raised(function)
    text = format_failure(error, debug=False)

    assert [part for part in says if part not in text] == []
    assert [part for part in lacks if part in text] == []
    assert format_failure(error, debug=True) == "".join(traceback.format_exception(error)).rstrip()


def test_without_a_frame_of_the_user_the_last_ones_stay() -> None:
    """The last line refers to the traceback above, so there is one."""
    error = without_own(in_dask)

    assert "dask/utils.py" in format_failure(error, debug=False)
    assert place_of(error) == ""


def test_a_half_written_module_shows_its_own_place(tmp_path: Any, monkeypatch: Any) -> None:
    """And nothing of Python's imports."""
    monkeypatch.syspath_prepend(str(tmp_path))
    text = format_failure(imported(tmp_path), debug=False)

    assert f'File "{tmp_path}/half_written.py", line 1' in text
    assert "<frozen" not in text
    assert "importlib" not in text
