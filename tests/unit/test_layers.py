"""Rules of what several set for the whole process: the last one holds, and nothing stays."""

import itertools
import os
import threading
from collections.abc import Callable
from typing import Any

import dask
import pytest

from dask_flows import exporting, layers
from dask_flows.clusters.settings import with_settings
from dask_flows.config import Environment
from dask_flows.errors import UsageError
from dask_flows.layers import ABSENT, UNCHANGED, Layers

VARIABLE = "DASK_SCHEDULER_ADDRESS"


def over(values: dict[str, Any]) -> Layers:
    """Return layers over a mapping."""

    def write(name: str, value: Any) -> None:
        if value is ABSENT:
            values.pop(name, None)
        else:
            values[name] = value

    return Layers(lambda name: values.get(name, ABSENT), write)


def elsewhere(call: Callable[[], Any]) -> tuple[threading.Thread, Any]:
    """Return a thread and what the call returned in it."""
    kept: list[Any] = []
    thread = threading.Thread(target=lambda: kept.append(call()))
    thread.start()
    thread.join()
    return thread, kept[0]


@pytest.mark.parametrize("before", [{}, {"x": 0}])
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_layers_end_in_any_order(before: dict[str, Any], order: tuple[int, ...]) -> None:
    """What was added last of those that are left holds; in the end it is as it was."""
    values = dict(before)
    stack = over(values)
    removers = {number: stack.add({"x": number, f"own{number}": True}) for number in (0, 1, 2)}

    for number in order:
        assert values["x"] == max(removers)
        assert values[f"own{number}"] is True
        removers.pop(number)()

    assert values == before


def test_what_is_put_back_may_be_changed_by_others() -> None:
    """UNCHANGED sets nothing, and restores whatever somebody has made of it."""
    values = {"x": 1}
    stack = over(values)
    first, second = stack.add({"x": UNCHANGED}), stack.add({"x": 2})
    assert values == {"x": 2}
    second()
    assert values == {"x": 1}
    values["x"] = 3
    first()
    assert values == {"x": 1}


def test_removing_twice_is_harmless_and_repairs() -> None:
    """One that was withdrawn still closes what changes the value; the others' holds afterwards."""
    values: dict[str, Any] = {}
    stack = over(values)
    thread, remove = elsewhere(lambda: stack.add({"x": "left"}))
    stack.withdraw(thread)
    assert values == {}

    last = stack.add({"x": "next"})
    values.pop("x")
    remove()
    assert values == {"x": "next"}
    last()
    remove()
    assert values == {}


def test_what_this_process_exports_is_not_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the thread that exports it, for what is inside, and for a value of the user's own."""
    monkeypatch.setenv(VARIABLE, "tcp://given:1")

    def nested() -> tuple[Any, str]:
        export = exporting.exported({VARIABLE: "tcp://ours:1"})
        export.__enter__()
        return export, Environment.read().scheduler_address

    _, (export, seen) = elsewhere(nested)

    assert seen == "tcp://ours:1"
    assert Environment.read().scheduler_address == "tcp://given:1"
    assert Environment.read().variables[VARIABLE] == "tcp://given:1"
    assert Environment.read(inside=True).scheduler_address == "tcp://ours:1"
    monkeypatch.setenv(VARIABLE, "tcp://changed:1")
    assert Environment.read().scheduler_address == "tcp://changed:1"
    export.__exit__(None, None, None)
    assert os.environ[VARIABLE] == "tcp://given:1"


def test_settings_of_dask_leave_no_trace() -> None:
    """A section that was made for them goes with them; the others' stays."""
    name = "dask-flows-of-test"
    with dask.config.set({"scheduler-address": None}):
        first = with_settings({f"{name}.deep.tag": 1, "scheduler-address": "a"})
        second = with_settings({f"{name}.deep.tag": 2, "scheduler-address": "b"})
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert dask.config.get(f"{name}.deep.tag") == 2
        assert dask.config.get("scheduler-address") == "b"
        second.__exit__(None, None, None)
        assert name not in dask.config.config
        assert dask.config.get("scheduler-address") is None


def test_a_process_has_one_run_at_a_time() -> None:
    """The second is refused, from any thread; afterwards there is room again."""

    def refused() -> str:
        with pytest.raises(UsageError) as caught, layers.only_run():
            pass
        return str(caught.value)

    with layers.only_run():
        assert "another run of this process is on: wait for it" in refused()
        assert elsewhere(refused)[1] == refused()
    with pytest.raises(ZeroDivisionError), layers.only_run():
        _ = 1 / 0
    with layers.only_run():
        pass


def test_a_forked_process_is_on_its_own() -> None:
    """It may run, keeps what was set, and takes nothing back."""
    values: dict[str, Any] = {}
    stack = over(values)
    remove = stack.add({"x": 1})
    with layers.only_run():
        child = os.fork()
        if child == 0:
            code = 1
            try:
                with layers.only_run():
                    remove()
                    code = 0 if values == {"x": 1} else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    remove()
    assert values == {}
