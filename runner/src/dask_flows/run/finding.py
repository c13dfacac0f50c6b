"""Find what a request names: its flow, and the class or function that makes its cluster."""

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from dask_flows.clusters.reach import reach_of
from dask_flows.errors import BadFlow, UsageError
from dask_flows.flows.load import Flow, load
from dask_flows.flows.source import travelling
from dask_flows.modules import program_origin
from dask_flows.run.request import Request

CLASS_LIKE = "write it like package.module:Name or path/file.py:Name"


def name_of(function: Callable[..., Any]) -> str:
    """Name a callable for people, as a reference where it can be imported by one."""
    inner = inspect.unwrap(function)
    name = getattr(inner, "__qualname__", None) or type(inner).__name__
    module = getattr(inner, "__module__", None)
    return f"{module}:{name}" if module and module != "__main__" else str(name)


@contextmanager
def flow_of(request: Request, folder: Path) -> Iterator[Flow]:
    """Give the request's flow; its modules travel to the workers while the context lasts. Raises BadFlow."""
    mounted = request.attempt is not None and request.attempt.mounted
    reach = reach_of(request.mode, mounted=mounted)
    if request.function is None:
        with load(request.flow or "", folder, reach) as flow:
            yield flow
    elif _is_importable(request.function):
        # By its name, so that its module is treated as it is on the command line.
        with load(name_of(request.function), folder, reach) as flow:
            yield flow
    else:
        with travelling(program_origin() if reach == "nothing" else None):
            yield Flow(request.name, request.function)


@contextmanager
def factory_of(request: Request) -> Iterator[Callable[..., Any] | None]:
    """Give what makes the request's cluster, if it names that; raises UsageError for a wrong name."""
    wanted = request.cluster_class
    if not isinstance(wanted, str):
        yield wanted
        return
    if ":" not in wanted:
        do = _suggestion(wanted)
        raise UsageError(f"{wanted!r} names no class", where="--cluster-class", do=do)
    with ExitStack() as stack:
        try:
            flow = stack.enter_context(load(wanted, request.folder, check=lambda *_: None))
        except BadFlow as error:
            found = error.found.replace("of the flow failed", f"of {wanted} failed")
            where = f"--cluster-class {wanted}"
            raise UsageError(found, where=where, do=error.do) from error.__cause__
        yield flow.function


def _is_importable(function: Callable[..., Any]) -> bool:
    """Whether the callable is found under its own name in a module that is not the program itself."""
    if not inspect.isfunction(function) or function.__module__ == "__main__":
        return False
    found: Any = sys.modules.get(function.__module__)
    for part in function.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is function


def _suggestion(wanted: str) -> str:
    module, dot, name = wanted.rpartition(".")
    if dot and name != "py" and module.replace(".", "").isidentifier() and name.isidentifier():
        return f"write {module}:{name}"
    return CLASS_LIKE
