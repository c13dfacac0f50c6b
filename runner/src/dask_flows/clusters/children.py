"""What a flow's child processes do about their own modules when they make a client.

A child knows from its settings that it belongs to a run. The modules beside its script then travel as a
flow's own do: by value, and as sources for what only tasks import.
"""

import logging
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import dask
from distributed import Worker

from dask_flows.clusters.pickling import install
from dask_flows.clusters.sources import keeper, plugin_name
from dask_flows.clusters.tags import MODULES_KEY, current_tag
from dask_flows.modules import ByValueFinder, Origin, mark_known, program_folders, watched

log = logging.getLogger("distributed.client")


async def equip(client: Any) -> None:
    """Let a child's own modules reach the client's workers; nothing happens in other processes."""
    modules = dask.config.get(MODULES_KEY, default=None)
    if not isinstance(modules, dict) or Worker._instances:  # noqa: SLF001 - there is no other way to know
        return
    for origin in _follow(modules):
        try:
            plugin = keeper(client, origin, current_tag() or "")
            if plugin is not None:
                await client.register_plugin(plugin)
        except Exception as error:  # noqa: BLE001 - a client works without, too
            log.warning(
                "modules of %s that only tasks import do not reach the workers: %s",
                origin.root,
                type(error).__name__,
            )


async def leave(client: Any) -> None:
    """Take the modules back before the client closes."""
    if not isinstance(dask.config.get(MODULES_KEY, default=None), dict):
        return
    for origin in watched():
        name = plugin_name(client, origin)
        with suppress(Exception):  # it was not sent, or the scheduler has gone
            await client.scheduler.unregister_worker_plugin(name=name)


def _follow(modules: Mapping[str, Any]) -> list[Origin]:
    """Mark the child's own modules, those imported and those to come; returns where they are from."""
    origins = watched()
    if not origins:
        install()
    known = {Path(folder) for folder in modules.get("known", ())}
    known.update(origin.root for origin in origins)
    for root in (*program_folders(), *map(Path, modules.get("roots", ()))):
        if root in known:
            continue
        known.add(root)
        origins.append(Origin(root))
        mark_known(origins[-1])
        sys.meta_path.insert(0, ByValueFinder(origins[-1]))
    return origins
