"""Bring the sources of a run's own modules to its workers, for what is only imported there.

One plugin on the scheduler has them sent to each worker, now or later, and takes them back when the run's
client goes, whatever ended it.
"""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from distributed import SchedulerPlugin, WorkerPlugin
from distributed.protocol import pickle

from dask_flows import beside
from dask_flows.clusters.base import Say
from dask_flows.clusters.connect import RPC_SECONDS
from dask_flows.clusters.lacking import SCHEDULER, Lacking, lacks_package
from dask_flows.clusters.late import Sources, importer
from dask_flows.modules import Origin, is_installed, watched

MAX_BYTES = 900 * 1024  # as much as a FlowRun may bring, see submission.pack
MAX_ENTRIES = 5000  # files and folders that are looked at
PATIENCE = 30.0  # seconds; a client that lost its connection comes back within them
SEND_SECONDS = 5.0
NAME = "dask-flows-sources"


class OnWorker(WorkerPlugin):
    """Makes sources importable on one worker."""

    def __init__(self, name: str, token: str, tag: str, root: str, files: dict[str, bytes]) -> None:
        self.name = name
        self._token, self._tag, self._root, self._files = token, tag, root, files

    def setup(self, worker: Any) -> None:  # noqa: ARG002 - Dask's signature
        """Take the sources; a worker inside the run's own process imports as the run does."""
        if all(origin.token != self._token for origin in watched()):
            importer.add(Sources(self._token, self._tag, self._root, self._files))

    def teardown(self, worker: Any) -> None:  # noqa: ARG002 - Dask's signature
        """Forget them."""
        importer.remove(self._token)


class OnScheduler(SchedulerPlugin):
    """Gives sources to all workers, and takes them back when their client is away for too long (s)."""

    def __init__(self, name: str, client: str, plugin: bytes) -> None:
        self.name, self._client, self._plugin = name, client, plugin
        self.patience = PATIENCE
        self._leaving: asyncio.Task[None] | None = None

    async def start(self, scheduler: Any) -> None:
        """Send the sources; late workers get them from the scheduler. A slow worker gets them later."""
        scheduler.worker_plugins[self.name] = self._plugin
        message = {"op": "plugin-add", "plugin": self._plugin, "name": self.name}
        self._sending = asyncio.ensure_future(scheduler.broadcast(msg=message, on_error="ignore"))
        await asyncio.wait({self._sending}, timeout=SEND_SECONDS)

    def remove_client(self, scheduler: Any, client: str) -> None:
        """Begin to wait for the client, unless it has said goodbye."""
        if client != self._client:
            return
        if self.name not in scheduler.worker_plugins:
            scheduler.plugins.pop(self.name, None)
        elif self._leaving is None:
            self._leaving = asyncio.ensure_future(self._leave(scheduler))

    async def close(self) -> None:
        """Wait no more: the scheduler ends."""
        if self._leaving is not None:
            self._leaving.cancel()

    async def _leave(self, scheduler: Any) -> None:
        await asyncio.sleep(self.patience)
        self._leaving = None
        if self._client in scheduler.clients:
            return
        scheduler.plugins.pop(self.name, None)
        if scheduler.worker_plugins.pop(self.name, None) is None:
            return
        await scheduler.broadcast(msg={"op": "plugin-remove", "name": self.name}, on_error="ignore")


def collect(origin: Origin) -> dict[str, bytes]:
    """Return the origin's modules by path; raises TooMany if they are more than can be sent."""
    files: dict[str, bytes] = {}
    left = MAX_BYTES
    for path in beside.files(origin.root, MAX_ENTRIES):
        if path.suffix != ".py" or is_installed(path):
            continue
        content = path.read_bytes()
        left -= len(content)
        if left < 0:
            raise beside.TooMany(str(path))
        files[path.relative_to(origin.root).as_posix()] = content
    return files


def plugin_name(client: Any, origin: Origin) -> str:
    """Return the name under which a client's workers have the origin's modules."""
    return f"{NAME}-{client.id}-{origin.token[:8]}"


def keeper(client: Any, origin: Origin, tag: str) -> OnScheduler | None:
    """Return what gives a client's workers the modules of an origin; raises TooMany, OSError.

    None if the folder has but one module: a flow's own file travels by value.
    """
    files = collect(origin)
    if len(files) < 2:  # noqa: PLR2004 - the flow and one more
        return None
    name = plugin_name(client, origin)
    plugin = OnWorker(name, origin.token, tag, os.fspath(origin.root), files)
    dumps: Any = pickle.dumps  # distributed is typed in part
    return OnScheduler(name, client.id, dumps(plugin))


@contextmanager
def sent(client: Any, tag: str, say: Say, lacking: Lacking) -> Iterator[None]:
    """Let workers import what this process imports as its own; what is impossible is said."""
    names = []
    try:
        for origin in watched():
            plugin = keeper(client, origin, tag)
            if plugin is not None:
                client.register_plugin(plugin)
                names.append(plugin.name)
    except Exception as error:  # noqa: BLE001 - an outside scheduler may lack this package or refuse pickles
        what = "modules that only tasks import do not reach the workers"
        if lacks_package(error):
            lacking.note(what, SCHEDULER, error)
        else:
            why = "they are too many" if isinstance(error, beside.TooMany) else type(error).__name__
            say(f"{what}: {why}")
    try:
        yield
    finally:
        for name in names:
            # Without an answer in time the plugin on the scheduler sees that the client has gone.
            with suppress(Exception):
                take_back = client.scheduler.unregister_worker_plugin
                client.sync(take_back, name=name, callback_timeout=RPC_SECONDS)
