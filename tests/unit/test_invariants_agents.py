"""The checker asks the agents in a namespace's pods what they have logged and how much memory they took."""

from pathlib import Path
from typing import Any

import pytest

import invariants
from invariants import agents
from invariants.evidence import Agent
from kube import Kube

NOW, GONE = "a" * 64, "b" * 64
RUNS = {"running": {"startedAt": "2026-01-01T00:00:05Z"}}
ENDED = {"terminated": {"startedAt": "2026-01-01T00:00:01Z", "containerID": GONE}}
TRACEBACK = "ready\nTraceback (most recent call last):\n"


def pod(name: str, state: dict[str, Any], last: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return an agent's pod."""
    status = {"name": "agent", "containerID": f"containerd://{NOW}", "state": state}
    status["lastState"] = last or {}
    return {"metadata": {"name": name}, "status": {"containerStatuses": [status]}}


class Namespace(Kube):
    """A namespace with agents whose logs are known; it has no audit log, and nothing else in it."""

    def __init__(self, *pods: dict[str, Any], **logs: str) -> None:
        super().__init__("http://127.0.0.1:1", "ns")
        self.pods, self.said = list(pods), logs
        self.gone: set[str] = set()
        self.going: dict[str, str] = {}  # what is said of a pod on its way out

    def request(self, *_: Any, **__: Any) -> dict[str, Any]:
        """Answer with the namespace."""
        return {"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}}

    def list(self, kind: str, selector: str = "") -> list[dict[str, Any]]:
        """List the agents' pods."""
        return self.pods if (kind, selector) == ("pods", agents.AGENT) else []

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        """Read a pod that may have gone."""
        assert kind == "pods"
        return None if name in self.gone else {"metadata": self.going}

    def logs(self, *args: str) -> str:
        """Return a log; without one fail as kubectl does."""
        name, _, container, whole, *which = args
        assert (container, whole) == ("agent", "--tail=-1")
        key = "_".join([name, *(one.strip("-") for one in which)])
        assert key in self.said, "previous terminated container not found"
        return self.said[key]


@pytest.fixture(autouse=True)
def no_processes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let somebody else's cluster be asked, whose processes are not of this machine."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("DASK_FLOWS_CLUSTER", str(tmp_path / "cluster"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    monkeypatch.setattr(agents, "peak_mib", lambda container: 80.0 if container == NOW else None)


def test_each_container_is_asked_and_the_one_before_it() -> None:
    """What has not begun has said nothing; what has ended is not measured."""
    kube = Namespace(
        pod("one", RUNS, ENDED), pod("two", {"waiting": {}}, ENDED), pod("new", {"waiting": {}}),
        pod("over", ENDED), {"metadata": {"name": "bare"}, "status": {}},
        one="1", one_previous="0", two_previous="2", over="3",
    )  # fmt: skip

    assert agents.in_pods(kube) == [
        Agent("one (now)", "1", 80.0), Agent("one (before)", "0"), Agent("two (before)", "2"),
        Agent("over (now)", "3", 80.0),
    ]  # fmt: skip


def test_only_a_log_that_must_be_there_is_missed() -> None:
    """A pod may go while it is asked, and a container before it has its log removed at any time."""
    kube = Namespace(pod("one", RUNS, ENDED), one="1")
    assert [one.log for one in agents.in_pods(kube)] == ["1", ""]

    del kube.said["one"]
    with pytest.raises(AssertionError):
        agents.in_pods(kube)

    kube.going = {"deletionTimestamp": "t"}
    assert [one.log for one in agents.in_pods(kube)] == ["", ""]

    kube.going, kube.gone = {}, {"one"}
    assert [one.log for one in agents.in_pods(kube)] == ["", ""]


@pytest.mark.parametrize("previous", ["", "_previous"])
def test_the_check_after_a_test_fails_of_an_agent_s_traceback(previous: str) -> None:
    """Also of the container before the one that runs."""
    kube = Namespace(pod("one", RUNS, ENDED), one="", one_previous="")
    invariants.check(kube, 0)

    kube.said[f"one{previous}"] = TRACEBACK
    with pytest.raises(AssertionError, match=r"I5 1 tracebacks of one .*, the first after: ready"):
        invariants.check(kube, 0)


def test_agents_outside_of_the_cluster_are_handed_over() -> None:
    """They are judged, and no pod is asked."""
    kube = Namespace(pod("one", RUNS))

    invariants.check(kube, 0, agents=[Agent("own", "ready")])
    with pytest.raises(AssertionError, match="I5 own took 300 MiB"):
        invariants.check(kube, 0, agents=[Agent("own", peak_mib=300)])
    assert invariants.violations(kube, agents=[Agent("own", peak_mib=300)]) == [
        "I5 own took 300 MiB, at most 200 are right"
    ]


@pytest.mark.parametrize(
    ("created", "older"),
    [("2026-01-01T00:00:04Z", True), ("2026-01-01T00:00:05Z", True), ("2026-01-01T00:00:06Z", False)],
)  # fmt: skip
def test_a_run_that_is_older_than_the_agent_may_have_had_another(created: str, older: bool) -> None:
    """In whole seconds, so one of the same second may be."""
    kube, run = Namespace(pod("one", RUNS, ENDED)), {"uid": "u", "creationTimestamp": created}
    kube.list = lambda kind, selector="": (  # type: ignore[method-assign]
        [{"metadata": run}] if kind == "flowruns" else kube.pods if selector == agents.AGENT else []
    )

    assert invariants.read(kube).handed_over == ({"u"} if older else set())


def test_no_agent_runs_since_never() -> None:
    """Then no run is older than one."""
    assert agents.since([pod("one", {"waiting": {}}, ENDED), {"status": {}}]) == ""
