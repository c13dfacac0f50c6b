"""What the package takes of Python, Dask, cloudpickle and kubernetes that nobody has promised: an upgrade without it fails here."""

import ast
import re
from collections.abc import Iterator
from multiprocessing import resource_tracker
from typing import Any

import cloudpickle
import pytest
from cloudpickle import cloudpickle as inner
from distributed import Client, Nanny, Scheduler, SpecCluster, Worker, client, scheduler, worker
from distributed.core import Status
from distributed.protocol import pickle
from distributed.scheduler import TaskState, WorkerState
from kubernetes.aio.config.kube_config import KubeConfigLoader

from dask_flows.clusters.connect import USABLE
from dask_flows.clusters.tags import SEND

from .conftest import SRC

# Owner and name; what instances get in their constructors is below.
NAMES: list[tuple[Any, str]] = [
    (Client, SEND),
    (Client, "_run"),
    (Worker, "_instances"),
    (Nanny, "_instances"),
    (Nanny, "worker_dir"),
    (resource_tracker, "_resource_tracker"),
    (resource_tracker._resource_tracker, "_pid"),  # type: ignore[attr-defined]
    (SpecCluster, "_instances"),
    (worker, "_worker_cvar"),
    (pickle, "_DaskPickler"),
    (pickle, "dumps"),
    (client, "dumps"),
    (scheduler, "dumps"),
    (cloudpickle.Pickler, "_dispatch_table"),
    (cloudpickle.Pickler, "_dynamic_function_reduce"),
    (cloudpickle.Pickler, "_function_getnewargs"),
    (inner, "_class_reduce"),
    (inner, "_class_setstate"),
    (inner, "_should_pickle_by_reference"),
    (inner, "_PICKLE_BY_VALUE_MODULES"),
    (inner, "_DYNAMIC_CLASS_TRACKER_LOCK"),
    (inner, "_DYNAMIC_CLASS_TRACKER_BY_ID"),
    (inner, "_DYNAMIC_CLASS_TRACKER_BY_CLASS"),
    (Scheduler, "handle_worker_status_change"),
    (KubeConfigLoader, "_get_base_path"),
    *((Status, name) for name in (*USABLE, "init")),
    *((TaskState, name) for name in ("annotations", "prefix", "key")),
    *((WorkerState, name) for name in ("status", "versions", "metrics", "memory_limit", "executing")),
]  # fmt: skip
OF_CLIENTS = ("_timeout", "futures", "id", "scheduler", "status")
OF_SCHEDULERS = (
    "cumulative_worker_metrics", "handlers", "http_application", "plugins", "queued",
    "stream_handlers", "tasks", "unrunnable", "worker_plugins", "workers",
)  # fmt: skip
QUESTIONS = (
    "adaptive_target", "broadcast", "identity", "ncores", "ncores_running",
    "register_scheduler_plugin", "retire_workers", "unregister_worker_plugin", "versions",
    "workers_to_close",
)  # fmt: skip
# Private names of nobody above.
OTHERS = {"_current_frames", "_getframe", "_user"}


@pytest.mark.parametrize(
    ("owner", "name"), NAMES, ids=lambda value: getattr(value, "__name__", value)
)
def test_a_name_that_nobody_has_promised_is_there(owner: Any, name: str) -> None:
    """Each is used somewhere in the package, which would do less without it or break."""
    assert hasattr(owner, name)


@pytest.mark.processes
def test_instances_have_what_is_used(dask: Any) -> None:
    """Attributes, the questions that are asked, and the message that the gate stands in front of."""
    of_schedulers, asked = OF_SCHEDULERS, QUESTIONS  # the scheduler cannot import this module

    def lacking(dask_scheduler: Any) -> list[str]:
        messages = ("worker-status-change",)
        return (
            [name for name in of_schedulers if not hasattr(dask_scheduler, name)]
            + [name for name in asked if name not in dask_scheduler.handlers]
            + [name for name in messages if name not in dask_scheduler.stream_handlers]
        )

    def of_tasks() -> list[str]:
        from dask.context import thread_state  # noqa: PLC0415 - a thread's own does not travel

        return [name for name in ("key", "execution_state") if not hasattr(thread_state, name)]

    with Client(dask.address, set_as_default=False) as own:
        assert [name for name in OF_CLIENTS if not hasattr(own, name)] == []
        assert own.run_on_scheduler(lacking) == []
        assert own.submit(of_tasks, pure=False).result() == []


def test_the_table_has_all() -> None:
    """Each use of somebody else's private name in the package is marked for ruff, and so found here."""
    known = {name for _, name in NAMES} | {*OF_CLIENTS, *OTHERS}
    found = set(_marked())

    assert "_timeout" in found, "the source is not where it was"
    assert found - known == set()


def _marked() -> Iterator[str]:
    for file in (SRC / "dask_flows").rglob("*.py"):
        text = file.read_text()
        lines = text.splitlines()
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.Attribute) or not re.match("_[^_]", node.attr):
                continue
            if getattr(node.value, "id", "") == "self":
                continue
            if any("SLF001" in line for line in lines[node.lineno - 1 : node.end_lineno]):
                yield node.attr
