"""What the agent remembers of attempts beside what the API stores.

All of it may be lost at any moment: it makes answers faster or messages better, and no promise rests
on it.
"""

import asyncio
from dataclasses import dataclass, field

from dask_flows.agent.attempt import Attempt
from dask_flows.agent.observed import Beat
from dask_flows.agent.scaling import Goal
from dask_flows.diagnose import Diagnosis
from dask_flows.kube.api import Object
from dask_flows.plan import Plan


class Signal:
    """Wake everybody who waits now."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Event] = set()

    def fire(self) -> None:
        """Wake all who wait."""
        for event in self._waiting:
            event.set()

    async def wait(self, seconds: float) -> bool:
        """Wait until it is fired; False if ``seconds`` pass first."""
        event = asyncio.Event()
        self._waiting.add(event)
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            return False
        finally:
            self._waiting.discard(event)
        return True


@dataclass
class Memory:
    """What is remembered of one attempt; times are UNIX seconds."""

    plan: Plan | None = None
    plan_sought: bool = False
    job_seen: bool = False
    runners_seen: set[str] = field(default_factory=set)
    refusal: Diagnosis | None = None
    stunted: bool = False  # its cluster may not grow
    probed_at: float | None = None
    beat: Beat | None = None
    workers_written: float | None = None
    goal: Goal | None = None
    token_sha256: str = ""  # of the tokens that are accepted, separated by spaces
    token: str = ""  # of the Job that this process makes
    has_inputs: bool = False  # the Secret that the Job's pod waits for is known to be there
    claimed: tuple[float, Object] | None = None  # the run as our own claim left it, and when
    changed: Signal = field(default_factory=Signal)


class Memories:
    """What is remembered of attempts, until their run is cleaned up or gone."""

    def __init__(self) -> None:
        self._of: dict[str, dict[int, Memory]] = {}

    def of(self, attempt: Attempt) -> Memory:
        """Return the memory of an attempt, empty at first."""
        return self._of.setdefault(attempt.uid, {}).setdefault(attempt.number, Memory())

    def wake(self, uid: str) -> None:
        """Wake all beats of a run: something about it has changed."""
        for memory in self._of.get(uid, {}).values():
            memory.changed.fire()

    def forget(self, uid: str) -> None:
        """Drop what is remembered of a run."""
        for memory in self._of.pop(uid, {}).values():
            memory.changed.fire()

    def __len__(self) -> int:
        """Count the runs."""
        return len(self._of)
