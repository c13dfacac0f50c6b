"""Hear, in a run, of workers that join while it is on and do not fit it."""

from collections.abc import Callable, Mapping
from typing import Any

from dask_flows.clusters.base import Say, Wanted
from dask_flows.clusters.connect import RPC_SECONDS, register, rpc
from dask_flows.clusters.gate import HANDLER, TOPIC, Gate
from dask_flows.clusters.versions import ask_one
from dask_flows.compatibility import Needs, fatal

EVERYTHING = "all"  # Dask's own topic
ASK_SECONDS = 10.0


class Latecomers:
    """Names workers that join and do not fit; the scheduler's gate decides which ones it keeps from tasks.

    A scheduler without this package cannot keep them away: there they are only named.
    """

    def __init__(self, client: Any, wanted: Wanted, needs: Needs, say: Say) -> None:
        self._client, self._wanted, self._needs, self._say = client, wanted, needs, say
        self._gated = False

    def watch(self) -> None:
        """Begin, with the gate if the scheduler takes one."""
        try:
            self._guard(ASK_SECONDS)
        except Exception:  # noqa: BLE001 - an outside scheduler may lack this package or refuse pickles
            self._listen()
        else:
            self._gated = True

    def resume(self) -> None:
        """Begin again with a scheduler that has come back; raises whatever keeps its gate from that."""
        if self._gated:
            self._guard(RPC_SECONDS)
        else:
            self._listen()

    def _guard(self, seconds: float) -> None:
        client, tag = self._client, self._wanted.tag
        client.subscribe_topic(TOPIC, _hear(tag, self._say))
        register(client, Gate(), seconds)
        needs, shared = self._needs.to_dict(), self._wanted.shared
        if not rpc(client, HANDLER, who=client.id, tag=tag, needs=needs, shared=shared):
            raise TimeoutError("the scheduler's gate does not answer")

    def _listen(self) -> None:
        self._client.subscribe_topic(EVERYTHING, _look(self._client, self._needs, self._say))


def _hear(tag: str, say: Say) -> Callable[[Any], None]:
    def hear(event: tuple[float, Any]) -> None:
        facts = event[1]
        if facts.get("tag") == tag:
            name, rows = str(facts["name"]), [str(row) for row in facts["rows"]]
            told = (
                "gets no tasks while this run is on: it does not fit"
                if facts["held"]
                else "does not fit this run, whose tasks may fail there"
            )
            told = f"worker {name} has joined and {told}: {'; '.join(rows)}"
            say(f"warning: {told}", event="environment", worker=name, rows=rows)

    return hear


def _look(client: Any, needs: Needs, say: Say) -> Callable[[Any], Any]:
    async def look(event: tuple[float, Any]) -> None:
        facts = event[1]
        if not isinstance(facts, Mapping) or facts.get("action") != "add-worker":
            return
        name, told = await ask_one(client.scheduler, needs.imported, str(facts.get("worker")))
        rows = [row.told for row in fatal(needs.compare(None, {name: told}))] if told else []
        if rows:
            told_ = f"worker {name} has joined and does not fit: {'; '.join(rows)}"
            say(
                f"warning: {told_}; this scheduler cannot keep tasks from it",
                event="environment",
                worker=name,
                rows=rows,
            )

    return look
