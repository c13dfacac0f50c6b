"""What must hold after every test, whatever it did: five rules, pure functions of the evidence.

I1 every run ends, with reason and message.
I2 an attempt has at most one Job, at most one start, and a run that succeeded has exactly one start.
I3 nothing of ours lacks its FlowRun, and nothing of a run that is over is left but its finished Job.
I4 attempt and phase never go back; a new attempt only after the last is recorded dead; an end stays.
I5 a run costs the API server a bounded number of writes.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator

from invariants.evidence import (
    LABEL_COMPONENT,
    LABEL_UID,
    Evidence,
    Object,
    has_condition,
    status_of,
)

TERMINAL = ("Succeeded", "Failed", "Cancelled")
STAGES = {"Starting": 1, "Running": 2, "Pending": 3, "Suspended": 3} | dict.fromkeys(TERMINAL, 4)
MAY_CHANGE_AT_THE_END = {"conditions", "observedGeneration"}

# One attempt: claim, start, running, end, cleaned; create and delete ConfigMap and Secret; Job, its TTL.
WRITES_PER_ATTEMPT = 11
WRITES_PER_CLUSTER = 4  # the Service and the scheduler, made and deleted
WRITES_PER_WORKER = 2
WRITES_BESIDE = 6  # what a wait, a stop, or a refusal adds
WRITES_PER_RESTART = 6  # what an agent that died had done and the next one asks for again


def broken(evidence: Evidence) -> list[str]:
    """Name each broken rule, one line each; an empty list if all hold."""
    rules: tuple[Callable[[Evidence], Iterator[str]], ...] = (ends, once, left, order, cost)
    return [line for rule in rules for line in rule(evidence)]


def ends(evidence: Evidence) -> Iterator[str]:
    """I1: every run ends, with reason and message."""
    for run in evidence.runs:
        name, status = run["metadata"]["name"], status_of(run)
        phase = status.get("phase")
        if phase not in TERMINAL:
            yield f"I1 {name} is {phase}: {status.get('reason')} {status.get('message')}"
        elif phase != "Succeeded" and not (status.get("reason") and status.get("message")):
            yield f"I1 {name} is {phase} without reason and message"


def once(evidence: Evidence) -> Iterator[str]:
    """I2: one Job and one start for each attempt."""
    for name, count in (evidence.jobs_made or {}).items():
        if count > 1:
            yield f"I2 Job {name} was created {count} times"
    for uid, statuses in (evidence.statuses or {}).items():
        pods: dict[int, list[str]] = defaultdict(list)
        for status in statuses:
            pod = status.get("startedBy")
            if pod and pod not in pods[status.get("attempt", 0)]:
                pods[status.get("attempt", 0)].append(pod)
        for attempt, seen in pods.items():
            if len(seen) > 1:
                yield f"I2 attempt {attempt} of {uid} was started by pods {', '.join(seen)}"
    yield from _counted(evidence)


def _counted(evidence: Evidence) -> Iterator[str]:
    if evidence.starts is None:
        return
    counts = Counter((start.uid, start.attempt) for start in evidence.starts)
    for (uid, attempt), count in counts.items():
        if count > 1:
            yield f"I2 the flow of attempt {attempt} of {uid} began {count} times"
    for run in evidence.runs:
        uid, status = run["metadata"]["uid"], status_of(run)
        never = counts[uid, status.get("attempt", 0)] == 0
        if uid in evidence.counted and status.get("phase") == "Succeeded" and never:
            yield f"I2 {run['metadata']['name']} succeeded and its flow never began"


def left(evidence: Evidence) -> Iterator[str]:
    """I3: nothing is left that nobody needs."""
    runs = {run["metadata"]["uid"] for run in evidence.runs}
    for kind, obj in evidence.objects:
        name, labels = f"{kind}/{obj['metadata']['name']}", obj["metadata"]["labels"]
        owners = {owner["uid"] for owner in obj["metadata"].get("ownerReferences") or []}
        if labels.get(LABEL_UID) not in runs:
            yield f"I3 {name} has no FlowRun"
        elif not owners:
            yield f"I3 {name} has no owner"
        elif kind == "pods" and labels[LABEL_COMPONENT] == "runner":
            if (obj.get("status") or {}).get("phase") not in ("Succeeded", "Failed"):
                yield f"I3 {name} still runs"
        elif kind == "jobs":
            conditions = (obj.get("status") or {}).get("conditions") or []
            ended = ("Complete", "Failed")
            if not any(c["type"] in ended and c["status"] == "True" for c in conditions):
                yield f"I3 {name} is not finished"
        else:
            yield f"I3 {name} is left"


def order(evidence: Evidence) -> Iterator[str]:
    """I4: nothing goes back."""
    for uid, statuses in (evidence.statuses or {}).items():
        before: Object = {}
        for status in statuses:
            yield from (f"I4 run {uid}: {wrong}" for wrong in _wrong_step(before, status))
            before = status


def _wrong_step(old: Object, new: Object) -> Iterator[str]:
    last, attempt = old.get("attempt") or 0, new.get("attempt") or 0
    waits = new.get("phase") in ("Pending", "Suspended")
    if _place(new) < _place(old):
        yield f"{_said(old)} became {_said(new)}"
    if old.get("phase") in TERMINAL:
        kept = (set(old) | set(new)) - MAY_CHANGE_AT_THE_END
        if changed := sorted(key for key in kept if old.get(key) != new.get(key)):
            yield f"{_said(old)} was over and changed {', '.join(changed)}"
    if attempt > last + 1:
        yield f"{_said(old)} became {_said(new)}: an attempt was left out"
    if attempt > last > 0 and not (_recorded(old) and has_condition(old, "CleanedUp")):
        yield f"attempt {attempt} began before attempt {last} was recorded dead"
    if attempt == last and not waits and old.get("startedBy") not in (None, new.get("startedBy")):
        yield f"{_said(new)} lost or changed who started it"
    if waits and attempt and not _recorded(new):
        yield f"{_said(new)} waits for another attempt without a record of the last"
    if new.get("phase") in ("Running", "Succeeded") and not new.get("startedBy"):
        yield f"{_said(new)} without a start"


def _place(status: Object) -> tuple[int, int]:
    return status.get("attempt") or 0, STAGES.get(str(status.get("phase")), 0)


def _recorded(status: Object) -> bool:
    attempts = status.get("attempts") or [{}]
    return bool(attempts[-1].get("finishTime"))


def _said(status: Object) -> str:
    return f"attempt {status.get('attempt') or 0} {status.get('phase')}"


def cost(evidence: Evidence) -> Iterator[str]:
    """I5: no run costs more writes than its attempts, its workers and the agent's restarts explain."""
    if evidence.writes is None:
        return
    for run in evidence.runs:
        uid, status = run["metadata"]["uid"], status_of(run)
        allowed = allowed_writes(status, evidence.restarts)
        if (count := evidence.writes[uid]) > allowed:
            yield f"I5 {run['metadata']['name']} cost {count} writes, at most {allowed} are right"


def allowed_writes(status: Object, restarts: int) -> int:
    """Return how many writes a run may have cost."""
    attempts = status.get("attempts") or []
    number = int(status.get("attempt") or 0)
    each = WRITES_PER_ATTEMPT
    if any(attempt.get("mode") == "ephemeral" for attempt in attempts):
        workers = max((int(attempt.get("workers") or 0) for attempt in attempts), default=0)
        # The status shows a worker count when it changes; a worker that is lost is replaced.
        each += WRITES_PER_CLUSTER + (WRITES_PER_WORKER + 1) * (workers + 2)
    return number * each + WRITES_BESIDE + restarts * WRITES_PER_RESTART
