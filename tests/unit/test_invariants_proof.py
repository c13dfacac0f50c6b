"""A checker without an audit log: a notice on somebody else's cluster, a failure where there must be one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import invariants
from invariants import audit
from invariants.evidence import MANAGED
from kube import Kube

NAMESPACE = {"metadata": {"name": "ns", "creationTimestamp": "2026-01-01T00:00:00Z"}}
EARLIER, LATER = "2025-12-31T00:00:00Z", "2026-01-01T00:00:05Z"


class Still(Kube):
    """A namespace in which nothing runs."""

    def __init__(self, **objects: list[dict[str, Any]]) -> None:
        super().__init__("http://127.0.0.1:1", "ns")
        self.objects = objects

    def request(self, method: str, path: str, *_: Any, **__: Any) -> dict[str, Any]:
        """Answer with the namespace."""
        assert (method, path) == ("GET", "/api/v1/namespaces/ns")
        return NAMESPACE

    def list(self, kind: str, selector: str = "") -> list[dict[str, Any]]:
        """List what was given, whatever its labels."""
        return [] if selector == MANAGED else self.objects.get(kind, [])


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the folder of our own cluster; somebody else's is the one that is asked."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("DASK_FLOWS_CLUSTER", str(tmp_path / "cluster"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "elsewhere" / "kubeconfig"))
    monkeypatch.setattr(invariants, "_SAID", set())
    (tmp_path / "cluster" / "log").mkdir(parents=True)
    return tmp_path / "cluster"


def entry(at: str, namespace: str = "ns") -> str:
    """Return a line of the log, of a write that no rule is about."""
    body = {
        "kind": "Event",
        "verb": "create",
        "user": {"username": "admin"},
        "objectRef": {"resource": "pods", "namespace": namespace, "name": "x"},
        "responseStatus": {"code": 201},
        "requestReceivedTimestamp": at,
    }
    return json.dumps(body, separators=(",", ":")) + "\n"


def no_log(_: Path) -> None:
    """Write none."""


def foreign(log: Path) -> None:
    """Write one that knows nothing of the namespace."""
    log.write_text(entry(EARLIER, "else"))


def rotated(log: Path) -> None:
    """Write one whose begin is gone."""
    log.write_text(entry(LATER))


def whole(log: Path) -> None:
    """Write one that has it all."""
    log.write_text(entry(EARLIER, "else") + entry(LATER))


NO_PROOF = {
    no_log: "no audit log at",
    foreign: "is not of this cluster",
    rotated: "does not reach back to 2026-01-01T00:00:00Z",
}


@pytest.mark.parametrize("owed", ["CI", "our own cluster"])
@pytest.mark.parametrize(("write", "why"), NO_PROOF.items(), ids=[w.__name__ for w in NO_PROOF])
def test_where_there_must_be_a_log_its_absence_fails(
    write: Callable[[Path], None],
    why: str,
    owed: str,
    cluster: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else order and cost would be taken for right without a look; it says what is missing, and why that counts."""
    write(cluster / "log" / "audit.log")
    if owed == "CI":
        monkeypatch.setenv("CI", "true")
    else:
        monkeypatch.setenv("KUBECONFIG", str(cluster / "kubeconfig"))

    with pytest.raises(AssertionError, match=f"the audit log proves nothing: .*{why}") as failed:
        invariants.check(Still(), 0)
    assert ("CI=true" if owed == "CI" else f"the cluster in {cluster} writes one") in str(
        failed.value
    )
    assert why in invariants.unproven(Still())


@pytest.mark.parametrize(("write", "why"), NO_PROOF.items(), ids=[w.__name__ for w in NO_PROOF])
def test_somebody_else_s_cluster_is_judged_by_the_rest(
    write: Callable[[Path], None], why: str, cluster: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may have no audit log that we can read: that is said, once."""
    write(cluster / "log" / "audit.log")

    invariants.check(Still(), 0)
    invariants.check(Still(), 0)

    said = capsys.readouterr().err
    assert said.count("are not checked") == 1
    assert why in said


def test_a_log_that_is_there_is_enough(cluster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On our own cluster, in CI."""
    whole(cluster / "log" / "audit.log")
    monkeypatch.setenv("CI", "true")
    monkeypatch.setenv("KUBECONFIG", str(cluster / "kubeconfig"))

    invariants.check(Still(), 0)

    assert invariants.unproven(Still()) == ""


@pytest.mark.parametrize(
    ("kubeconfig", "own"),
    [
        ("cluster/kubeconfig", True),
        ("elsewhere/kubeconfig:cluster/kubeconfig", True),
        ("linked/kubeconfig", True),
        ("cluster-2/kubeconfig", False),
        ("", False),
    ],
)
def test_our_own_cluster_is_known_by_its_folder(
    kubeconfig: str, own: bool, cluster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its kubeconfig is beside its log."""
    top = cluster.parent
    (top / "linked").symlink_to(cluster)
    paths = [str(top / part) for part in kubeconfig.split(":") if part]
    monkeypatch.setenv("KUBECONFIG", ":".join(paths))

    assert bool(audit.owed()) is own


@pytest.mark.parametrize(
    ("variable", "log"),
    [
        ("DASK_FLOWS_CLUSTER", "log/audit.log"),
        ("DASK_FLOWS_CACHE", "cluster/log/audit.log"),
        ("XDG_CACHE_HOME", "dask-flows/cluster/log/audit.log"),
        ("HOME", ".cache/dask-flows/cluster/log/audit.log"),
    ],
)
def test_the_log_is_where_the_cluster_s_program_puts_it(
    variable: str, log: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looked for elsewhere, it would be taken for missing."""
    for name in ("DASK_FLOWS_CLUSTER", "DASK_FLOWS_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, str(tmp_path))

    assert audit.default_log() == tmp_path / log


def release(ttl: int | None, **profiles: int | None) -> dict[str, Any]:
    """Return a release's configuration with these times to live."""
    config = {
        "runs": {"ttlSecondsAfterFinished": ttl},
        "profiles": {n: {"runs": {"ttlSecondsAfterFinished": t}} for n, t in profiles.items()},
    }
    return {"metadata": {"name": "flows"}, "data": {"config.yaml": yaml.safe_dump(config)}}


@pytest.mark.parametrize(
    ("maps", "expires"),
    [
        ([release(86400)], True),
        ([release(0, big=5)], True),
        ([release(86400), {"metadata": {"name": "other"}}], True),
        ([release(None)], False),
        ([release(86400, big=None)], False),
        ([release(86400), release(None)], False),
        ([], False),
    ],
)
def test_the_release_tells_whether_finished_jobs_expire(
    maps: list[dict[str, Any]], expires: bool, cluster: Path
) -> None:
    """Only if it does so for every run: which profile had which time to live is not in evidence."""
    whole(cluster / "log" / "audit.log")

    assert invariants.read(Still(configmaps=maps)).expires is expires
