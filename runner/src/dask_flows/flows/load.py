"""Find a flow: ``package.module:name`` or ``path/file.py:name``."""

import difflib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from dask_flows.errors import BadFlow
from dask_flows.flows import names
from dask_flows.flows.source import by_value, importable, is_installed, is_own

WRITE_LIKE = "write it like flow.py:main or package.module:main"


@dataclass(frozen=True)
class Flow:
    """A flow that is imported; ``reference`` is how the user wrote it."""

    reference: str
    function: Callable[..., Any]


@contextmanager
def load(reference: str, folder: Path) -> Iterator[Flow]:
    """Import a flow; its modules stay importable while the context lasts. Raises BadFlow.

    ``folder`` is where files and modules are looked for: the source, or the current directory.
    """
    module_part, name = split(reference)
    folder = folder.absolute()
    if module_part.endswith(".py"):
        path = Path(module_part)
        file = path if path.is_absolute() else folder / path
        root, module_name = names.of_file(names.tidy(file))
        if not file.is_file():
            raise _no_file(reference, file)
        with importable(root):
            module = _run(reference, lambda: _import_file(file, module_name))
            yield Flow(reference, _attribute(reference, module, name))
    else:
        with importable(folder):
            module = _run(reference, lambda: _import_module(reference, module_part))
            yield Flow(reference, _attribute(reference, module, name))


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


def _import_file(file: Path, module_name: str) -> ModuleType:
    """Import one file under a name that is free; its package, if it has one, is imported first."""
    parent = module_name.rpartition(".")[0]
    if parent:
        importlib.import_module(parent)
    known = sys.modules.get(module_name)
    if known is not None and getattr(known, "__file__", None) == str(file):
        return known
    if known is not None or module_name in sys.stdlib_module_names:
        module_name = f"flow_{module_name}"
    spec = importlib.util.spec_from_file_location(module_name, file)
    assert spec is not None, "a .py file has a loader"
    assert spec.loader is not None, "a .py file has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    by_value(module)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module_name]
        raise
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
    _let_travel(module)
    return module


def _let_travel(module: ModuleType) -> None:
    """Mark a module that was loaded before we looked, or that lies in a folder of PYTHONPATH."""
    file = getattr(module, "__file__", None)
    if file is None or module.__name__.partition(".")[0] == "dask_flows":
        return
    depth = module.__name__.count(".") + (1 if hasattr(module, "__path__") else 0)
    root = Path(file).absolute().parents[depth]
    if is_own(Path(file).absolute(), root) and not is_installed(root):
        by_value(sys.modules[module.__name__.partition(".")[0]])


def _attribute(reference: str, module: ModuleType, name: str) -> Callable[..., Any]:
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
    _refuse_generators(reference, found)
    function: Callable[..., Any] = found
    return function


def _refuse_generators(reference: str, found: Any) -> None:
    function = inspect.unwrap(found)
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise BadFlow(
            "the flow is a generator: calling it would run nothing",
            where=reference,
            do="return a value instead of yielding, or write a function that consumes it",
        )


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
