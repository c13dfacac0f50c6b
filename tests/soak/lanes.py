"""Run a schedule: every lane in a thread of its own, each action at its time or as soon as it can be."""

import threading
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

from soak import faults, load, release_lane
from soak.counter import PORT
from soak.many import Many
from soak.schedule import AGENT, CONTROL, LANES, LOAD, MANY, PODS, RELEASE, Action
from soak.world import MOST_ACTIVE, World

Do = Callable[[Action], None]
POLL = 0.5


class Lanes:
    """Carry out the actions; ``broken`` holds what went wrong with the soak itself."""

    def __init__(
        self,
        world: World,
        counter: str,
        seconds: float,
        *,
        announce: Path | None,
        many: Many | None,
    ) -> None:
        self.broken: list[str] = []
        self._world = world
        self._counter = counter
        self._seconds = seconds
        self._over = threading.Event()
        self._do: dict[str, Do] = {
            LOAD: self._load,
            AGENT: partial(faults.agent, world),
            PODS: partial(faults.pods, world),
            CONTROL: partial(faults.control, world, announce=announce),
            RELEASE: partial(release_lane.upgrade, world),
        }
        if many is not None:
            self._do[MANY] = many.do

    def run(self, actions: list[Action]) -> None:
        """Return when every lane has ended."""
        threads = [
            threading.Thread(
                target=self._whole_lane,
                args=(lane, [a for a in actions if a.lane == lane]),
                name=lane,
            )
            for lane in LANES
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def stop(self) -> None:
        """Let no further action begin."""
        self._over.set()

    def catch_up(self, actions: list[Action]) -> None:
        """Do for the runs that are there what was still to come."""
        for action in actions:
            done = action.verb in self._world.asked[action.target]
            there = action.target in self._world.created
            if action.lane == LOAD and action.verb != "create" and there and not done:
                self._carry_out(action)

    def _whole_lane(self, lane: str, actions: list[Action]) -> None:
        try:
            self._lane(actions)
        except Exception as error:  # noqa: BLE001 - a lane that ends early must be named at the end
            self._world.journal.keep(f"broken/lane-{lane}.txt", traceback.format_exc())
            self.broken.append(f"lane {lane} ended early: {error!r}"[:500])

    def _lane(self, actions: list[Action]) -> None:
        lag = 0.0
        for action in actions:
            if self._over.wait(max(0.0, action.at + lag - self._world.journal.now)):
                return
            if action.verb == "create":
                lag = max(lag, self._room() - action.at)
            if self._world.journal.now > self._seconds or self._over.is_set():
                return
            self._carry_out(action)

    def _carry_out(self, action: Action) -> None:
        try:
            self._do[action.lane](action)
        except Exception as error:  # noqa: BLE001 - one action must not end its lane; said at the end
            self._world.journal.note(action, f"failed: {error!r}"[:500])
            self._world.journal.keep(
                f"broken/{action.at:.1f}-{action.verb}.txt", traceback.format_exc()
            )
            self.broken.append(f"{action}: {error!r}"[:500])

    def _room(self) -> float:
        """Wait until another run may come; returns the time."""
        while len(self._world.active()) >= MOST_ACTIVE and not self._over.wait(POLL):
            if self._world.journal.now > self._seconds:
                break
        return self._world.journal.now

    def _load(self, action: Action) -> None:
        world, name = self._world, action.target
        if action.verb == "create":
            body = load.flow_run(name, action.kind, action.mode, self._counter, PORT)
            world.created[name] = world.kube.create("flowruns", body)
            if world.half:
                world.hurting([name], "an upgrade that ended in the middle")
        elif name in world.created:
            world.asked[name].add(action.verb)
            self._ask(action)
        world.journal.note(action, "done" if name in world.created else "it was never created")

    def _ask(self, action: Action) -> None:
        kube, name = self._world.kube, action.target
        if action.verb == "remove":
            kube.delete("flowruns", name)
            return
        change = {"cancel": True} if action.verb == "cancel" else {"suspend": False}
        kube.patch("flowruns", name, {"spec": change})
