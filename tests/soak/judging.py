"""What must be true when all is at rest: pure functions over what was recorded."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from invariants.cost import sound
from invariants.evidence import Agent, Evidence
from soak.counter import Start
from soak.load import KINDS, number_of
from soak.world import TERMINAL

# How a run may end that somebody has disturbed; everything else stays forbidden even then.
DISTURBED = {
    "FlowFailed", "RunnerDeleted", "SchedulerLost", "WorkersLost", "Evicted", "ClusterTimeout",
    "NodeLost", "Preempted",
}  # fmt: skip
# Seconds. On a busy machine API server, etcd and the pod start one after the other, which has taken 33 at most;
# a second blow while an agent comes back begins the time anew.
RECOVERY = 60.0
OVERLAP = 0.5  # seconds; a dying process's last word may be read late

Object = Mapping[str, Any]


def endings(
    runs: Mapping[str, Object], kinds: Mapping[str, str], asked: Mapping[str, set[str]],
    hurt: Mapping[str, list[str]],
) -> list[str]:  # fmt: skip
    """Return one line for each run that ended in another way than it may."""
    found = []
    for name, run in runs.items():
        status = run.get("status") or {}
        end = (status.get("phase"), status.get("reason") or "")
        allowed = _allowed(kinds[name], asked.get(name, set()))
        if end not in allowed and not (hurt.get(name) and _as_if_disturbed(end)):
            why = f"disturbed by {hurt[name]}" if hurt.get(name) else "disturbed by nobody"
            found.append(f"{name} ended {end}, {why}: {status.get('message')}")
        if end[0] == "Succeeded" and status.get("result") != number_of(name) ** 2:
            found.append(f"{name} Succeeded with result {status.get('result')}")
    return found


def starts(runs: Iterable[Object], seen: Iterable[Start]) -> list[str]:
    """Return one line for each attempt that started twice, too early, or succeeded without a start."""
    found = []
    by_attempt: dict[tuple[str, int], list[Start]] = defaultdict(list)
    by_run: dict[str, list[Start]] = defaultdict(list)
    for start in seen:
        by_attempt[start.uid, start.attempt].append(start)
        by_run[start.uid].append(start)
    for (uid, attempt), several in by_attempt.items():
        if len(several) > 1:
            found.append(f"{several[0].run} ({uid}) started attempt {attempt} {len(several)} times")
    for of_run in by_run.values():
        last = of_run[-1]
        if last.last is None:
            found.append(f"{last.run}: the flow of attempt {last.attempt} is still alive")
        found += _overlaps(of_run)
    for run in runs:
        found += _of_run(run, by_attempt)
    return found


def _overlaps(of_run: list[Start]) -> list[str]:
    found = []
    for earlier, later in pairwise(of_run):
        if later.attempt < earlier.attempt:
            found.append(f"{later.run}: attempt {later.attempt} started after {earlier.attempt}")
        if earlier.last is None or earlier.last > later.at + OVERLAP:
            found.append(
                f"{later.run}: attempt {later.attempt} started while {earlier.attempt} was alive"
            )
    return found


def _of_run(run: Object, by_attempt: Mapping[tuple[str, int], list[Start]]) -> list[str]:
    name, uid, status = run["metadata"]["name"], run["metadata"]["uid"], run.get("status") or {}
    attempt = int(status.get("attempt") or 0)
    own = by_attempt.get((uid, attempt), [])
    found = []
    if status.get("phase") == "Succeeded" and not own:
        found.append(f"{name} Succeeded in attempt {attempt}, which never started")
    late = [key for key in by_attempt if key[0] == uid and key[1] > attempt]
    found += [f"{name} is in attempt {attempt}, and {number} started" for _, number in late]
    pods = {start.pod for start in own}
    if own and status.get("startedBy") not in pods:
        found.append(f"{name} was started by {pods}, status says {status.get('startedBy')}")
    return found


def _allowed(kind: str, asked: set[str]) -> set[tuple[str, str]]:
    usual = {(KINDS[kind].phase, KINDS[kind].reason)}
    if kind == "hang":
        return usual
    return usual | {("Cancelled", "Cancelled")} if "cancel" in asked else usual


def _as_if_disturbed(end: tuple[Any, str]) -> bool:
    return end[0] == "Failed" and end[1] in DISTURBED


def unrest(runs: Iterable[Object]) -> list[str]:
    """Return one line for each run that is not over, or whose leftovers are not gone."""
    found = []
    for run in runs:
        name, status = run["metadata"]["name"], run.get("status") or {}
        cleaned = any(c["type"] == "CleanedUp" for c in status.get("conditions") or [])
        if status.get("phase") not in TERMINAL:
            found.append(f"{name} is {status.get('phase')}/{status.get('reason') or ''}")
        elif not cleaned:
            found.append(f"{name} is not cleaned up")
    return found


def unproven(why: str) -> list[str]:
    """Return a line if the audit log proves nothing: what nobody could judge is not right."""
    return [f"the audit log proves nothing: {why}"] if why else []


def lost(
    runs: Mapping[str, Object], created: Mapping[str, Object], asked: Mapping[str, set[str]]
) -> list[str]:
    """Return one line for each run that is gone although nobody removed it, or is another one now."""
    found = []
    for name, run in created.items():
        there = runs.get(name)
        if there is None and "remove" not in asked.get(name, set()):
            found.append(f"{name} is gone, and nobody removed it")
        uid = run["metadata"].get("uid")
        if there and uid and there["metadata"]["uid"] != uid:
            found.append(f"{name} has another UID than the one created")
    return found


def slow(recovery: float) -> list[str]:
    """Return a line if an agent took too long to be back."""
    if recovery <= RECOVERY:
        return []
    return [
        f"an agent was ready only {recovery:.1f} s after the last blow, at most {RECOVERY:g} s are right"
    ]


def tracebacks(logs: Path) -> list[str]:
    """Return one line for each log of an agent with something in it that nobody caught."""
    paths = sorted(logs.glob("*agent*.log"))
    agents = [Agent(path.name, path.read_text(errors="replace")) for path in paths]
    return list(sound(Evidence(agents=agents)))
