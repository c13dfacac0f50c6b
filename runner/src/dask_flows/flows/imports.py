"""Which installed packages a flow's own modules import: what its tasks will need on the workers.

Read from the source, imports within functions included. What a module can do without is left out: imports
for type checkers only, and those in a ``try`` that expects them to fail.
"""

import ast
import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from types import ModuleType

from dask_flows.flows.syntax import parsed
from dask_flows.modules import OWN_PACKAGE, is_own, root_of

_EXPECTED = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})
# Well-known ones whose module has another name: only for speed, so that no list of files is read for them.
_CALLED = {
    "PIL": "pillow",
    "bs4": "beautifulsoup4",
    "dateutil": "python-dateutil",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}


def imported_packages(flow: str, known: Collection[str] = ()) -> dict[str, str]:
    """Return the installed distributions that the flow's modules import, each with a module of it.

    ``flow`` is the name of its module, which is imported already; distributions in ``known`` are left out.
    """
    own = _own(flow)
    wanted = {flow} if flow in sys.modules and flow != "__main__" else set()
    for name, module in list(sys.modules.items()):
        if name == flow or _is_in(name, own):
            wanted.update(_imports_of(module))
    foreign = [
        name
        for name in sorted(wanted)
        if (top := name.partition(".")[0]) not in sys.stdlib_module_names
        and top != OWN_PACKAGE
        and not _is_in(name, own)
    ]
    found = dict(sorted(_distributions(foreign)))
    return {name: module for name, module in found.items() if name not in known}


def imports_in(source: str) -> Iterator[str]:
    """Return the dotted names that a module imports absolutely; raises SyntaxError, ValueError."""
    waiting: list[ast.AST] = [parsed(source)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.module and not node.level:
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If) and _is_for_types(node.test):
            waiting.extend(node.orelse)
        elif isinstance(node, ast.Try) and any(_expects(handler) for handler in node.handlers):
            waiting.extend([*node.handlers, *node.orelse, *node.finalbody])
        else:
            waiting.extend(ast.iter_child_nodes(node))


def _imports_of(module: ModuleType) -> Iterator[str]:
    file = getattr(module, "__file__", None)
    if isinstance(file, str) and file.endswith(".py"):
        # What cannot be read has been imported all the same: then it is not checked.
        with suppress(OSError, SyntaxError, ValueError, RecursionError):
            yield from imports_in(Path(file).read_text(encoding="utf-8"))


def _own(flow: str) -> set[str]:
    """Return the modules beside the flow, however they travel: they are no packages."""
    module = sys.modules.get(flow)
    root = None if module is None else root_of(module)
    if root is None:
        return set()
    return {name for name, one in list(sys.modules.items()) if _is_below(one, root)}


def _is_below(module: object, root: Path) -> bool:
    try:  # a package without __init__.py has folders and no file
        places = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
    except Exception:  # noqa: BLE001 - lazy modules of all kinds are among them
        return False
    below = f"{root}/"
    return any(
        isinstance(place, str) and place.startswith(below) and is_own(Path(place), root)
        for place in places
    )


def _is_in(name: str, packages: Collection[str]) -> bool:
    parts = name.split(".")
    return any(".".join(parts[: end + 1]) in packages for end in range(len(parts)))


def _distributions(modules: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the distributions that dotted names come from, each with the top-level module."""
    unknown: dict[str, list[str]] = {}
    for module in modules:
        top = module.partition(".")[0]
        name = _CALLED.get(top, top.lower())
        if top in unknown or not _is_distribution(name):
            unknown.setdefault(top, []).append(module)
        else:
            yield name, top
    for top, holders in _holders(unknown).items():
        for name, files in holders.items():
            # Several hold a namespace, like google: only those count that hold the part in use.
            if len(holders) == 1 or any(_holds(files, module) for module in unknown[top]):
                yield name.lower(), top


def _is_distribution(name: str) -> bool:
    """Whether there is one of this name, as for most modules."""
    try:
        metadata.distribution(name)
    except (metadata.PackageNotFoundError, ValueError):
        return False
    return True


def _holders(tops: Collection[str]) -> dict[str, dict[str, str]]:
    """Return the distributions that hold top-level modules, each with the list of its files.

    The texts are searched as they are: the standard library's own index takes ten times as long.
    """
    found: dict[str, dict[str, str]] = {top: {} for top in tops}
    if not found:
        return found
    for one in metadata.distributions():
        files = f"\n{one.read_text('RECORD') or one.read_text('installed-files.txt') or ''}"
        declared = (one.read_text("top_level.txt") or "").split()
        for top, holders in found.items():
            if top in declared or f"\n{top}/" in files or f"\n{top}." in files:
                holders[str(one.metadata["Name"])] = files
    return found


def _holds(files: str, module: str) -> bool:
    path = module.replace(".", "/")
    parent = path.rpartition("/")[0]  # ``from a.b import c``: c may be a name in a/b.py
    places = (f"{path}/", f"{path}.py", f"{parent}.py", f"{parent}/__init__.py")
    return any(f"\n{place}" in files for place in places)


def _is_for_types(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", None)
    return name == "TYPE_CHECKING"


def _expects(handler: ast.ExceptHandler) -> bool:
    """Whether an ``except`` catches an import that fails."""
    if handler.type is None:
        return True
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(getattr(kind, "id", None) in _EXPECTED for kind in kinds)
