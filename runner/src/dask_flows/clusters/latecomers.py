"""Hear, in a run, of workers that join while it is on and do not fit it."""

from collections.abc import Callable, Mapping
from typing import Any

from dask_flows.clusters.base import Say
from dask_flows.clusters.connect import rpc
from dask_flows.clusters.gate import HANDLER, TOPIC, Gate
from dask_flows.clusters.versions import ask_one
from dask_flows.compatibility import Needs, fatal

EVERYTHING = "all"  # Dask's own topic


def watch_latecomers(client: Any, tag: str, needs: Needs, say: Say) -> None:
    """Keep workers that do not fit from the run's tasks, and name them as they join.

    A scheduler without this package cannot keep them away: there they are only named.
    """
    try:
        client.subscribe_topic(TOPIC, _hear(tag, say))
        client.register_plugin(Gate())
        answer = rpc(client, HANDLER, who=client.id, tag=tag, needs=needs.to_dict())
    except Exception:  # noqa: BLE001 - an outside scheduler may lack this package or refuse pickles
        answer = None
    if answer is None:
        client.subscribe_topic(EVERYTHING, _look(client, needs, say))


def _hear(tag: str, say: Say) -> Callable[[Any], None]:
    def hear(event: tuple[float, Any]) -> None:
        facts = event[1]
        if facts.get("tag") == tag:
            name, rows = str(facts["name"]), [str(row) for row in facts["rows"]]
            told = (
                f"worker {name} has joined and gets no tasks while this run is on: it does not fit"
            )
            say(f"warning: {told}: {'; '.join(rows)}", event="environment", worker=name, rows=rows)

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
