"""The page docs/reference/phases.md, drawn from the agent's own table of phases."""

import sys

from chart_values import ROOT

sys.path.insert(0, str(ROOT / "runner" / "src"))  # the tools run without an installed package

from dask_flows.agent.state import TRANSITIONS
from dask_flows.flowrun import (
    CANCELLED,
    FAILED,
    PENDING,
    RUNNING,
    STARTING,
    SUCCEEDED,
    SUSPENDED,
    TERMINAL,
)

PATH = ROOT / "docs" / "reference" / "phases.md"

_INTRO = """\
# Phases of a FlowRun

<!-- Written by tools/docs.py from TRANSITIONS in runner/src/dask_flows/agent/state.py: change it there. -->

The agent writes no other change of phase: the write itself is refused. Succeeded, Failed and Cancelled never change again.
`status.attempt` grows by one with each claim, and only with a claim; it never goes back. A second or later attempt is claimed
only after the end of the last one is recorded, its runner pod is dead and its Dask objects are gone (condition `CleanedUp`).
"""
_WHEN = {
    (PENDING, STARTING): "the agent claims the next attempt: there is a place, and its time has come",
    (PENDING, SUSPENDED): "`spec.suspend` is true",
    (PENDING, FAILED): "the spec does not fit the release, or the next attempt cannot begin before the deadline",
    (PENDING, CANCELLED): "`spec.cancel` is true",
    (SUSPENDED, PENDING): "`spec.suspend` is false again",
    (SUSPENDED, FAILED): "the spec does not fit the release, or the deadline of the run has passed",
    (SUSPENDED, CANCELLED): "`spec.cancel` is true",
    (STARTING, RUNNING): "the flow's own code begins",
    (STARTING, PENDING): "the attempt failed and is tried again: its end is recorded, with `retryTime`",
    (STARTING, SUSPENDED): "the attempt was stopped because of `spec.suspend`; its end is recorded",
    (STARTING, SUCCEEDED): "the flow was so short that nobody saw it run",
    (STARTING, FAILED): "the attempt failed, and no other follows",
    (STARTING, CANCELLED): "`spec.cancel` is true, and the attempt has ended or never begun",
    (RUNNING, PENDING): "the attempt failed and is tried again: its end is recorded, with `retryTime`",
    (RUNNING, SUSPENDED): "the attempt was stopped because of `spec.suspend`; its end is recorded",
    (RUNNING, SUCCEEDED): "the flow returned",
    (RUNNING, FAILED): "the attempt failed, and no other follows",
    (RUNNING, CANCELLED): "`spec.cancel` is true, and the attempt has ended",
}  # fmt: skip


def page() -> str:
    """Return the page; raises ValueError if a change of the table is not described, or no longer there."""
    table = {(old, new) for old, news in TRANSITIONS.items() for new in news}
    if table != set(_WHEN):
        raise ValueError(f"describe in tools/phases.py, or remove: {sorted(table ^ set(_WHEN))}")
    arrows = [f"    {old} --> {new}" for old, new in _WHEN]
    ends = [f"    {phase} --> [*]" for phase in TRANSITIONS if phase in TERMINAL]
    rows = [f"| {old} | {new} | {why} |" for (old, new), why in _WHEN.items()]
    diagram = ["```mermaid", "stateDiagram-v2", f"    [*] --> {PENDING}", *arrows, *ends, "```"]
    return "\n".join([_INTRO, *diagram, "", "| from | to | when |", "|---|---|---|", *rows]) + "\n"
