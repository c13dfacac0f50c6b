"""The checker finds each broken rule, and nothing where all hold."""

import copy
import hashlib
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from invariants import audit
from invariants.counter import counting
from invariants.evidence import Evidence, Start
from invariants.rules import broken

UID = "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d"
DIGEST = hashlib.sha256(UID.encode()).hexdigest()[:8]
BASE = f"f-diamond-{DIGEST}"
SINCE = "2026-01-01T00:00:00Z"
CLEANED = [{"type": "CleanedUp", "status": "True"}]


def status(attempt: int, phase: str, **more: Any) -> dict[str, Any]:
    """Return a status as it stands after some step; ended attempts have a finishTime."""
    ended = phase not in ("Starting", "Running")
    attempts = [
        {"attempt": n} | ({"finishTime": "t"} if n < attempt or ended else {})
        for n in range(1, attempt + 1)
    ]
    return {"attempt": attempt, "phase": phase, "attempts": attempts} | more


def labels(component: str, uid: str = UID) -> dict[str, str]:
    """Return an object's labels."""
    return {"dask-flows.dev/run-uid": uid, "app.kubernetes.io/component": component}


def thing(component: str, uid: str = UID, **status: Any) -> dict[str, Any]:
    """Return an object that an attempt has made."""
    meta = {"name": "x", "labels": labels(component, uid), "ownerReferences": [{"uid": uid}]}
    return {"metadata": meta, "status": status}


def good() -> Evidence:
    """Return what a run leaves that failed once and then succeeded."""
    first, second = {"startedBy": "pod-1"}, {"startedBy": "pod-2"}
    end = status(2, "Succeeded", **second)
    statuses = [
        {},
        status(1, "Starting"),
        status(1, "Starting", **first),
        status(1, "Running", **first),
        status(1, "Pending", **first, reason="FlowFailed"),
        status(1, "Pending", **first, reason="FlowFailed", conditions=CLEANED),
        status(2, "Starting"),
        status(2, "Starting", **second),
        status(2, "Running", **second),
        end,
        {**end, "conditions": CLEANED},
    ]
    run = {"metadata": {"name": "diamond", "uid": UID}, "status": statuses[-1]}
    return Evidence(
        runs=[run],
        objects=[
            ("pods", thing("runner", phase="Succeeded")),
            ("jobs", thing("runner", conditions=[{"type": "Complete", "status": "True"}])),
        ],
        statuses={UID: statuses},
        jobs_made=Counter({f"{BASE}-1": 1, f"{BASE}-2": 1}),
        writes=Counter({UID: 22}),
        starts=[Start(UID, 1, "pod-1"), Start(UID, 2, "pod-2")],
        counted=frozenset({UID}),
    )


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    """A run with two attempts breaks no rule."""
    assert broken(good()) == []


def run_status(evidence: Evidence) -> dict[str, Any]:
    """Return the run's status as the API has it."""
    found: dict[str, Any] = evidence.runs[0]["status"]
    return found


BREAKS: dict[str, tuple[Callable[[Evidence], Any], str]] = {
    "I1 not over": (lambda e: run_status(e).update(phase="Running"), "I1 diamond is Running"),
    "I1 never seen": (lambda e: e.runs[0].pop("status"), "I1 diamond is None"),
    "I1 no reason": (lambda e: run_status(e).update(phase="Failed"), "without reason"),
    "I2 two Jobs": (lambda e: e.jobs_made.update([f"{BASE}-1"]), "created 2 times"),
    "I2 two pods": (
        lambda e: e.statuses[UID].insert(3, status(1, "Starting", startedBy="other")),
        "started by pods pod-1, other",
    ),
    "I2 two starts": (lambda e: e.starts.append(e.starts[0]), "began 2 times"),
    "I2 no start": (lambda e: e.starts.pop(), "never began"),
    "I3 no FlowRun": (lambda e: e.objects.append(("jobs", thing("runner", "gone"))), "no FlowRun"),
    "I3 no owner": (
        lambda e: e.objects[0][1]["metadata"].pop("ownerReferences"), "has no owner",
    ),
    "I3 running": (lambda e: e.objects[0][1]["status"].update(phase="Running"), "still runs"),
    "I3 open Job": (lambda e: e.objects[1][1]["status"].clear(), "is not finished"),
    "I3 worker": (lambda e: e.objects.append(("pods", thing("worker"))), "pods/x is left"),
    "I3 Secret": (lambda e: e.objects.append(("secrets", thing("runner"))), "secrets/x is left"),
    "I4 phase back": (
        lambda e: e.statuses[UID].insert(4, status(1, "Starting", startedBy="pod-1")),
        "attempt 1 Running became attempt 1 Starting",
    ),
    "I4 attempt back": (lambda e: e.statuses[UID].append(status(1, "Succeeded")), "became"),
    "I4 end changed": (
        lambda e: e.statuses[UID].append({**e.statuses[UID][-1], "reason": "Late"}),
        "was over and changed reason",
    ),
    "I4 no record": (lambda e: e.statuses[UID].pop(4) and e.statuses[UID].pop(4), "recorded dead"),
    "I4 not cleaned up": (lambda e: e.statuses[UID].pop(5), "recorded dead"),
    "I4 left out": (
        lambda e: e.statuses.update({UID: [status(1, "Pending"), status(3, "Starting")]}),
        "left out",
    ),
    "I4 waits": (
        lambda e: e.statuses[UID][4]["attempts"][0].clear(), "without a record of the last",
    ),
    "I4 unfenced": (lambda e: e.statuses[UID].pop(2) and e.statuses[UID][2].pop("startedBy"),
                    "without a start"),
    "I5 writes": (lambda e: e.writes.update({UID: 20}), "cost 42 writes"),
}  # fmt: skip


@pytest.mark.parametrize(("break_it", "said"), BREAKS.values(), ids=BREAKS)
def test_a_broken_rule_is_found(break_it: Callable[[Evidence], Any], said: str) -> None:
    """Each rule, broken once in evidence that was good."""
    evidence = copy.deepcopy(good())
    break_it(evidence)

    assert any(said in line for line in broken(evidence)), broken(evidence)


def test_what_is_not_known_breaks_no_rule() -> None:
    """Without an audit log and a counter only the API judges."""
    evidence = good()
    evidence.statuses = evidence.jobs_made = evidence.writes = evidence.starts = None

    assert broken(evidence) == []


def event(verb: str, resource: str, name: str, code: int = 200, **more: Any) -> str:
    """Return a line of an audit log."""
    user = more.pop("user", "system:serviceaccount:ns:flows-dask-flows-agent")
    target = {"resource": resource, "namespace": "ns", "name": name}
    if "status" in more:
        target["subresource"] = "status"
        more["requestObject"] = {"status": more.pop("status")}
    return json.dumps(
        {
            "verb": verb,
            "user": {"username": user},
            "objectRef": target,
            "responseStatus": {"code": code},
            "requestReceivedTimestamp": more.pop("at", "2026-01-01T00:00:01Z"),
            "requestURI": more.pop("uri", "/"),
            **more,
        },
        separators=(",", ":"),
    )


def write_log(folder: Path, *lines: str, name: str = "audit.log") -> Path:
    """Write a log that begins before the namespace."""
    path = folder / name
    early = event("create", "pods", "other", at="2025-12-31T00:00:00Z").replace('"ns"', '"else"')
    path.write_text("\n".join([early, *lines, ""]))
    return path


def test_the_audit_log_is_read(tmp_path: Path) -> None:
    """Patches are merged in order; refused requests, dry runs, and other people's writes do not count."""
    write_log(
        tmp_path,
        event("create", "flowruns", "diamond", 201, user="admin"),
        event("patch", "flowruns", "diamond", status={"phase": "Starting", "attempt": 1}),
        name="audit-2026-01-01T00-00-02.log",
    )
    log = write_log(
        tmp_path,
        event("patch", "flowruns", "diamond", 409, status={"phase": "Failed"}),
        event("create", "jobs", f"{BASE}-1", 201),
        event("create", "jobs", f"{BASE}-1", 409),
        event("create", "pods", f"{BASE}-1-abcde", 201, uri="/pods?dryRun=All"),
        event("create", "pods", f"{BASE}-1-abcde", 201, user="system:serviceaccount:x:job-controller"),
        event("create", "pods", f"{BASE}-1-worker-12", 201),
        event("patch", "flowruns", "diamond", status={"startedBy": "pod", "reason": None}),
        event("get", "flowruns", "diamond"),
    )  # fmt: skip
    said = audit.read(log, "ns", SINCE, good().runs)

    assert audit.missing(log, "ns", SINCE) == ""
    assert said.statuses == {
        UID: [
            {"phase": "Starting", "attempt": 1},
            {"phase": "Starting", "attempt": 1, "startedBy": "pod"},
        ]
    }
    assert said.jobs_made == {f"{BASE}-1": 1}
    assert said.writes == {UID: 4}


def test_a_name_that_is_used_again_is_another_run(tmp_path: Path) -> None:
    """The statuses of the FlowRun that is gone are judged by themselves."""
    log = write_log(
        tmp_path,
        event("create", "flowruns", "diamond", 201),
        event("patch", "flowruns", "diamond", status={"phase": "Succeeded"}),
        event("create", "flowruns", "diamond", 201),
        event("patch", "flowruns", "diamond", status={"phase": "Starting"}),
    )
    said = audit.read(log, "ns", SINCE, good().runs)

    assert said.statuses == {
        "diamond (life 1)": [{"phase": "Succeeded"}],
        UID: [{"phase": "Starting"}],
    }


def test_a_log_that_proves_nothing_is_named(tmp_path: Path) -> None:
    """There is none, it begins too late, or it is another cluster's."""
    assert "no audit log" in audit.missing(tmp_path / "audit.log", "ns", SINCE)
    log = write_log(tmp_path, event("create", "jobs", "x", 201))
    assert "does not reach back" in audit.missing(log, "ns", "2025-01-01T00:00:00Z")
    assert "not of this cluster" in audit.missing(log, "elsewhere", SINCE)


def test_a_flow_tells_that_it_begins(tmp_path: Path) -> None:
    """Only where an attempt's files are, which workers do not have; twice if it begins twice."""
    said = tmp_path / "attempt.json"
    with counting("127.0.0.1") as counter:
        assert counter is not None
        code = counter.confession().replace("/etc/dask-flows/attempt/attempt.json", str(said))
        exec(code, {})
        assert counter.starts == []
        said.write_text(json.dumps({"uid": UID, "attempt": 2}))
        exec(code, {})
        exec(code, {})

    assert [(start.uid, start.attempt) for start in counter.starts] == [(UID, 2)] * 2


def test_a_counter_needs_an_address_of_this_machine() -> None:
    """On somebody else's cluster there is none."""
    with counting("192.0.2.1") as counter:
        assert counter is None
