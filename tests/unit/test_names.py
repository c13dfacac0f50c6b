"""Rules of names: valid everywhere in Kubernetes, readable, and never two runs with one name."""

import re

import pytest

from dask_flows import names

DNS_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
UID = "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d"


@pytest.mark.parametrize(
    "run",
    ["diamond", "01-diamond", "a.b.c", "x" * 52, "ends-in-a-dash-when-it-is-cut-", "-", "A_B", "é"],
)
def test_every_name_is_valid_for_a_service_and_leaves_room(run: str) -> None:
    """Services need DNS-1035; Kubernetes and Dask add up to 10 characters."""
    base = names.attempt_name(run, UID, 12)

    assert DNS_1035.fullmatch(base)
    assert len(base) <= 53
    assert len(names.scheduler_name(base)) <= 63
    assert len(names.worker_name(base, 9999)) <= 63


def test_a_run_made_again_under_its_name_gets_other_names() -> None:
    """The UID is part of the name, so old objects never meet the new run."""
    first, second = (names.attempt_name("diamond", uid, 1) for uid in ("uid-1", "uid-2"))

    assert first != second


def test_a_name_is_the_same_each_time_it_is_asked_for() -> None:
    """A restarted agent finds what the last one made."""
    assert names.attempt_name("diamond", UID, 1) == names.attempt_name("diamond", UID, 1)


@pytest.mark.parametrize(
    ("name", "number"),
    [("f-a-1-worker-0", 0), ("f-a-1-worker-17", 17), ("f-a-1-worker-", None), ("f-b-1-worker-1", None),
     ("f-a-1-scheduler", None), ("f-a-1-worker-x", None)],
)  # fmt: skip
def test_a_worker_number_is_read_back_only_from_own_workers(name: str, number: int | None) -> None:
    """Other pods' names are not numbers of ours."""
    assert names.worker_number("f-a-1", name) == number


def test_labels_name_the_run_its_uid_and_the_attempt() -> None:
    """Everything of an attempt can be found, and swept, by label."""
    labels = names.attempt_labels("diamond", UID, 2, "worker")

    assert labels[names.LABEL_RUN] == "diamond"
    assert labels[names.LABEL_RUN_UID] == UID
    assert labels[names.LABEL_ATTEMPT] == "2"
    assert labels[names.LABEL_MANAGED_BY] == names.MANAGER
