"""What must hold after every test, whatever it did: five rules, pure functions of the evidence.

I1 every run ends, with reason and message.
I2 an attempt has at most one Job, at most one start, and a run that succeeded has exactly one start.
I3 nothing of ours lacks its FlowRun; a run that is over is cleaned up, and nothing of it is left but its
   finished Jobs, with a time to live where one is set.
I4 attempt and phase never go back; a new attempt only after the last is recorded dead; an end stays.
   Where states may be missing, only what holds over any number of steps, and each state by itself.
I5 a run costs the API server a bounded number of writes, and the agent bounded memory; no agent has met an
   error that it does not know. In ``cost``.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator

from invariants.cost import cost, sound
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


def broken(evidence: Evidence) -> list[str]:
    """Name each broken rule, one line each; an empty list if all hold."""
    rules: tuple[Callable[[Evidence], Iterator[str]], ...] = (
        ends, once, left, order, cost, sound,
    )  # fmt: skip
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
                name = evidence.names.get(uid, uid)
                yield f"I2 attempt {attempt} of {name} was started by pods {', '.join(seen)}"
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
    yield from _not_cleaned_up(evidence)
    runs = {run["metadata"]["uid"]: run for run in evidence.runs}
    jobs = {obj["metadata"].get("uid") for kind, obj in evidence.objects if kind == "jobs"}
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
            yield from _wrong_job(name, obj, expires=_expires(evidence, runs[labels[LABEL_UID]]))
        elif not (kind == "secrets" and owners & jobs):  # an attempt's Secret goes with its Job
            yield f"I3 {name} is left"


def _not_cleaned_up(evidence: Evidence) -> Iterator[str]:
    for run in evidence.runs:
        status = status_of(run)
        if status.get("phase") in TERMINAL and not has_condition(status, "CleanedUp"):
            yield f"I3 {run['metadata']['name']} is over and was not cleaned up"


def _wrong_job(name: str, job: Object, *, expires: bool) -> Iterator[str]:
    if not any(has_condition(status_of(job), kind) for kind in ("Complete", "Failed")):
        yield f"I3 {name} is not finished"
    elif expires and _stays(job):
        yield f"I3 {name} stays for ever"


def _expires(evidence: Evidence, run: Object) -> bool:
    own = (run.get("spec") or {}).get("ttlSecondsAfterFinished")
    return evidence.expires or own is not None


def _stays(job: Object) -> bool:
    ttl = (job.get("spec") or {}).get("ttlSecondsAfterFinished")
    return ttl is None and not job["metadata"].get("deletionTimestamp")


def order(evidence: Evidence) -> Iterator[str]:
    """I4: nothing goes back."""
    for uid, statuses in (evidence.statuses or {}).items():
        before: Object = {}
        for index, status in enumerate(statuses):
            wrong = [*_wrong_over_any_steps(before, status), *_wrong_state(status)]
            if (uid, index) not in evidence.gaps:
                wrong += _wrong_step(before, status)
            yield from (f"I4 run {evidence.names.get(uid, uid)}: {what}" for what in wrong)
            before = status


def _wrong_over_any_steps(old: Object, new: Object) -> Iterator[str]:
    """Compare an earlier state with a later one, whatever was between them."""
    if _place(new) < _place(old):
        yield f"{_said(old)} became {_said(new)}"
    if old.get("phase") in TERMINAL:
        kept = (set(old) | set(new)) - MAY_CHANGE_AT_THE_END
        if changed := sorted(key for key in kept if old.get(key) != new.get(key)):
            yield f"{_said(old)} was over and changed {', '.join(changed)}"
    same = _place(old)[0] == _place(new)[0] and not _waits(new)
    if same and old.get("startedBy") not in (None, new.get("startedBy")):
        yield f"{_said(new)} lost or changed who started it"


def _wrong_step(old: Object, new: Object) -> Iterator[str]:
    """Compare two states that follow each other."""
    last, attempt = _place(old)[0], _place(new)[0]
    if attempt > last + 1:
        yield f"{_said(old)} became {_said(new)}: an attempt was left out"
    if attempt > last > 0 and not (_recorded(old) and has_condition(old, "CleanedUp")):
        yield f"attempt {attempt} began before attempt {last} was recorded dead"


def _wrong_state(status: Object) -> Iterator[str]:
    """Judge a state by itself."""
    attempt = _place(status)[0]
    if _waits(status) and attempt and not _recorded(status):
        yield f"{_said(status)} waits for another attempt without a record of the last"
    if status.get("phase") in ("Running", "Succeeded") and not status.get("startedBy"):
        yield f"{_said(status)} without a start"
    for earlier in status.get("attempts") or []:
        if earlier.get("attempt", attempt) < attempt and not earlier.get("finishTime"):
            yield f"{_said(status)} without a record of attempt {earlier['attempt']}"


def _waits(status: Object) -> bool:
    return status.get("phase") in ("Pending", "Suspended")


def _place(status: Object) -> tuple[int, int]:
    return status.get("attempt") or 0, STAGES.get(str(status.get("phase")), 0)


def _recorded(status: Object) -> bool:
    attempts = status.get("attempts") or [{}]
    return bool(attempts[-1].get("finishTime"))


def _said(status: Object) -> str:
    return f"attempt {status.get('attempt') or 0} {status.get('phase')}"
