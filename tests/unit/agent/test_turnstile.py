"""Who may be claimed: oldest first, never more than the limits, nobody held back by others' limits."""

import random
from collections import Counter, deque
from dataclasses import replace
from typing import Any

import pytest

from dask_flows.agent.turnstile import AHEAD, AHEAD_SECONDS, PATIENCE, Turnstile
from dask_flows.agent.views import RunView
from dask_flows.kube.errors import Conflict, Forbidden, KubeError, Unreachable
from fakes.clock import FixedClock
from samples import agent_config, config_data, flow_run_data

CLEANED = [{"type": "CleanedUp", "status": "True"}]
OVER = {"phase": "Succeeded", "attempt": 1, "conditions": CLEANED}
MANY, PLACES = 10_000, 50


def profile(most: int) -> dict[str, Any]:
    """Return a profile that differs from the release by its limit alone."""
    data = config_data()
    return {"maxConcurrentRuns": most, **{k: data[k] for k in ("runs", "ephemeral", "templates")}}


class Play:
    """A turnstile, what the API server stores, and who was woken."""

    def __init__(self, places: int | None = 2, *, static: int | None = None, **profiles: int):
        shared = config_data("static")["static"]
        self.config = agent_config(
            limits={"maxConcurrentRuns": places},
            static={**shared, "maxConcurrentRuns": static},
            profiles={name: profile(most) for name, most in profiles.items()},
            allowModeOverride=True,
        )
        self.clock = FixedClock()
        self.bases: dict[str, RunView] = {}
        self.stored: dict[str, RunView] = {}
        self.woken: list[str] = []
        self.restart()

    def restart(self) -> None:
        """Begin anew with what is stored, listed by name."""
        self.turnstile = Turnstile(self.config, self.clock, self.woken.append)
        self.woken.clear()
        for name in sorted(self.stored):
            self.turnstile.see(name, None, self.stored[name])

    def store(self, name: str, *, seen: bool = True, **status: Any) -> None:
        """Store a status; ``seen`` is whether the watch tells of it."""
        self._put(name, seen, status)

    def submit(self, name: str, created: int = 0, *, status: Any = None, **spec: Any) -> None:
        """Create a FlowRun."""
        data = flow_run_data(name, f"uid-{name}", **({"flow": "f.py:f"} | spec))
        data["metadata"]["creationTimestamp"] = (
            f"2026-01-01T00:{created // 60:02}:{created % 60:02}Z"
        )
        self.bases[name] = RunView.of(data)
        self._put(name, True, status or {})

    def ask(self, name: str) -> bool:
        """Let a run ask, as its step does."""
        run = self.stored[name].run
        return self.turnstile.admit(run, run.spec.mode or "ephemeral")

    def claim(self, name: str, error: KubeError | None = None, *, written: bool = True) -> bool:
        """Ask, and write the claim if admitted; returns whether it is written and seen."""
        if not self.ask(name):
            return False
        try:
            with self.turnstile.entering(name):
                if error is None or written:
                    self.store(
                        name, seen=error is None, phase="Starting", attempt=1, mode=self.mode(name)
                    )
                if error is not None:
                    raise error
        except KubeError:
            return False
        with self.turnstile.beginning(name):
            pass
        return True

    def mode(self, name: str) -> str:
        """Return the mode of a run."""
        return self.stored[name].run.spec.mode or "ephemeral"

    def _put(self, name: str, seen: bool, status: dict[str, Any]) -> None:
        old = self.stored.get(name) if seen else None
        base = self.bases[name]
        self.stored[name] = replace(base, run=replace(base.run, status=status))
        if seen:
            self.turnstile.see(name, old, self.stored[name])


def test_places_go_to_the_oldest() -> None:
    """By creation, then by name; whoever asks first."""
    play = Play(2)
    for name, created in (("d", 4), ("b", 1), ("c", 2), ("a", 2)):
        play.submit(name, created)

    assert [name for name in "dcab" if play.ask(name)] == ["a", "b"]


@pytest.mark.parametrize(
    ("status", "free"),
    [
        ({"phase": "Starting", "attempt": 1}, False),
        ({"phase": "Running", "attempt": 1}, False),
        ({"phase": "Failed", "attempt": 1}, False),
        ({"phase": "Pending", "attempt": 1}, False),
        ({"phase": "Failed", "attempt": 1, "conditions": CLEANED}, True),
        ({"phase": "Pending", "attempt": 1, "conditions": CLEANED, "retryTime": "2027-01-01T00:00:00Z"}, True),
        ({"phase": "Cancelled"}, True),
    ],
)  # fmt: skip
def test_a_run_keeps_its_place_until_nothing_is_left_of_its_attempt(
    status: dict[str, Any], free: bool
) -> None:
    """Recorded but not cleaned up, it still uses the cluster."""
    play = Play(1)
    play.submit("a")
    play.submit("b", 1)
    assert play.claim("a")
    assert not play.ask("b")

    play.store("a", **status)

    assert (play.woken, play.ask("b")) == ((["b"], True) if free else (play.woken, False))


@pytest.mark.parametrize(
    "how",
    [
        {"suspend": True},
        {"cancel": True},
        {"flow": None},
        {"status": {"attempt": 1, "conditions": CLEANED, "retryTime": "2026-01-01T00:00:09Z"}},
    ],
    ids=["suspended", "cancelled", "invalid", "waits for its retry"],
)
def test_a_run_that_cannot_begin_holds_nobody_back(how: dict[str, Any]) -> None:
    """However old it is."""
    play = Play(1)
    play.submit("old", **how)
    play.submit("new", 5)

    assert play.ask("new")


def test_a_run_whose_time_has_come_is_the_oldest_again() -> None:
    """A new attempt does not go to the end of the line."""
    play = Play(1)
    play.submit(
        "old", status={"attempt": 1, "conditions": CLEANED, "retryTime": "2026-01-01T00:00:09Z"}
    )
    for created, name in enumerate("abc", 1):
        play.submit(name, created)
    assert play.claim("a")
    assert not any(map(play.ask, "bc"))
    play.clock.seconds = 10
    assert not play.ask("old")

    play.store("a", **OVER)

    assert play.woken == ["old"]


@pytest.mark.parametrize(
    ("limits", "specs", "order"),
    [
        ({"small": 1}, ["small", "small", "", ""], "acd"),
        ({"static": 1}, ["static", "static", "", "static"], "ac"),
        ({"places": 2}, ["static", "", "", ""], "ab"),
        ({"places": 2, "small": 5}, ["small", "small", "small", ""], "ab"),
        ({"places": 0, "small": 5}, ["small", ""], ""),
        ({"small": 1, "static": 1}, ["small", "static", "small", "static"], "ab"),
        ({}, ["", "static", "other", ""], "abcd"),
    ],
)
def test_a_limit_holds_back_only_the_runs_that_are_subject_to_it(
    limits: dict[str, int], specs: list[str], order: str
) -> None:
    """Those behind them go ahead as long as the limits they are subject to leave places."""
    play = Play(**({"places": None} | limits))
    for created, (name, kind) in enumerate(zip("abcd", specs, strict=False)):
        spec = {"": {}, "static": {"mode": "static"}}.get(kind, {"profile": kind})
        play.submit(name, created, **spec)

    assert "".join(name for name in play.stored if play.claim(name)) == order


@pytest.mark.parametrize(
    ("limits", "spec", "text"),
    [
        ({"places": 1}, {}, "place 2 of 3: at most 1 run at a time (agent.maxConcurrentRuns)"),
        (
            {"places": 9, "small": 1},
            {"profile": "small"},
            "place 2 of 3: at most 1 run of profile small at a time (profiles.small.maxConcurrentRuns)",
        ),
        (
            {"places": 9, "static": 1},
            {"mode": "static"},
            "place 2 of 3: at most 1 run on the shared cluster at a time (static.maxConcurrentRuns)",
        ),
    ],
)
def test_a_waiting_run_knows_its_place_and_the_limit(
    limits: dict[str, int], spec: dict[str, Any], text: str
) -> None:
    """Counted among those who wait for the same limit."""
    play = Play(**limits)
    for created, name in enumerate("abcd"):
        play.submit(name, created, **spec)
    play.claim("a")

    assert play.turnstile.why("c") == text
    assert play.turnstile.why("a") is None


def test_places_are_called_only_as_there_are_any() -> None:
    """One run ends, one is woken; nobody else has anything to do."""
    play = Play(2)
    for created, name in enumerate("abcdef"):
        play.submit(name, created)
        play.claim(name)
    play.woken.clear()

    play.store("a", **OVER)

    assert play.woken == ["c"]
    assert play.claim("c")
    assert (play.woken, play.turnstile.taken, len(play.turnstile)) == (["c"], 2, 3)


def test_a_claim_whose_answer_is_lost_keeps_its_place() -> None:
    """It may have been written: until the watch shows it, nobody else gets the place."""
    play = Play(1)
    play.submit("a")
    play.submit("b", 1)
    assert not play.claim("a", Unreachable("cut off"))

    assert not play.ask("b")
    assert not play.claim("a", Conflict("changed"), written=False)
    assert not play.ask("b")
    play.turnstile.see("a", None, play.stored["a"])
    play.store("a", **OVER)
    assert play.woken == ["b"]


def test_a_claim_that_is_refused_lets_the_next_one_go() -> None:
    """And it comes back when it asks again."""
    play = Play(1)
    play.submit("a")
    play.submit("b", 1)
    assert not play.claim("a", Forbidden("no"), written=False)

    assert play.claim("b")
    assert not play.ask("a")
    play.store("b", **OVER)
    assert play.woken[-1] == "a"


def test_a_run_that_never_comes_loses_its_place() -> None:
    """After a time in which any watch would have shown a claim."""
    play = Play(1)
    play.submit("a")
    play.submit("b", 1)
    assert not play.ask("b")
    assert play.woken == ["a"]

    play.clock.seconds = PATIENCE + 1

    assert play.ask("b")


def test_a_pause_of_the_shared_cluster_holds_back_no_others() -> None:
    """Those that were called wait again, in their order; they are called when it is over."""
    play = Play(2)
    for created, name in enumerate("abc"):
        play.submit(name, created, mode="static")
    play.submit("own", 9)
    assert play.ask("a")
    assert play.woken == ["b"]

    with play.turnstile.entering("a"):
        play.turnstile.pause(15, "an upgrade waits")

    assert play.claim("own")
    assert [play.turnstile.why(name) for name in "abc"] == ["an upgrade waits"] * 3
    play.woken.clear()
    play.turnstile.resume()
    assert play.woken == ["a"]


def test_a_deleted_run_gives_its_place_to_the_next() -> None:
    """Waiting, called or running."""
    play = Play(1)
    for created, name in enumerate("abcd"):
        play.submit(name, created)
    assert play.claim("a")
    for name in "ba":
        play.turnstile.see(name, play.stored[name], None)

    assert play.woken == ["c"]
    play.turnstile.see("c", play.stored["c"], None)
    assert play.woken == ["c", "d"]


def test_claims_do_not_run_ahead_of_what_can_be_created() -> None:
    """Whoever is called makes its objects before many others are called; a slow one does not stop them."""
    play = Play(None)
    for number in range(20):
        play.submit(f"run-{number:02}", number)
    assert play.ask("run-00")
    assert len(play.woken) == AHEAD - 1
    assert "agent.rateLimit" in str(play.turnstile.why("run-10"))

    play.claim("run-00")
    assert play.woken[-1] == f"run-{AHEAD:02}"
    play.claim("run-01", Unreachable("cut off"), written=False)
    assert play.woken[-1] == f"run-{AHEAD + 1:02}"
    with play.turnstile.beginning("run-02"):  # this one waits for its turn to create
        play.clock.seconds = AHEAD_SECONDS
        play.ask("run-19")
        assert play.woken[-1] == f"run-{2 * AHEAD:02}"
    assert play.woken[-1] == f"run-{2 * AHEAD + 1:02}"


def test_nobody_is_called_before_everything_is_known() -> None:
    """After a restart the list comes by name: the active runs may be its last ones."""
    play = Play(2)
    for created, name in enumerate(("b", "a", "z", "y")):
        play.submit(name, created)
    for name in ("z", "y"):
        play.store(name, phase="Running", attempt=1, mode="ephemeral")

    play.restart()

    assert play.woken == []
    assert not play.ask("a")
    play.store("y", **OVER)
    assert play.woken == ["b"]


def test_ten_thousand_runs_with_fifty_places() -> None:
    """Each is woken once, in order; the work for one change does not grow with the line."""
    play = Play(PLACES)
    for number in range(MANY):
        play.submit(f"run-{number * 7919 % MANY:05}", number % 3600)
    order = sorted(play.stored, key=lambda name: (play.stored[name].run.created, name))
    for name in reversed(order):
        play.ask(name)
    started: list[str] = []
    active: deque[str] = deque()
    while play.woken or active:
        if play.woken and len(active) < PLACES:
            name = play.woken.pop(0)
            assert play.claim(name)
            started.append(name)
            active.append(name)
        else:
            assert play.woken == []
            assert len(active) == PLACES or len(play.turnstile) == 0
            play.store(active.popleft(), **OVER)
        assert play.turnstile.taken <= PLACES
        if len(started) == MANY // 2:
            play.restart()
            assert not play.ask(order[-1])

    assert started == order


@pytest.mark.parametrize("seed", range(20))
def test_the_limits_hold_whatever_happens(seed: int) -> None:
    """Lost answers, refusals, late watches and restarts: what is stored never exceeds a limit."""
    chance = random.Random(seed)
    play = Play(5, static=3, small=2)
    for number in range(40):
        spec = chance.choice([{}, {"mode": "static"}, {"profile": "small"}, {"profile": "small", "mode": "static"}])  # fmt: skip
        play.submit(f"run-{number:02}", chance.randrange(60), **spec)
    unseen: set[str] = set()
    for _ in range(600):
        name = chance.choice(list(play.stored))
        run = play.stored[name].run
        happens = chance.random()
        if happens < 0.02:
            play.restart()
            unseen.clear()
        elif name in unseen:
            play.turnstile.see(name, None, play.stored[name])
            unseen.discard(name)
        elif run.phase == "Starting" and happens < 0.4:
            play.store(name, **OVER)
        elif run.phase == "Pending":
            error = chance.choice([None, None, Unreachable("?"), Conflict("!"), Forbidden("no")])
            lost = isinstance(error, Unreachable) and chance.random() < 0.5
            play.claim(name, error, written=lost)
            if play.stored[name].run.phase == "Starting" and error is not None:
                unseen.add(name)
        active = [view.run for view in play.stored.values() if view.run.phase == "Starting"]
        count = Counter(key for run in active for key in (run.spec.profile, play.mode(run.name)))
        assert len(active) <= 5
        assert count["static"] <= 3
        assert count["small"] <= 2
    assert any(view.run.phase == "Succeeded" for view in play.stored.values())
