"""A killed API server loses entries of its audit log: the checker knows where, and judges the rest."""

from pathlib import Path
from typing import Any

import pytest

from invariants import audit
from invariants.evidence import Evidence
from invariants.lives import Lives
from invariants.rules import broken

UID = "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d"
AGENT = "system:serviceaccount:ns:flows-dask-flows-agent"
POD = {"startedBy": "pod-1"}
ENDED = {"attempts": [{"attempt": 1, "finishTime": "t"}]}
CLEANED = {"conditions": [{"type": "CleanedUp", "status": "True"}]}
# What a run becomes with each write, and who writes: the user changes the spec in between.
STEPS: list[tuple[str, dict[str, Any]]] = [
    ("create", {}),
    ("status", {"attempt": 1, "phase": "Starting"}),
    ("status", {"attempt": 1, "phase": "Starting", **POD}),
    ("spec", {"attempt": 1, "phase": "Starting", **POD}),
    ("status", {"attempt": 1, "phase": "Running", **POD}),
    ("status", {"attempt": 1, "phase": "Pending", **POD, **ENDED}),
    ("status", {"attempt": 1, "phase": "Pending", **POD, **ENDED, **CLEANED}),
    ("status", {"attempt": 2, "phase": "Starting", **ENDED}),
    ("status", {"attempt": 2, "phase": "Starting", **ENDED, "startedBy": "pod-2"}),
    ("status", {"attempt": 2, "phase": "Succeeded", **ENDED, "startedBy": "pod-2"}),
]


def run_at(step: int, steps: list[tuple[str, dict[str, Any]]] = STEPS) -> dict[str, Any]:
    """Return the FlowRun after a step; versions are a cluster's, so they are not next to each other."""
    generation = 1 + sum(what == "spec" for what, _ in steps[: step + 1])
    meta = {"name": "diamond", "uid": UID, "generation": generation}
    meta["resourceVersion"] = str(version(step))
    return {"kind": "FlowRun", "metadata": meta, "status": steps[step][1]}


def version(step: int) -> int:
    """Return the resourceVersion after a step."""
    return 95 + 3 * step


def entry(step: int, steps: list[tuple[str, dict[str, Any]]] = STEPS) -> dict[str, Any]:
    """Return what the log says of a step."""
    what = steps[step][0]
    target = {"resource": "flowruns", "name": "diamond"} | (
        {"subresource": "status"} if what == "status" else {}
    )
    demanded = {"resourceVersion": str(version(step - 1))} if what == "status" else {}
    return {
        "verb": "create" if what == "create" else "patch",
        "user": {"username": AGENT if what == "status" else "admin"},
        "objectRef": target,
        "responseStatus": {"code": 200},
        "requestObject": {"metadata": demanded},
        "responseObject": run_at(step, steps),
    }


def read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, entries: list[dict[str, Any]],
    run: dict[str, Any], **more: Any,
) -> audit.Audit:  # fmt: skip
    """Read a log of these entries."""
    log = tmp_path / "audit.log"
    log.touch()
    monkeypatch.setattr(audit, "_events", lambda *_: iter(entries))
    return audit.read(log, "ns", "2026-01-01T00:00:00Z", [run], **more)


def judged(said: audit.Audit) -> list[str]:
    """Return what is wrong by the statuses alone."""
    statuses, gaps = said.lives.statuses(), said.lives.gaps()
    return broken(Evidence(statuses=statuses, gaps=gaps, names=said.lives.names))


LAST = len(STEPS) - 1


def test_a_whole_log_has_no_gap(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Not even where the lines are not in the order of the writes, as those of two writers may be."""
    entries = [entry(step) for step in (1, 0, 2, 4, 3, 5, 6, 7, 9, 8)]
    said = read(monkeypatch, tmp_path, entries, run_at(LAST))

    assert said.lives.gaps() == set()
    assert said.lives.statuses() == {UID: [status for _, status in STEPS]}
    assert said.writes == {UID: 8}
    assert judged(said) == []


@pytest.mark.parametrize("lost", range(len(STEPS)))
def test_a_lost_entry_is_a_gap_and_no_violation(
    lost: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Also the first and the last; a lost write of the status is counted, if nothing else can be meant."""
    entries = [entry(step) for step in range(len(STEPS)) if step != lost]
    said = read(monkeypatch, tmp_path, entries, run_at(LAST))

    assert len(said.lives.gaps()) == 1
    assert judged(said) == []
    assert said.writes == {UID: 8}


@pytest.mark.parametrize("first", range(len(STEPS) - 1))
def test_two_lost_entries_are_no_violation(
    first: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A server that dies loses the last it did; never more writes are counted than there were."""
    entries = [entry(step) for step in range(len(STEPS)) if step not in (first, first + 1)]
    said = read(monkeypatch, tmp_path, entries, run_at(LAST))

    assert judged(said) == []
    assert 6 <= said.writes[UID] <= 8


def test_a_spec_write_hides_no_gap(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It does not change the status, so a status that is another one was written before."""
    entries = [entry(0), entry(1), entry(3), entry(4)]
    said = read(monkeypatch, tmp_path, entries, run_at(4))

    assert said.lives.gaps() == {(UID, 2)}


def test_what_a_watch_has_seen_fills_gaps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The state is judged like any other; only the step to it is not known to be one."""
    entries = [entry(step) for step in range(len(STEPS)) if step not in (4, 5)]
    said = read(monkeypatch, tmp_path, entries, run_at(LAST), watched=[run_at(4), run_at(5)])

    assert said.lives.statuses() == {UID: [status for _, status in STEPS]}
    assert said.lives.gaps() == {(UID, 4), (UID, 5)}
    assert said.writes == {UID: 8}


WRONG: dict[str, tuple[int, dict[str, Any], str]] = {
    "start": (4, {"attempt": 1, "phase": "Running"}, "attempt 1 Running without a start"),
    "back": (6, {"attempt": 1, "phase": "Starting", **POD}, "became attempt 1 Starting"),
    "pod": (4, {"attempt": 1, "phase": "Running", "startedBy": "else"}, "changed who started it"),
    "record": (6, {"attempt": 1, "phase": "Pending", **POD, **CLEANED}, "without a record of the last"),
}  # fmt: skip


@pytest.mark.parametrize(("step", "becomes", "said"), WRONG.values(), ids=WRONG)
def test_a_violation_is_found_with_an_entry_lost(
    step: int, becomes: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A gap excuses nothing but what it hides: here it is some way before, or right before."""
    steps = [*STEPS[:step], ("status", becomes)]
    for lost in (1, step - 1):
        entries = [entry(n, steps) for n in range(step + 1) if n != lost]
        found = read(monkeypatch, tmp_path, entries, run_at(step, steps))

        assert found.lives.gaps()
        assert any(said in line for line in judged(found)), judged(found)


def test_steps_that_are_whole_are_judged_in_full_beside_a_gap(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The new attempt came before the last was cleaned up; that an entry is lost elsewhere is no excuse."""
    steps = [*STEPS[:6], *STEPS[7:]]
    entries = [entry(n, steps) for n in range(len(steps)) if n != 2]
    found = judged(read(monkeypatch, tmp_path, entries, run_at(len(steps) - 1, steps)))

    assert found == ["I4 run diamond: attempt 2 began before attempt 1 was recorded dead"]


def test_a_write_whose_answer_was_an_error_may_have_happened() -> None:
    """The next write says so: it follows a version that no entry has."""
    lives = Lives()
    for step in (0, 1, 4):
        said = entry(step)
        of_status = "subresource" in said["objectRef"]
        lives.wrote(said["responseObject"], said["requestObject"], verb=said["verb"], of_status=of_status)  # fmt: skip

    assert lives.gaps() == {(UID, 2)}


def test_a_write_that_changes_nothing_is_no_state(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It answers with the version that was there; it costs a write all the same."""
    again = entry(2)
    again["requestObject"] = {"metadata": {"resourceVersion": str(version(2))}}
    entries = [entry(0), entry(1), entry(2), again]
    said = read(monkeypatch, tmp_path, entries, run_at(2))

    assert len(said.lives.statuses()[UID]) == 3
    assert said.lives.gaps() == set()
    assert said.writes == {UID: 3}


def test_a_job_without_an_entry_was_made_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is there, so somebody made it."""
    job = {"metadata": {"name": "f-x-1", "labels": {"dask-flows.dev/run-uid": UID}}}
    said = read(monkeypatch, tmp_path, [entry(0)], run_at(0), jobs=[job])

    assert (said.jobs_made, said.writes) == ({"f-x-1": 1}, {UID: 1})
