"""The schedule of a soak: decided by seed and length alone."""

from itertools import pairwise, takewhile

import pytest

from soak import schedule
from soak.schedule import AGENT, CONTROL, LANES, LOAD, PODS, RELEASE

SEEDS = range(20)


def test_the_same_seed_is_the_same_schedule() -> None:
    """What was found once can be looked for again."""
    assert schedule.make(7, 10) == schedule.make(7, 10)
    assert schedule.make(7, 10) != schedule.make(8, 10)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_longer_soak_begins_as_the_shorter_one(seed: int) -> None:
    """A fault found in 30 minutes is found again with just enough of them."""
    short, long = schedule.make(seed, 2), schedule.make(seed, 9)

    assert list(takewhile(lambda action: action.at < 120, long)) == short


def test_a_lane_does_not_depend_on_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """More faults of one sort must not shuffle the others."""
    before = schedule.make(3, 5)
    monkeypatch.setattr(schedule, "POD_FAULTS", {("kill", "worker"): 1})
    after = schedule.make(3, 5)

    assert [a for a in before if a.lane != PODS] == [a for a in after if a.lane != PODS]
    assert before != after


@pytest.mark.parametrize("seed", SEEDS)
def test_in_storms_the_agent_is_killed_every_1_to_7_seconds_and_left_alone_between(
    seed: int,
) -> None:
    """Both are needed: faults at every moment, and time in which runs end."""
    kills = [a.at for a in schedule.make(seed, 10) if a.lane == AGENT and a.verb == "kill"]
    gaps = [later - earlier for earlier, later in pairwise(kills)]

    assert all(1 <= gap <= 7 or gap > 14 for gap in gaps)
    assert sum(gap > 14 for gap in gaps) >= 8
    assert sum(gap <= 7 for gap in gaps) >= 20


@pytest.mark.parametrize("seed", SEEDS)
def test_outages_are_short_and_never_overlap(seed: int) -> None:
    """Each ends before the next begins, so the cluster is whole in between."""
    outages = [a for a in schedule.make(seed, 10) if a.lane == CONTROL]

    assert outages
    assert all(2 <= a.seconds <= (5 if a.target == "etcd" else 10) for a in outages)
    assert all(b.at >= a.at + a.seconds + 20 for a, b in pairwise(outages))


@pytest.mark.parametrize("seed", SEEDS)
def test_every_component_is_stopped_before_any_gets_a_second_round(seed: int) -> None:
    """A short soak has few outages: each sort of them is among the first."""
    outages = [(a.verb, a.target) for a in schedule.make(seed, 10) if a.lane == CONTROL]

    assert sorted(outages[:4]) == sorted(schedule.COMPONENTS)
    assert ("kill", "apiserver") in outages[:4]
    assert ("stop", "etcd") in outages[:4]


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_done_to_a_run_comes_after_its_creation(seed: int) -> None:
    """Names are used once, and every run that hangs is cancelled, every suspended one resumed."""
    actions = [a for a in schedule.make(seed, 10) if a.lane == LOAD]
    created: dict[str, schedule.Action] = {}
    asked: dict[str, str] = {}
    for action in actions:
        if action.verb == "create":
            assert action.target not in created
            created[action.target] = action
        else:
            assert created[action.target].at < action.at
            asked[action.target] = action.verb

    needed = {"hang": "cancel", "suspended": "resume", "deleted": "remove"}
    for name, action in created.items():
        if action.kind in needed and action.at < 10 * 60 - 25:
            assert asked[name] == needed[action.kind]


def test_ten_minutes_hold_everything_there_is() -> None:
    """No kind of run, mode, fault or upgrade is only for show."""
    actions = [a for seed in SEEDS for a in schedule.make(seed, 10)]

    assert {a.lane for a in actions} == set(LANES)
    assert {a.kind for a in actions if a.verb == "create"} == set(schedule.KINDS)
    assert {a.mode for a in actions if a.verb == "create"} == set(schedule.MODES)
    assert {(a.verb, a.target) for a in actions if a.lane == PODS} == set(schedule.POD_FAULTS)
    assert {(a.verb, a.target) for a in actions if a.lane == CONTROL} == set(schedule.COMPONENTS)
    assert {a.target for a in actions if a.lane == RELEASE} == set(schedule.UPGRADES)
