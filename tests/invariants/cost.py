"""I5, what a run and the agent may cost: pure functions of the evidence."""

from collections.abc import Iterator
from itertools import pairwise

from invariants.evidence import Evidence, Object, has_condition, status_of

# One attempt: claim, start, running, end, cleaned; the Job, its Secret, its TTL. Events are not counted.
WRITES_PER_ATTEMPT = 8
WRITES_PER_CLUSTER = 8  # Service, NetworkPolicy, ConfigMap and scheduler, made and deleted
WRITES_PER_WORKER = 2
# What may come beside in a life that is not plain: two that say why it waits, two reports of an attempt, the
# intent to stop it, and the deadline of a runner that does not obey.
WRITES_BESIDE = 6
WRITES_PER_RESTART = 6  # what an agent that died had done and the next one asks for again

MEMORY = 200  # MiB
TRACEBACK = "Traceback (most recent call last)"
WAITING = ("Pending", "Suspended")
# What a status says of an attempt without a step of its life.
NEWS = {"reason", "message", "conditions", "workers", "observedGeneration"}
NEWS_AFTER = {"conditions", "observedGeneration"}


def cost(evidence: Evidence) -> Iterator[str]:
    """I5: no run costs more writes than its life explains."""
    if evidence.writes is None:
        return
    for run in evidence.runs:
        allowed = allowed_writes(evidence, run)
        if (count := evidence.writes[run["metadata"]["uid"]]) > allowed:
            yield f"I5 {run['metadata']['name']} cost {count} writes, at most {allowed} are right"


def sound(evidence: Evidence) -> Iterator[str]:
    """I5: no agent has met what it does not know, or has outgrown its memory."""
    for agent in evidence.agents:
        if count := agent.log.count(TRACEBACK):
            before = agent.log.partition(TRACEBACK)[0].rstrip().rpartition("\n")[2]
            yield f"I5 {count} tracebacks of {agent.name}, the first after: {before[:300]}"
        if agent.peak_mib is not None and agent.peak_mib > MEMORY:
            yield f"I5 {agent.name} took {agent.peak_mib:.0f} MiB, at most {MEMORY} are right"


def allowed_writes(evidence: Evidence, run: Object) -> int:
    """Return how many writes a run may have cost: of a plain one each is known."""
    most = _most_writes(evidence, run)
    if not _is_plain(evidence, run):
        return most
    # Else what says nothing new to anybody would be right as long as it comes often enough.
    return min(WRITES_PER_ATTEMPT + _told(_statuses(evidence, run)), most)


def _most_writes(evidence: Evidence, run: Object) -> int:
    uid, status = run["metadata"]["uid"], status_of(run)
    attempts = status.get("attempts") or []
    each = WRITES_PER_ATTEMPT
    if any(attempt.get("mode") == "ephemeral" for attempt in attempts):
        workers = max((int(attempt.get("workers") or 0) for attempt in attempts), default=0)
        # The status shows a worker count when it changes; a worker that is lost is replaced.
        each += WRITES_PER_CLUSTER + (WRITES_PER_WORKER + 1) * (workers + 2)
    restarts = evidence.restarts + evidence.faults.get(uid, 0)
    return int(status.get("attempt") or 0) * each + WRITES_BESIDE + restarts * WRITES_PER_RESTART


def _is_plain(evidence: Evidence, run: Object) -> bool:
    """Whether one agent took a run straight to its success, and every write of its status is known."""
    uid, status = run["metadata"]["uid"], status_of(run)
    end = (status.get("mode"), status.get("attempt"), status.get("phase"))
    straight = end in (("static", 1, "Succeeded"), ("local", 1, "Succeeded"))
    known = bool(_statuses(evidence, run)) and uid not in {gap[0] for gap in evidence.gaps}
    hit = evidence.restarts or evidence.faults.get(uid) or uid in evidence.handed_over
    stopped = any(has_condition(one, "Stopping") for one in _statuses(evidence, run))
    return straight and known and not hit and not stopped


def _statuses(evidence: Evidence, run: Object) -> list[Object]:
    return (evidence.statuses or {}).get(run["metadata"]["uid"]) or []


def _told(statuses: list[Object]) -> int:
    """Count the writes of a status that are no step: why the run waits, what keeps it, its workers."""
    return sum(_is_news(old, new) for old, new in pairwise([{}, *statuses]))


def _is_news(old: Object, new: Object) -> bool:
    changed = {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
    if new.get("phase") in WAITING:
        return bool(changed)
    # A run that is over is only told what keeps it from being cleaned up.
    news = NEWS if new.get("phase") in ("Starting", "Running") else NEWS_AFTER
    return bool(changed) and changed <= news and not has_condition(new, "CleanedUp")
