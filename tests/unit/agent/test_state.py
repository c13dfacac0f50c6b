"""The table of phases, and that nothing leaves it."""

from datetime import timedelta
from itertools import product
from typing import Any

import pytest

from dask_flows.agent.acts import Clean, Wait
from dask_flows.agent.observed import Observed
from dask_flows.agent.recorder import ForbiddenTransition
from dask_flows.agent.state import TRANSITIONS, decide, refusal
from dask_flows.agent.views import RunView
from dask_flows.deadline import timestamp
from dask_flows.flowrun import TERMINAL
from dask_flows.kube.resources import FLOWRUNS
from fakes.clock import START
from fakes.stage import playing
from samples import flow_run_data

PHASES = list(TRANSITIONS)
CLEAN = [{"type": "CleanedUp", "status": "True"}]


def seen(phase: str, **status: Any) -> Observed:
    """Return a run in this phase, with nothing else to see."""
    data = {**flow_run_data(), "status": {"phase": phase, "attempt": 1, **status}}
    return Observed(RunView.of(data).run)


def test_terminal_phases_lead_nowhere() -> None:
    """What has ended has ended."""
    assert all(TRANSITIONS[phase] == frozenset() for phase in TERMINAL)


def test_every_phase_can_be_reached_and_every_run_can_end() -> None:
    """No phase is a trap, none is for show."""
    reachable = set().union(*TRANSITIONS.values())

    assert reachable == set(PHASES)
    assert all(TRANSITIONS[phase] & TERMINAL for phase in PHASES if phase not in TERMINAL)


@pytest.mark.parametrize("phase", sorted(TERMINAL))
def test_a_run_that_is_over_is_cleaned_up_and_then_left_alone(phase: str) -> None:
    """Whatever else is true of it."""
    done = [{"type": "CleanedUp", "status": "True"}]

    assert decide(seen(phase), START) == Clean()
    assert decide(seen(phase, conditions=done), START) == Wait()


def test_deciding_twice_gives_the_same_answer() -> None:
    """Decisions depend on what is seen and on nothing else."""
    starting = seen("Starting", startTime=timestamp(START))
    later = START + timedelta(seconds=5)

    assert decide(starting, later) == decide(starting, later)


@pytest.mark.looptime
async def test_the_recorder_keeps_to_the_table() -> None:
    """Every pair of phases: what the table has is written, everything else is refused."""
    async with playing() as stage:
        await stage.kill_agent()
        stage.submit()
        for old, new in product(PHASES, PHASES):
            obj = stage.api.change(FLOWRUNS, "diamond", {"status": {"phase": old}})
            stage.agent.cache.runs.assume(obj)
            written = True
            try:
                await stage.agent.recorder.write(RunView.of(obj).run, {"phase": new})
            except ForbiddenTransition:
                written = False

            # A terminal phase is not even written again.
            allowed = new in TRANSITIONS[old] or (old == new and old not in TERMINAL)
            assert written == allowed, f"{old} -> {new}"
            assert stage.phase() == (new if allowed else old)


@pytest.mark.parametrize(
    ("old", "patch", "why"),
    [
        ({"phase": "Pending"}, {"phase": "Starting", "attempt": 1}, ""),
        ({"phase": "Pending", "attempt": 1, "conditions": CLEAN}, {"phase": "Starting", "attempt": 2}, ""),
        ({"phase": "Pending", "attempt": 1}, {"phase": "Starting", "attempt": 2}, "is cleaned up"),
        ({"phase": "Pending", "attempt": 1, "conditions": CLEAN}, {"phase": "Starting", "attempt": 3}, "attempt 3"),
        ({"phase": "Running", "attempt": 1, "conditions": CLEAN}, {"attempt": 2}, "in phase Running"),
        ({"phase": "Starting", "attempt": 2}, {"attempt": 1}, "attempt 1"),
    ],
)  # fmt: skip
def test_an_attempt_follows_the_last_one_and_only_when_that_is_gone(
    old: dict[str, Any], patch: dict[str, Any], why: str
) -> None:
    """Whatever anybody decides: the write itself is refused."""
    said = refusal(RunView.of({**flow_run_data(), "status": old}).run, patch)

    assert why in said
    assert bool(why) == bool(said)


@pytest.mark.looptime
async def test_nothing_but_conditions_changes_after_the_end() -> None:
    """Not even the message."""
    async with playing() as stage:
        await stage.kill_agent()
        stage.submit()
        obj = stage.api.change(FLOWRUNS, "diamond", {"status": {"phase": "Failed"}})

        with pytest.raises(ForbiddenTransition):
            await stage.agent.recorder.write(RunView.of(obj).run, {"message": "better"})
