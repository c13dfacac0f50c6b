"""Import a run's own modules inside its tasks, and for nobody else.

A worker that is shared has tasks of several runs, whose modules may have the same names. So they never
come near ``sys.modules``: an import statement in a run's own code asks the run's own sources first. Its code
is known by its globals: those of modules imported here, and those of functions that came in pickles and
name their origin. While no run has sources here, Python's imports are as they were.
"""

import builtins
import importlib
import sys
import threading
from collections.abc import Mapping, Sequence
from importlib.abc import InspectLoader
from importlib.machinery import ModuleSpec
from importlib.util import decode_source, module_from_spec, resolve_name
from types import ModuleType
from typing import Any

from dask_flows.clusters.tags import current_task, task_tag
from dask_flows.modules import MARK, ORIGIN_PATH, identify

MAIN = frozenset({"__main__", "__mp_main__"})


class Sources:
    """The modules of one origin: sources by path below ``root``, imported when somebody asks."""

    def __init__(self, token: str, tag: str, root: str, files: Mapping[str, bytes]) -> None:
        self.token, self.tag, self.root = token, tag, root
        self._files = dict(files)
        self._folders = {
            path[:end] for path in files for end, letter in enumerate(path) if letter == "/"
        }
        self.tops = frozenset(path.partition("/")[0].removesuffix(".py") for path in files)
        self._modules: dict[str, ModuleType] = {}
        self._lock = threading.RLock()

    def owns(self, name: str) -> bool:
        """Whether a module is looked for here; the standard library's names never are."""
        top = name.partition(".")[0]
        return top in self.tops and top not in sys.stdlib_module_names

    def find(self, name: str) -> tuple[str, bool] | None:
        """Return a module's path and whether it is a package; a folder without code is one, too."""
        base = name.replace(".", "/")
        if f"{base}/__init__.py" in self._files:
            return f"{base}/__init__.py", True
        if f"{base}.py" in self._files:
            return f"{base}.py", False
        return (base, True) if base in self._folders else None

    def source(self, path: str) -> bytes:
        """Return a file's content; nothing for a folder."""
        return self._files.get(path, b"")

    def load(self, name: str) -> ModuleType:
        """Return a module, imported once; raises ModuleNotFoundError, and what its code raises."""
        with self._lock:
            known = self._modules.get(name)
            return self._load(name) if known is None else known

    def _load(self, name: str) -> ModuleType:
        above, _, last = name.rpartition(".")
        package = self.load(above) if above else None
        if name in self._modules:  # the package imports it itself
            return self._modules[name]
        found = self.find(name)
        if found is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        module = self._make(name, found[0], package=found[1])
        self._modules[name] = module
        if package is not None:
            setattr(package, last, module)
        try:
            exec(_code(module), module.__dict__)  # noqa: S102 - the user's own program
        except BaseException:
            del self._modules[name]
            if package is not None:
                delattr(package, last)
            raise
        identify(module, self.token)
        return module

    def _make(self, name: str, path: str, *, package: bool) -> ModuleType:
        spec = ModuleSpec(name, _Loader(self, path), is_package=package)
        spec.origin, spec.has_location = f"{self.root}/{path}", path.endswith(".py")
        if package:
            spec.submodule_search_locations = [f"{self.root}/{path}".removesuffix("/__init__.py")]
        module = module_from_spec(spec)
        setattr(module, MARK, self.token)
        return module

    def import_for(self, name: str, wanted: Sequence[str]) -> ModuleType:
        """Do what an import statement does: return the module with its names, or the outermost one."""
        module = self.load(name)
        if not wanted:
            return self.load(name.partition(".")[0])
        names = [*wanted, *getattr(module, "__all__", ())] if "*" in wanted else wanted
        for one in names:
            inner = f"{name}.{one}"
            if one != "*" and not hasattr(module, one) and self.find(inner) is not None:
                self.load(inner)
        return module


class _Loader(InspectLoader):
    """Shows the source to tracebacks and to ``inspect``."""

    def __init__(self, sources: Sources, path: str) -> None:
        self._sources, self.path = sources, path

    def get_source(self, fullname: str) -> str:  # noqa: ARG002 - a loader is for one module
        """Return the module's text."""
        return decode_source(self._sources.source(self.path))

    def exec_module(self, module: ModuleType) -> None:
        """Leave it to the sources, which know when the module may be seen."""


def _code(module: ModuleType) -> Any:
    spec = module.__spec__
    assert spec is not None, "module_from_spec sets it"
    loader: Any = spec.loader
    return compile(loader.get_source(spec.name), str(spec.origin), "exec", dont_inherit=True)


class Importer:
    """Stands before Python's imports as long as it has sources."""

    def __init__(self) -> None:
        self._sources: dict[str, list[Sources]] = {}
        self._tops: frozenset[str] = frozenset()
        self._lock = threading.Lock()
        self._import: Any = None
        self._import_module: Any = None

    def add(self, sources: Sources) -> None:
        """Take sources; two workers in one process may bring the same."""
        with self._lock:
            if not self._sources and builtins.__import__ != self.do_import:
                self._import, builtins.__import__ = builtins.__import__, self.do_import
            if not self._sources and importlib.import_module != self.do_import_module:
                self._import_module = importlib.import_module
                importlib.import_module = self.do_import_module
            self._sources.setdefault(sources.token, []).append(sources)
            self._note()

    def remove(self, token: str) -> None:
        """Forget sources and their modules; the last one brings Python's own imports back."""
        with self._lock:
            kept = self._sources.get(token)
            if kept is None:
                return
            kept.pop()
            if not kept:
                del self._sources[token]
                self._note()
            if not self._sources and builtins.__import__ == self.do_import:
                builtins.__import__ = self._import
            if not self._sources and importlib.import_module == self.do_import_module:
                importlib.import_module = self._import_module

    def _note(self) -> None:
        """Keep all names together: most import statements are nobody's."""
        self._tops = frozenset().union(*(kept[0].tops for kept in self._sources.values()))

    def tokens(self) -> list[str]:
        """Return whose sources are here."""
        return list(self._sources)

    def do_import(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,  # noqa: A002 - the name of Python's own
        locals: Mapping[str, Any] | None = None,  # noqa: A002
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """Import as a statement does."""
        sources = self._of(globals)
        if sources is not None:
            package = (globals or {}).get("__package__")
            whole = resolve_name("." * level + name, package) if level and package else name
            if not (level and not package) and sources.owns(whole):
                return sources.import_for(whole, fromlist or ())
        found: ModuleType = self._import(name, globals, locals, fromlist, level)
        return found

    def do_import_module(self, name: str, package: str | None = None) -> ModuleType:
        """Import as ``importlib.import_module`` does, for the code that calls it."""
        sources = self._of(sys._getframe(1).f_globals)  # noqa: SLF001 - the caller is what counts
        if sources is not None:
            whole = resolve_name(name, package) if package and name.startswith(".") else name
            if sources.owns(whole):
                return sources.load(whole)
        found: ModuleType = self._import_module(name, package)
        return found

    def _of(self, known: Mapping[str, Any] | None) -> Sources | None:
        """Return the sources of the code that has these globals; None if it is nobody's."""
        if known is None:
            return None
        token = known.get(MARK)
        if token is None:
            path = known.get("__path__")
            last = path[-1] if type(path) is list and path else ""
            if type(last) is str and last.startswith(ORIGIN_PATH):
                token = last[len(ORIGIN_PATH) :]
        if token is not None:
            kept = self._sources.get(token)
            return kept[0] if kept else None
        return self._of_task(str(known.get("__name__")))

    def _of_task(self, name: str) -> Sources | None:
        """Return the sources of the task that runs here, for its own code without a mark."""
        if name not in MAIN and name.partition(".")[0] not in self._tops:
            return None
        task = current_task()
        tag = task_tag(*task) if task is not None else None
        every = [kept[0] for kept in list(self._sources.values())] if tag is not None else []
        near = (one for one in every if one.tag == tag and (name in MAIN or one.owns(name)))
        return next(near, None)


importer = Importer()
