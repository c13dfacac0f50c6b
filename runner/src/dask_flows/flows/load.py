"""Find a flow: ``package.module:name`` or ``path/file.py:name``."""

import difflib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from dask_flows.errors import BadFlow
from dask_flows.flows import names
from dask_flows.flows.callables import check_callable
from dask_flows.flows.source import importable, travelling
from dask_flows.modules import (
    OWN_PACKAGE,
    Origin,
    identify,
    is_installed,
    is_own,
    mark,
    origin_of,
    root_of,
    unmark,
)

WRITE_LIKE = "write it like flow.py:main or package.module:main"

# What workers can import by themselves: nothing of the flow's, the modules in its folder, or whatever
# this process can.
Reach = Literal["nothing", "folder", "path"]


@dataclass(frozen=True)
class Flow:
    """A flow that is imported; ``reference`` is how the user wrote it."""

    reference: str
    function: Callable[..., Any]


@contextmanager
def load(
    reference: str,
    folder: Path,
    reach: Reach = "nothing",
    *,
    check: Callable[[str, Any], None] = check_callable,
) -> Iterator[Flow]:
    """Import a flow; its modules stay importable while the context lasts. Raises BadFlow.

    ``folder`` is where files and modules are looked for: the source, or the current directory. A file
    named here always travels by value, like the script of any Python program. ``check`` refuses what
    cannot be called as a flow.
    """
    module_part, name = split(reference)
    folder = folder.absolute()
    if module_part.endswith(".py"):
        path = Path(module_part)
        file = path if path.is_absolute() else folder / path
        root, module_name = names.of_file(names.tidy(file))
        if not file.is_file():
            raise _no_file(reference, file)
        known = reach == "path" or (reach == "folder" and root == folder)
        origin = origin_of(root)
        travels = None if known else origin
        with importable(root), travelling(travels), ExitStack() as stack:
            if known:
                stack.callback(unmark, origin)
            module = _run(reference, lambda: _import_file(file, module_name, origin))
            yield Flow(reference, _attribute(reference, module, name, check))
    else:
        travels = origin_of(folder) if reach == "nothing" else None
        with importable(folder), travelling(travels):
            module = _run(reference, lambda: _import_module(reference, module_part))
            elsewhere = None if reach == "path" else _elsewhere(module, folder)
            with travelling(elsewhere):
                yield Flow(reference, _attribute(reference, module, name, check))


def split(reference: str) -> tuple[str, str]:
    """Return module or file, and the name in it; raises BadFlow."""
    module, colon, name = reference.rpartition(":")
    if not colon:
        raise BadFlow(f"{reference!r} names no function", where="FLOW", do=names.advice(reference))
    is_file = module.endswith(".py")
    if not module or not (is_file or names.dotted(module)):
        raise BadFlow(f"{module!r} is no module and no file", where=reference, do=WRITE_LIKE)
    if not names.dotted(name):
        raise BadFlow(f"{name!r} is not a name", where=reference, do=WRITE_LIKE)
    return module, name


def _import_file(file: Path, module_name: str, origin: Origin) -> ModuleType:
    """Import one file under a name that is free; its package, if it has one, is imported first."""
    parent = module_name.rpartition(".")[0]
    if parent:
        importlib.import_module(parent)
    known = sys.modules.get(module_name)
    if known is not None and getattr(known, "__file__", None) == str(file):
        mark(known, origin)
        return known
    if known is not None or module_name in sys.stdlib_module_names:
        module_name = f"flow_{module_name}"
    spec = importlib.util.spec_from_file_location(module_name, file)
    assert spec is not None, "a .py file has a loader"
    assert spec.loader is not None, "a .py file has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    mark(module, origin)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module_name]
        raise
    identify(module, origin.token)
    return module


def _import_module(reference: str, name: str) -> ModuleType:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        # The flow's module itself, or one that it imports? Only the first is a wrong reference.
        missing = error.name or ""
        if name == missing or name.startswith(f"{missing}."):
            raise BadFlow(
                f"there is no module {missing!r}",
                where=reference,
                do="check the name; a file is written path/file.py:name",
            ) from None
        raise
    return module


def _elsewhere(module: ModuleType, folder: Path) -> Origin | None:
    """Mark a module that lies in a folder of PYTHONPATH; returns that folder as its origin."""
    root = root_of(module)
    top = sys.modules[module.__name__.partition(".")[0]]
    if root is None or top.__name__ == OWN_PACKAGE:
        return None
    path = Path(str(module.__file__)).absolute()
    if is_own(path, folder) or not is_own(path, root) or is_installed(root):
        return None
    origin = origin_of(root)
    mark(top, origin)
    return origin


def _attribute(
    reference: str, module: ModuleType, name: str, check: Callable[[str, Any], None]
) -> Callable[..., Any]:
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            candidates = [n for n, value in vars(found).items() if callable(value) and n[0] != "_"]
            near = difflib.get_close_matches(part, candidates, n=3) or sorted(candidates)[:5]
            raise BadFlow(
                f"there is no {part!r} in {getattr(found, '__name__', module.__name__)}",
                where=reference,
                do=f"did you mean {', '.join(near)}?" if near else "define it",
            )
        found = getattr(found, part)
    if not callable(found):
        raise BadFlow(
            f"{name} is not callable, it is {names.kind(found)}",
            where=reference,
            do="name a function",
        )
    check(reference, found)
    function: Callable[..., Any] = found
    return function


def _run(reference: str, load_module: Callable[[], ModuleType]) -> ModuleType:
    """Import, and turn whatever the user's module does wrong into a BadFlow."""
    try:
        return load_module()
    except (BadFlow, KeyboardInterrupt):
        raise
    except SyntaxError as error:
        where = f"{error.filename}:{error.lineno}"
        raise BadFlow(
            f"syntax error: {error.msg}", where=where, do="correct the line shown above"
        ) from error
    except ModuleNotFoundError as error:
        raise BadFlow(
            f"the import of the flow failed: {error}",
            where=names.place(error, reference),
            do="install the package (in the cluster: in the image), or put the module beside the flow",
        ) from error
    except BaseException as error:
        raise BadFlow(
            f"the import of the flow failed: {type(error).__name__}: {error}",
            where=names.place(error, reference),
            do="see the traceback above",
        ) from error


def _no_file(reference: str, file: Path) -> BadFlow:
    beside = sorted(p.name for p in file.parent.glob("*.py")) if file.parent.is_dir() else []
    near = difflib.get_close_matches(file.name, beside, n=3) or beside[:5]
    return BadFlow(
        f"there is no file {file}",
        where=reference,
        do=f"did you mean {', '.join(near)}?" if near else "check the path",
    )
