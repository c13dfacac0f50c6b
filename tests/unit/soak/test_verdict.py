"""A soak whose audit log proves nothing has judged less than it says: it ends as broken, not as right."""

import argparse
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import invariants
from kube import Kube
from soak import counter, judging, many, report
from soak.journal import Journal
from soak.many import Many
from soak.schedule import AGENT, CONTROL, MANY, Action
from soak.soak import Soak
from soak.strikes import Strike
from soak.watching import Readiness
from soak.world import World

FOREIGN = '{"kind":"Event","verb":"get","namespace":"else","requestReceivedTimestamp":"2025-12-31T00:00:00Z"}\n'
KIND = {"soak/kind": "hang"}


class Still(Kube):
    """A namespace in which nothing is."""

    def request(self, *_: Any, **__: Any) -> dict[str, Any]:
        """Answer with the namespace and an empty list."""
        return {"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}, "items": []}


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Journal]:
    """Give a journal beside a cluster whose log tells of another namespace."""
    monkeypatch.setenv("DASK_FLOWS_CLUSTER", str(tmp_path))
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "audit.log").write_text(FOREIGN)
    made = Journal(tmp_path / "soak")
    yield made
    made._file.close()


def judged(
    journal: Journal, namespace: str, peak: float = 0.0, *, kube: Any = None,
    strikes: Sequence[Strike] = (),
) -> report.Result:  # fmt: skip
    """Let a soak and its lane of many runs judge a namespace."""
    kube = kube or Still("", namespace)
    soak = Soak([], argparse.Namespace(seed=1, minutes=1.0), journal.folder)
    soak._journal._file.close()
    soak._result.agent_peak_mib = peak
    history: Any = SimpleNamespace(states=[])
    found = soak._invariants(World(kube, journal, journal.folder), [], history, list(strikes))
    lane = Many(journal)
    lane._kube, lane._driver = kube, SimpleNamespace(starts={})  # type: ignore[assignment]
    lane.peak_mib, lane.runs = peak, kube.list("flowruns")
    lane._judge(list(strikes))
    soak._add(lane)
    soak._result.violations += found
    return soak._result


def test_a_log_that_proves_nothing_breaks_the_soak(journal: Journal) -> None:
    """Of either namespace; no rule is broken, so it says that the soak itself failed."""
    result = judged(journal, "ns")

    assert (result.violations, result.exit_code, result.to_dict()["ok"]) == ([], 3, False)
    own, of_many = result.broken
    assert own.startswith("the audit log proves nothing: ")
    assert own.endswith("is not of this cluster")
    assert of_many == f"many: {own}"


def test_a_log_that_proves_something_is_right(journal: Journal) -> None:
    """Nothing is broken and nothing is wrong."""
    assert judged(journal, "else").exit_code == 0


@pytest.mark.parametrize(("peak", "wrong"), [(200.0, 0), (201.0, 2)])
def test_an_agent_that_grows_too_large_is_a_violation(
    peak: float, wrong: int, journal: Journal
) -> None:
    """Of either lane."""
    found = judged(journal, "else", peak)

    assert [line for line in found.violations if "took 201 MiB" in line] == found.violations
    assert len(found.violations) == wrong


class Busy(Still):
    """A namespace with two runs that the agent has written, one of them when the first agent had died."""

    def list(self, kind: str, selector: str = "") -> list[dict[str, Any]]:
        """List the runs."""
        cleaned = {
            "type": "CleanedUp",
            "status": "True",
            "lastTransitionTime": "2026-01-01T00:00:09Z",
        }
        status = {"phase": "Cancelled", "reason": "r", "message": "m", "conditions": [cleaned]}
        return [
            {"metadata": {"name": name, "uid": name, "creationTimestamp": at}, "status": status}
            for name, at in (
                ("m-0-early", "2026-01-01T00:00:01Z"),
                ("m-1-late", "2026-01-01T00:00:08Z"),
            )
            if kind == "flowruns"
        ]


def test_only_who_was_alive_may_cost_more(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The strike hit one of the two runs; both lanes tell the checker so, by run."""
    told: list[dict[str, int]] = []
    monkeypatch.setattr(
        invariants, "violations", lambda *_, faults, **__: told.append(faults) or []
    )
    monkeypatch.setattr(
        many,
        "PARTS",
        {kind: many.Part(phase="Cancelled", reason="r") for kind in ("early", "late")},
    )
    at = datetime(2026, 1, 1, 0, 0, 5, tzinfo=UTC).timestamp()
    judged(journal, "else", kube=Busy("", "else"), strikes=[Strike("agent", at, at)])

    assert told == [{"m-0-early": 1, "m-1-late": 0}] * 2


def test_the_lane_of_many_runs_is_struck_by_its_own_agent_s_end_and_by_outages(
    journal: Journal,
) -> None:
    """What befalls the agent of the other lane is no excuse; its memory is that of all its agents."""
    lane, told = Many(journal), []
    agent = {"running": True, "pid": 1, "peak_mib": lambda: 90.0}
    calls = dict.fromkeys(("kill", "start", "wait_ready"), lambda: None)
    lane._agent = SimpleNamespace(**agent, **calls)  # type: ignore[assignment]
    lane._kube = Busy("", "else")  # type: ignore[assignment]
    lane._judge = told.extend  # type: ignore[method-assign]
    lane.do(Action(0.0, MANY, "kill", "agent"))
    lane.finish([Strike(AGENT, 1.0, 2.0), Strike(CONTROL, 1.0, 2.0)])

    assert [strike.what for strike in told] == [MANY, CONTROL]
    assert (lane.kills, lane.peak_mib) == (1, 90.0)


@pytest.mark.parametrize(("back", "wrong"), [(60.0, 0), (61.0, 1)])
def test_the_verdict_has_the_agent_s_figures(
    back: float, wrong: int, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How long it took to be back is judged; each agent that began is known to the rules."""
    told: list[dict[str, int]] = []
    monkeypatch.setattr(
        invariants, "violations", lambda *_, faults, **__: told.append(faults) or []
    )
    monkeypatch.setattr(counter, "starts", lambda _: [])
    monkeypatch.setattr(judging, "endings", lambda *_: [])
    kube: Any = Busy("", "else")
    kube.list = lambda *_: [one | {"metadata": one["metadata"] | {"labels": KIND}}
                            for one in Busy.list(kube, "flowruns")]  # fmt: skip
    world, ready = World(kube, journal, journal.folder), Readiness(kube)
    world.created = world.runs()
    ready.times = [(0.0, True), (10.0, False), (10.0 + back, True)]
    ready.begun = {"c1": datetime(2026, 1, 1, 0, 0, 5, tzinfo=UTC).timestamp()}
    soak = Soak([], argparse.Namespace(seed=1, minutes=1.0), journal.folder)
    soak._journal._file.close()
    history: Any = SimpleNamespace(states=[], runs={}, lacks=lambda _: [])
    memory: Any = SimpleNamespace(peak=70.4)
    soak._judge(world, ready, history, memory)

    assert len(soak._result.violations) == wrong
    assert told == [{"m-0-early": 1, "m-1-late": 0}]
    shown = report.table(soak._result)
    assert f"longest recovery         {back:.1f} s" in shown
    assert "most memory of an agent  70 MiB" in shown
