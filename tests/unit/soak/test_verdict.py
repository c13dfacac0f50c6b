"""A soak whose audit log proves nothing has judged less than it says: it ends as broken, not as right."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kube import Kube
from soak import report
from soak.journal import Journal
from soak.many import Many
from soak.soak import Soak
from soak.world import World

FOREIGN = '{"kind":"Event","verb":"get","namespace":"else","requestReceivedTimestamp":"2025-12-31T00:00:00Z"}\n'


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


def judged(journal: Journal, namespace: str) -> report.Result:
    """Let a soak and its lane of many runs judge a namespace."""
    kube: Any = Still("", namespace)
    soak = Soak([], argparse.Namespace(seed=1, minutes=1.0), journal.folder)
    soak._journal._file.close()
    history: Any = SimpleNamespace(states=[])
    found = soak._invariants(World(kube, journal, journal.folder), [], history)
    many = Many(journal)
    many._kube, many._driver = kube, SimpleNamespace(starts={})  # type: ignore[assignment]
    many._judge()
    soak._add(many)
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
