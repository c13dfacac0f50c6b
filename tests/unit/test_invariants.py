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


def owned_by(job: str) -> dict[str, Any]:
    """Return an attempt's Secret."""
    secret = thing("runner")
    secret["metadata"]["ownerReferences"] = [{"uid": job}]
    return secret


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
    job = thing("runner", conditions=[{"type": "Complete", "status": "True"}])
    job["metadata"]["uid"] = "job-2"
    return Evidence(
        runs=[run],
        objects=[
            ("pods", thing("runner", phase="Succeeded")),
            ("jobs", job),
            ("secrets", owned_by("job-2")),
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
    "I3 Secret of a Job that is gone": (
        lambda e: e.objects.append(("secrets", owned_by("job-0"))), "secrets/x is left",
    ),
    "I3 not cleaned up": (
        lambda e: run_status(e).pop("conditions"), "I3 diamond is over and was not cleaned up",
    ),
    "I3 no TTL, by its spec": (
        lambda e: e.runs[0].update(spec={"ttlSecondsAfterFinished": 0}), "jobs/x stays for ever",
    ),
    "I3 no TTL, by the release": (
        lambda e: setattr(e, "expires", True), "jobs/x stays for ever",
    ),
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


def with_ttl(evidence: Evidence) -> None:
    """Let the Job end as the release says."""
    evidence.expires = True
    evidence.objects[1][1]["spec"] = {"ttlSecondsAfterFinished": 5}


def going(evidence: Evidence) -> None:
    """Let somebody have deleted the Job, whose pod takes a while."""
    evidence.expires = True
    evidence.objects[1][1]["metadata"]["deletionTimestamp"] = "t"


NO_LEFTOVERS: dict[str, Callable[[Evidence], Any]] = {
    "TTL": with_ttl,
    "deleted": going,
    "nobody sets one": lambda e: e.runs[0].update(spec={}),
}


@pytest.mark.parametrize("change", NO_LEFTOVERS.values(), ids=NO_LEFTOVERS)
def test_a_finished_job_that_goes_by_itself_is_right(change: Callable[[Evidence], Any]) -> None:
    """It has its TTL, or it is being deleted, or nobody wanted it to go."""
    evidence = copy.deepcopy(good())
    change(evidence)

    assert broken(evidence) == []


ATTEMPTS = [{"attempt": 1}, {"attempt": 2, "finishTime": "t"}]
AFTER_A_GAP: dict[str, tuple[Callable[[Evidence], Any], str]] = {
    "phase": (lambda e: e.statuses[UID].insert(6, status(1, "Running", startedBy="pod-1")), "became"),
    "attempt": (lambda e: e.statuses[UID].append(status(1, "Succeeded", startedBy="pod-1")), "became"),
    "end": (lambda e: e.statuses[UID].append({**e.statuses[UID][-1], "result": 1}), "was over"),
    "pod": (lambda e: e.statuses[UID][8].update(startedBy="pod-3"), "lost or changed who"),
    "unfenced": (lambda e: e.statuses[UID][8].pop("startedBy"), "without a start"),
    "record": (
        lambda e: e.statuses[UID][-1].update(attempts=ATTEMPTS), "without a record of attempt 1",
    ),
    "waits": (lambda e: e.statuses[UID][4]["attempts"][0].clear(), "waits for another attempt"),
}  # fmt: skip


@pytest.mark.parametrize(("break_it", "said"), AFTER_A_GAP.values(), ids=AFTER_A_GAP)
def test_what_is_wrong_next_to_a_gap_is_found(
    break_it: Callable[[Evidence], Any], said: str
) -> None:
    """What never goes back, an end, and each state by itself are judged over any gap."""
    evidence = copy.deepcopy(good())
    break_it(evidence)
    evidence.gaps = {(UID, index) for index in range(len(evidence.statuses[UID]))}

    assert any(said in line for line in broken(evidence)), broken(evidence)


@pytest.mark.parametrize("missing", range(1, 10))
def test_a_state_that_is_missing_is_no_violation(missing: int) -> None:
    """Wherever the gap is, if it is known to be one."""
    evidence = copy.deepcopy(good())
    evidence.statuses[UID].pop(missing)
    evidence.gaps = {(UID, missing)}

    assert broken(evidence) == []


def test_what_is_not_known_breaks_no_rule() -> None:
    """Without an audit log and a counter only the API judges."""
    evidence = good()
    evidence.statuses = evidence.jobs_made = evidence.writes = evidence.starts = None

    assert broken(evidence) == []


def event(verb: str, resource: str, name: str, code: int = 200, **more: Any) -> str:
    """Return a line of an audit log; with a ``version`` it answers with a FlowRun, as our policy asks."""
    user = more.pop("user", "system:serviceaccount:ns:flows-dask-flows-agent")
    target = {"resource": resource, "namespace": "ns", "name": name}
    version, uid = more.pop("version", 0), more.pop("uid", UID)
    if version:
        meta = {"name": name, "uid": uid, "resourceVersion": str(version)}
        meta["generation"] = more.pop("generation", 1)
        answer = {"kind": "FlowRun", "metadata": meta}
        demanded = more.pop("follows", 0)
        more["requestObject"] = {"metadata": {"resourceVersion": str(demanded)} if demanded else {}}
        if "status" in more:
            target["subresource"] = "status"
            answer["status"] = more.pop("status")
        if "shows" in more:  # the status that a write of something else answers with
            answer["status"] = more.pop("shows")
        more["responseObject"] = answer
    body = {
        "kind": "Event",
        "verb": verb,
        "user": {"username": user},
        "objectRef": target,
        "responseStatus": {"code": code},
        "requestReceivedTimestamp": more.pop("at", "2026-01-01T00:00:01Z"),
        "requestURI": more.pop("uri", "/"),
        **more,
    }
    return json.dumps(body, separators=(",", ":"))


def write_log(folder: Path, *lines: str, name: str = "audit.log") -> Path:
    """Write a log that begins before the namespace."""
    path = folder / name
    early = event("create", "pods", "other", at="2025-12-31T00:00:00Z").replace('"ns"', '"else"')
    path.write_text("\n".join([early, *lines, ""]))
    return path


def test_the_audit_log_is_read(tmp_path: Path) -> None:
    """The states are in order; refused requests, dry runs, and other people's writes do not count."""
    starting = {"phase": "Starting", "attempt": 1}
    write_log(
        tmp_path,
        event("create", "flowruns", "diamond", 201, user="admin", version=5),
        event("patch", "flowruns", "diamond", status=starting, version=9, follows=5),
        name="audit-2026-01-01T00-00-02.log",
    )
    log = write_log(
        tmp_path,
        event("patch", "flowruns", "diamond", 409, status={"phase": "Failed"}, version=9, follows=8),
        event("create", "jobs", f"{BASE}-1", 201),
        event("create", "jobs", f"{BASE}-1", 409),
        event("create", "secrets", f"{BASE}-1-0a1b2c3d", 201, uri="/secrets?dryRun=All"),
        event("create", "secrets", f"{BASE}-1-0a1b2c3d", 201),
        event("create", "secrets", "somebody-else-s", 201),
        event("create", "pods", f"{BASE}-1-abcde", 201, uri="/pods?dryRun=All"),
        event("create", "pods", f"{BASE}-1-abcde", 201, user="system:serviceaccount:x:job-controller"),
        event("create", "pods", f"{BASE}-1-worker-12", 201),
        event("patch", "flowruns", "diamond", user="admin", shows=starting, version=10, generation=2),
        event("patch", "flowruns", "diamond", status={**starting, "startedBy": "p"}, version=12, follows=10),
        event("get", "flowruns", "diamond", shows={"phase": "Failed"}, version=13),
        event("delete", "flowruns", "diamond"),
    )  # fmt: skip
    said = audit.read(log, "ns", SINCE, [])
    here = audit.read(log, "ns", SINCE, [api_run({**starting, "startedBy": "p"}, 12)])

    assert audit.missing(log, "ns", SINCE) == ""
    for one in (said, here):
        assert one.lives.statuses() == {
            UID: [{}, starting, starting, {**starting, "startedBy": "p"}]
        }
        assert one.lives.gaps() == set()
        assert one.lives.names == {UID: "diamond"}
        assert one.jobs_made == {f"{BASE}-1": 1}
    assert said.writes == {UID: 2}  # of objects only for runs that are there
    assert here.writes == {UID: 5}


def api_run(status: dict[str, Any], version: int) -> dict[str, Any]:
    """Return a FlowRun as the API shows it."""
    meta = {"name": "diamond", "uid": UID, "resourceVersion": str(version), "generation": 1}
    return {"metadata": meta, "status": status}


def test_a_name_that_is_used_again_is_another_run(tmp_path: Path) -> None:
    """The statuses of the FlowRun that is gone are judged by themselves."""
    log = write_log(
        tmp_path,
        event("create", "flowruns", "diamond", 201, version=1, uid="gone"),
        event("patch", "flowruns", "diamond", status={"phase": "Succeeded"}, version=2, uid="gone"),
        event("create", "flowruns", "diamond", 201, version=3),
        event("patch", "flowruns", "diamond", status={"phase": "Starting"}, version=4),
    )
    said = audit.read(log, "ns", SINCE, [])

    assert said.lives.statuses() == {
        "gone": [{}, {"phase": "Succeeded"}],
        UID: [{}, {"phase": "Starting"}],
    }


def test_half_an_entry_of_a_killed_server_hides_nothing(tmp_path: Path) -> None:
    """Its successor goes on in the same line."""
    first, second = (event("create", "jobs", f"{BASE}-{n}", 201) for n in (1, 2))
    said = audit.read(write_log(tmp_path, first[:-9] + second), "ns", SINCE, [])

    assert said.jobs_made == {f"{BASE}-2": 1}


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
