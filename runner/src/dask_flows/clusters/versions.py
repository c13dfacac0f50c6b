"""Ask runner, scheduler and workers what is installed, each within a time.

Dask's own question ``versions`` takes names of distributions and is answered by every release and by workers
without this package. Whoever does not answer is left without versions, which the comparison shows as "?".
"""

import asyncio
import warnings
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, cast

from distributed import protocol, versions
from distributed.protocol import pickle

from dask_flows.clusters.output import display_name
from dask_flows.compatibility import RULED, Versions, read_versions

ASK_SECONDS = 5.0

# Dask says Python's version by itself; asked for a package of that name, it finds none.
_ASKED = tuple(name for name in RULED if name != "python")
_PROTOCOL: Any = protocol  # distributed is typed in part
_PICKLE: Any = pickle

Broadcast = Callable[..., Awaitable[Any]]


@dataclass(frozen=True)
class Told:
    """What scheduler and workers say; workers by name, ``silent`` are those that did not answer."""

    scheduler: Versions = field(default_factory=dict)
    workers: Mapping[str, Versions] = field(default_factory=dict)
    silent: Collection[str] = ()


def installed_here(imported: Collection[str]) -> dict[str, str | None]:
    """Return what this process has."""
    return read_versions(versions.get_versions(packages=[*_ASKED, *imported]))


def compresses() -> bool:
    """Whether Dask packs what this process sends."""
    import dask

    return dask.config.get("distributed.comm.compression", None) not in (None, False)


def ask(client: Any, imported: Mapping[str, str]) -> Told:
    """Ask all; ``imported`` has a module for each distribution. Never raises, and takes a few times 5 s."""
    if client.status != "running":
        return Told()
    try:
        told: Told = client.sync(_ask, client.scheduler, imported, callback_timeout=6 * ASK_SECONDS)
    except Exception:  # noqa: BLE001 - a cluster that is lost now is found to be lost by its session
        return Told()
    return told


@contextmanager
def told_by_us() -> Iterator[None]:
    """Leave out Dask's own table of versions: each client warns with it again, whatever matters in it."""
    warnings.filterwarnings("ignore", category=versions.VersionMismatchWarning)
    own = warnings.filters[0]
    try:
        yield
    finally:
        with suppress(ValueError):  # somebody has reset all filters
            cast("list[Any]", warnings.filters).remove(own)


async def _ask(scheduler: Any, imported: Mapping[str, str]) -> Told:
    packages = [*_ASKED, *imported]
    own, identity, answers = await asyncio.gather(
        _bounded(scheduler.versions(packages=packages)),
        _bounded(scheduler.identity()),
        ask_workers(scheduler.broadcast, imported),
    )
    known = _workers_of(identity)
    if answers is None:
        answers = await _one_by_one(scheduler.broadcast, imported, known)
    names = {address: _name(known.get(address), address) for address in {*answers, *known}}
    workers = {name: answers.get(address, {}) for address, name in names.items()}
    silent = sorted(name for name, versions_ in workers.items() if not versions_)
    return Told(read_versions(own), workers, silent)


async def ask_one(
    scheduler: Any, imported: Mapping[str, str], address: str
) -> tuple[str, Versions]:
    """Return a worker's name and what it says; nothing if it does not answer."""
    identity, answers = await asyncio.gather(
        _bounded(scheduler.identity()), ask_workers(scheduler.broadcast, imported, [address])
    )
    return _name(_workers_of(identity).get(address), address), (answers or {}).get(address, {})


async def ask_workers(
    broadcast: Broadcast, imported: Mapping[str, str], addresses: Collection[str] | None = None
) -> dict[str, Versions] | None:
    """Return the versions by address, as far as workers answer; None if one of them holds up all."""
    only = {} if addresses is None else {"workers": list(addresses)}
    question = {"op": "versions", "packages": [*_ASKED, *imported]}
    answers = await _bounded(broadcast(msg=question, on_error="ignore", **only))
    if not isinstance(answers, Mapping):
        return None
    told = {address: read_versions(answer) for address, answer in answers.items()}
    lacking = {
        address: [name for name in imported if versions_.get(name, "") is None]
        for address, versions_ in told.items()
    }
    if suspects := [address for address, names in lacking.items() if names]:
        importable = await _importable(broadcast, sorted(set(imported.values())), suspects)
        for address in suspects:
            for name in lacking[address]:
                # It is there under another name, or without metadata: then its version is not known.
                if imported[name] in importable.get(address, ()):
                    del told[address][name]
    return dict(told)


async def _one_by_one(
    broadcast: Broadcast, imported: Mapping[str, str], addresses: Collection[str]
) -> dict[str, Versions]:
    each = await asyncio.gather(
        *(ask_workers(broadcast, imported, [address]) for address in addresses)
    )
    return {address: told for answer in each for address, told in (answer or {}).items()}


async def _importable(
    broadcast: Broadcast, modules: Collection[str], addresses: Collection[str]
) -> dict[str, Collection[str]]:
    """Return which of the modules a worker could import, by address."""
    question = {
        "op": "run",
        "function": _PICKLE.dumps(_finder()),
        "args": _PICKLE.dumps((list(modules),)),
    }
    answers = await _bounded(broadcast(msg=question, workers=list(addresses), on_error="ignore"))
    found: dict[str, Collection[str]] = {}
    for address, answer in (answers or {}).items():
        result = answer.get("result") if isinstance(answer, Mapping) else None
        if isinstance(result, _PROTOCOL.Serialized):  # on the scheduler nothing is unpacked
            result = _PROTOCOL.deserialize(result.header, result.frames)
        found[address] = result if isinstance(result, list) else ()
    return found


def _finder() -> Callable[[list[str]], list[str]]:
    """Return a function that is pickled by value, as those within functions are."""

    def find(modules: list[str]) -> list[str]:
        from importlib.util import find_spec

        found = []
        for module in modules:
            try:
                spec = find_spec(module)
            except Exception:  # noqa: BLE001, S112 - a module that cannot be found, for whatever reason
                continue
            if spec is not None:
                found.append(module)
        return found

    return find


async def _bounded(answer: Awaitable[Any]) -> Any:
    """Return the answer; None if there is none in time, or an error in its place."""
    try:
        return await asyncio.wait_for(answer, ASK_SECONDS)
    except Exception:  # noqa: BLE001 - an unknown question fails in as many ways as there are releases
        return None


def _workers_of(identity: Any) -> Mapping[str, Any]:
    known = identity.get("workers") if isinstance(identity, Mapping) else None
    return known if isinstance(known, Mapping) else {}


def _name(known: Any, address: str) -> str:
    return display_name(known.get("name", address)) if isinstance(known, Mapping) else address
