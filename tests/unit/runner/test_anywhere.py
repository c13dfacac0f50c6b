"""Rule of stopping: wherever a signal lands, the run ends with one outcome, one line and one exit code."""

import io
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from dis import opname
from functools import partial
from pathlib import Path
from types import CodeType, FrameType, SimpleNamespace
from typing import Any

import pytest

import dask_flows
from dask_flows.clusters.base import Wanted
from dask_flows.config import Environment
from dask_flows.deadline import SystemClock
from dask_flows.run import Request, host, run, runner
from dask_flows.run.cause import Stopped
from dask_flows.run.stopping import Stopper
from dask_flows.ui import make_ui

PACKAGE = str(Path(dask_flows.__file__).parent)
FLOW = """
def good():
    try:
        return 1
    finally:
        print("cleaned")

def bad():
    try:
        raise ValueError("no such day")
    except BaseException as error:
        raise RuntimeError("worse") from error
"""
CODES = {"good": 0, "bad": 1}
EVERY = {"good": 4, "bad": 16}  # places outside of what stops runs: not all, to be quick
ALL = ("stopping.py", "runner.py", "source.py")  # but in these files, every one


class Injector:
    """Counts the places in our code where Python looks for signals, and sends one at one of them.

    It looks when a function begins, after each call, and when a loop goes round.
    """

    LOOKS = frozenset({"RESUME", "CALL", "CALL_FUNCTION_EX", "JUMP_BACKWARD"})

    def __init__(self, at: int | None) -> None:
        self.passed, self._at = 0, at
        self.places: list[str] = []
        self.sent = False
        self._last: dict[FrameType, str] = {}
        self._codes: dict[CodeType, bytes] = {}

    def __call__(self, frame: FrameType, event: str, _: Any) -> Any:
        file = frame.f_code.co_filename
        if not file.startswith(PACKAGE) and not file.endswith(("contextlib.py", "flow.py")):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            code = self._codes.setdefault(frame.f_code, frame.f_code.co_code)
            last = self._last.get(frame)
            self._last[frame] = opname[code[frame.f_lasti]]
            if last in self.LOOKS:
                self.look(file)
        elif event == "return":
            self._last.pop(frame, None)
        return self

    def look(self, file: str) -> None:
        """Let the signal arrive if this is the place."""
        self.passed += 1
        self.places.append(file)
        if self.passed == self._at:
            self.sent = True
            self._last.clear()
            signal.raise_signal(signal.SIGTERM)


@dataclass
class Outer:
    """Stands for the command's handlers, which end the process at once."""

    heard: list[int] = field(default_factory=list)

    def __call__(self, number: int, _: Any) -> None:
        self.heard.append(number)


class Session:
    """A cluster that has nothing to say."""

    attached = SimpleNamespace(address="tcp://nowhere:1")
    client = SimpleNamespace()
    lookout = SimpleNamespace(news=list, answers=False, hearsay=None)

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *_, **__: None


def alone(call: Callable[[], int]) -> Iterator[int]:
    """Call within a generator, which has its own notion of the exception being handled.

    One raised by tracing while an ``except`` block ends would stay the context of all later ones.
    """
    yield call()


@pytest.fixture
def passing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., tuple[Injector, int, str, Outer, list[str]]]]:
    """Run a flow without a cluster, with a signal at the given place."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flow.py").write_text(FLOW)
    closed: list[str] = []

    @contextmanager
    def attach(wanted: Wanted, **_: Any) -> Iterator[Session]:
        closed.append("opened")
        try:
            yield Session(wanted)
        finally:
            closed.append("closed")

    monkeypatch.setattr(runner, "attach", attach)
    forced: list[int] = []
    monkeypatch.setattr(host, "Stopper", partial(Stopper, exit_now=forced.append))
    monkeypatch.setattr(host.Host, "alone", False)  # the children here are the tests' own
    # A signal between an entry and the ``try`` that takes it back leaves it: to this test, not to others.
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    outer = Outer()
    before = {number: signal.signal(number, outer) for number in (signal.SIGTERM, signal.SIGINT)}
    tracing = sys.gettrace()

    def make(name: str, at: int | None) -> tuple[Injector, int, str, Outer, list[str]]:
        written = io.StringIO()
        clock, injector = SystemClock(), Injector(at)
        ui = make_ui("json", clock, color=False, stream=written)
        outer.heard.clear()
        closed.clear()
        sys.settrace(injector)
        try:
            code = next(
                alone(lambda: run(Request(flow=f"flow.py:{name}"), ui, Environment.read({}), clock))
            )
        finally:
            sys.settrace(tracing)
        assert not forced, f"ended by force at {at}: {written.getvalue()}"
        return injector, code, written.getvalue(), outer, closed

    yield make
    for number, handler in before.items():
        signal.signal(number, handler)
    sys.modules.pop("flow", None)


@pytest.mark.parametrize("name", ["good", "bad"])
def test_a_signal_may_land_anywhere(passing: Callable[..., Any], name: str) -> None:
    """Nothing gets out, the cluster is closed if it was there, and the code is that of the first cause."""
    passing(name, None)  # imports what is imported late
    reference, code, _, _, _ = passing(name, None)
    assert code == CODES[name]

    landed = dict.fromkeys(("stopped", "late", "outer"), 0)
    for at, file in enumerate(reference.places, 1):
        if at % EVERY[name] and not file.endswith(ALL):
            continue
        injector, code, text, outer, closed = passing(name, at)
        where = f"{at} of {reference.passed}: {text}"
        ends = [kind for kind in ("succeeded", "failure") if f'"event": "{kind}"' in text]
        cancelled = "interrupted by SIGTERM" in text
        assert len(ends) == 1, where
        assert text.count('"event": "failure"') + text.count('"event": "succeeded"') == 1, where
        assert closed in ([], ["opened", "closed"]), where
        assert Stopped.__name__ not in text, where
        if not injector.sent:
            continue  # it took a shorter way
        if outer.heard:
            landed["outer"] += 1
            assert code == CODES[name], where
        elif cancelled:
            landed["stopped"] += 1
            assert code == 143, where
        else:
            landed["late"] += 1
            assert code == (CODES[name] or 143), where

    assert sys.exc_info() == (None, None, None)
    assert all(landed.values()), landed
    assert landed["stopped"] > 50, landed
