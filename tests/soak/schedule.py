"""What a soak does and when: a pure function of its seed and its length.

Each lane has a random generator of its own, so leaving a lane out changes nothing in the others, and a
longer soak begins as the shorter one of the same seed. What is chosen while it runs (which of the pods
that are there) is chosen by ``pick``, a number of the schedule.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import count
from random import Random
from typing import Any

# Actions of a lane happen one after the other; lanes do not wait for each other.
LOAD, AGENT, PODS, CONTROL, RELEASE = "load", "agent", "pods", "control", "release"
MANY = "many"  # on fake nodes, with an agent of its own
LANES = (LOAD, AGENT, PODS, CONTROL, RELEASE, MANY)

# How often each occurs among a hundred.
KINDS = {
    "succeed": 16, "workers": 20, "long": 16, "print": 5, "fail": 8, "flaky": 10,
    "hang": 8, "deadline": 5, "suspended": 5, "deleted": 7,
}  # fmt: skip
PLAYS = {
    "succeed": 30, "ephemeral": 15, "fail": 15, "flaky": 15, "silent": 10, "die": 5, "hang": 5, "suspended": 5,
}  # fmt: skip
MODES = {"": 45, "ephemeral": 35, "local": 20}
POD_FAULTS = {
    ("kill", "runner"): 25, ("kill", "scheduler"): 10, ("kill", "worker"): 20,
    ("delete", "runner"): 10, ("delete", "scheduler"): 10, ("delete", "worker"): 10,
    ("evict", "runner"): 5, ("evict", "scheduler"): 5, ("evict", "worker"): 5,
}  # fmt: skip
# Dealt out before any comes again, so that three minutes hold nearly always all of them.
# What is killed loses what it had not yet written; what is stopped ends in order.
COMPONENTS = (
    ("kill", "apiserver"), ("stop", "apiserver"), ("stop", "controller-manager"), ("stop", "etcd"),
)  # fmt: skip
UPGRADES = {"mode": 40, "annotation": 25, "workers": 20, "killed": 15}

FIRST_CALM = 12.0
OUTAGE, OUTAGE_OF_ETCD = (2.0, 10.0), (2.0, 5.0)  # seconds


@dataclass(frozen=True)
class Action:
    """One thing to do, ``at`` seconds after the begin.

    ``target`` is a run's name, a kind of pod, a component or a kind of upgrade; ``pick`` in [0, 1) says which
    of several; ``seconds`` is how long it lasts; ``kind`` and ``mode`` describe a new run.
    """

    at: float
    lane: str
    verb: str
    target: str
    pick: float = 0.0
    seconds: float = 0.0
    kind: str = ""
    mode: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return what is said of it."""
        return {key: value for key, value in asdict(self).items() if value not in ("", 0.0)}

    def __str__(self) -> str:
        extras = [self.kind, self.mode, f"{self.seconds:.1f} s" if self.seconds else ""]
        picked = f"pick {self.pick:.3f}" if self.pick else ""
        text = " ".join(part for part in (*extras, picked) if part)
        return f"{self.at:7.1f} s  {self.lane:<8}{self.verb:<8}{self.target:<20}{text}".rstrip()


def make(seed: int, minutes: float) -> list[Action]:
    """Return every action of a soak in the order of time."""
    end = minutes * 60
    lanes = (
        _load(seed), _agent(seed), _pods(seed), _control(seed), _release(seed), _many(seed)
    )  # fmt: skip
    found = [action for lane in lanes for action in _until(lane, end)]
    return sorted(found, key=lambda action: (action.at, LANES.index(action.lane)))


def storms(seed: int) -> Iterator[tuple[float, float]]:
    """Yield begin and end of the times in which the agent is killed again and again, for ever."""
    random, at = Random(f"{seed} storms"), FIRST_CALM
    while True:
        length = random.uniform(10, 25)
        yield at, at + length
        at += length + random.uniform(15, 35)


def _until(lane: Iterator[Action], end: float) -> Iterator[Action]:
    for action in lane:
        if action.at >= end:
            return
        yield action


def _load(seed: int) -> Iterator[Action]:
    """Yield new runs, and what is done with those that are already there, in order."""
    random, at = Random(f"{seed} load"), 0.0
    waiting: list[Action] = []
    for number in count():
        at += random.uniform(2.5, 7.5)
        kind, mode = _chosen(random, KINDS), _chosen(random, MODES)
        due = sorted((one for one in waiting if one.at <= at), key=lambda one: one.at)
        yield from due
        waiting = [one for one in waiting if one.at > at]
        name = f"r{number:04d}-{kind}"
        yield Action(at, LOAD, "create", name, kind=kind, mode=mode)
        waiting += _later(random, at, name, kind)


def _later(random: Random, at: float, name: str, kind: str) -> Iterator[Action]:
    if kind == "hang":
        yield Action(at + random.uniform(1, 20), LOAD, "cancel", name)
    elif kind == "suspended":
        yield Action(at + random.uniform(1, 10), LOAD, "resume", name)
    elif kind == "deleted":
        yield Action(at + random.uniform(0.2, 12), LOAD, "remove", name)
    elif random.random() < 0.08:
        yield Action(at + random.uniform(0.2, 12), LOAD, "cancel", name)


def _agent(seed: int) -> Iterator[Action]:
    """Yield SIGKILLs every 1 to 7 seconds in storms; between some of them the agent is frozen once."""
    random = Random(f"{seed} agent")
    for begin, end in storms(seed):
        at = begin
        while at < end:
            yield Action(at, AGENT, "kill", "agent")
            at += random.uniform(1, 7)
        if random.random() < 0.4:
            yield Action(
                end + random.uniform(4, 8), AGENT, "freeze", "agent", seconds=random.uniform(2, 9)
            )


def _pods(seed: int) -> Iterator[Action]:
    random, at = Random(f"{seed} pods"), FIRST_CALM
    while True:
        at += random.uniform(4, 11)
        verb, target = _chosen(random, POD_FAULTS)
        yield Action(at, PODS, verb, target, pick=random.random())


def _control(seed: int) -> Iterator[Action]:
    random, at = Random(f"{seed} control"), FIRST_CALM
    while True:
        for verb, target in random.sample(COMPONENTS, len(COMPONENTS)):
            at += random.uniform(20, 50)
            seconds = random.uniform(*(OUTAGE_OF_ETCD if target == "etcd" else OUTAGE))
            yield Action(at, CONTROL, verb, target, seconds=seconds)
            at += seconds


def _release(seed: int) -> Iterator[Action]:
    random, at = Random(f"{seed} release"), FIRST_CALM
    while True:
        at += random.uniform(20, 50)
        target = _chosen(random, UPGRADES)
        seconds = random.uniform(0.5, 4) if target == "killed" else 0.0
        yield Action(at, RELEASE, "upgrade", target, pick=random.random(), seconds=seconds)


def _many(seed: int) -> Iterator[Action]:
    """Yield bursts of runs, and SIGKILLs for their own agent every 1 to 7 seconds, in order."""
    random = Random(f"{seed} many")
    at, kill = FIRST_CALM, FIRST_CALM + 2
    for number in count():
        at += random.uniform(2, 10)
        while kill < at:
            yield Action(kill, MANY, "kill", "agent")
            # Left alone now and then, so that runs end.
            kill += random.uniform(1, 7) if random.random() < 0.85 else random.uniform(10, 20)
        plays = [_chosen(random, PLAYS) for _ in range(random.randint(1, 5))]
        yield Action(at, MANY, "burst", f"m{number:04d}", kind=" ".join(plays))


def _chosen(random: Random, weights: dict[Any, int]) -> Any:
    return random.choices(list(weights), list(weights.values()))[0]
