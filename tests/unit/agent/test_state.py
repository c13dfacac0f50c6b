"""The table of phases, and that nothing leaves it."""

from datetime import timedelta
from typing import Any

import pytest

from dask_flows.agent.observed import Observed
from dask_flows.agent.recorder import ForbiddenTransition
from dask_flows.agent.state import TRANSITIONS, Clean, Wait, decide
from dask_flows.agent.views import RunView
from dask_flows.deadline import timestamp
from dask_flows.flowrun import TERMINAL
from dask_flows.kube.resources import FLOWRUNS
from fakes.clock import START
from fakes.stage import playing
from samples import flow_run_data

PHASES = list(TRANSITIONS)


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
@pytest.mark.parametrize(
    ("old", "new"),
    [(old, new) for old in PHASES for new in PHASES if old != new and new not in TRANSITIONS[old]],
)
async def test_a_transition_outside_the_table_is_refused(old: str, new: str) -> None:
    """By the one place that writes status."""
    async with playing() as stage:
        await stage.kill_agent()
        stage.submit()
        obj = stage.api.change(FLOWRUNS, "diamond", {"status": {"phase": old}})
        run = RunView.of(obj).run

        with pytest.raises(ForbiddenTransition):
            await stage.agent.recorder.write(run, {"phase": new})
        assert stage.phase() == old


@pytest.mark.looptime
async def test_nothing_but_conditions_changes_after_the_end() -> None:
    """Not even the message."""
    async with playing() as stage:
        await stage.kill_agent()
        stage.submit()
        obj = stage.api.change(FLOWRUNS, "diamond", {"status": {"phase": "Failed"}})

        with pytest.raises(ForbiddenTransition):
            await stage.agent.recorder.write(RunView.of(obj).run, {"message": "better"})
