"""Rules of a flow's own modules: however a task imports them, the workers have them, and only for that run."""

import asyncio
import builtins
import importlib
import json
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from distributed import Client
from distributed.protocol import pickle as dask_pickle

from dask_flows import beside, modules
from dask_flows.clusters import late, sources
from dask_flows.clusters.late import Importer, Sources
from dask_flows.clusters.pickling import by_value
from dask_flows.clusters.sources import NAME, collect, keeper
from dask_flows.modules import Origin
from dask_flows.run import Request

from .conftest import eventually

pytestmark = pytest.mark.processes


# The workers do not have this file.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

FILES = {
    "flow.py": """
import importlib, json, subprocess, sys, threading
from concurrent.futures import ThreadPoolExecutor
from distributed import get_client
import helpers_m
from helpers_m import Point, double
from pack_m import outer

def early(x): return double(x)
def package(x): return outer(x)
def late(x):
    from late_m import triple
    return triple(x)
def late_package(x):
    import pack_m.deep.inner
    return pack_m.deep.inner.add(x)
def late_relative(x):
    from pack_m.sub import around
    return around(x)
def by_name(x): return importlib.import_module("late_m").triple(x)
def star(x):
    import pack_m.stars as stars
    return stars.shown(x)
def in_thread(x):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(late, x).result()
async def in_coroutine(x):
    from late_m import triple
    return triple(x)
def namespace(x):
    from spaces_m.part import one
    return one(x)
def same_class(point):
    from helpers_m import Point as Late
    return isinstance(point, Late) and type(Late(1, 2)) is type(point)
def makes(x):
    from late_m import Kind, Made
    return Made(x), Kind.B
def moves(point):
    return Point(point.x + 1, point.y)
def missing(x):
    try:
        import pack_m.nothing
    except ModuleNotFoundError as error:
        return error.name

TASKS = (early, package, late, late_package, late_relative, by_name, star, in_thread, in_coroutine, namespace)

def main():
    client = get_client()
    found = {t.__name__: client.submit(t, 5, pure=False).result() for t in TASKS}
    found["same_class"] = client.submit(same_class, Point(1, 2), pure=False).result()
    found["missing"] = client.submit(missing, 1, pure=False).result()
    made, kind = client.submit(makes, 7, pure=False).result()
    import late_m
    found["result_class"] = isinstance(made, late_m.Made) and kind is late_m.Kind.B
    point = client.submit(moves, Point(1, 2), pure=False).result()
    found["unharmed"] = type(point) is Point and Point.cache is helpers_m.CACHE
    return found
""",
    "helpers_m.py": """
from dataclasses import dataclass, field

CACHE = {}

@dataclass
class Point:
    cache = CACHE
    x: int
    y: int
    seen: list = field(default_factory=list)

def double(x): return 2 * x
""",
    "late_m.py": """
import enum
class Kind(enum.Enum):
    A = 1
    B = 2
class Made:
    def __init__(self, x): self.x = x
def triple(x): return 3 * x
""",
    "pack_m/__init__.py": "from .middle import outer\n",
    "pack_m/middle.py": "from .deep.inner import add\ndef outer(x): return add(x) + 1\n",
    "pack_m/deep/__init__.py": "",
    "pack_m/deep/inner.py": "def add(x): return x + 10\n",
    "pack_m/sub.py": "def around(x):\n    from . import far\n    from .deep.inner import add\n    return far.away(add(x))\n",
    "pack_m/far.py": "def away(x): return x + 100\n",
    "pack_m/stars.py": "from .names import *\n",
    "pack_m/names.py": "__all__ = ['shown']\ndef shown(x): return x + 1000\n",
    "spaces_m/part.py": "def one(x): return x + 1\n",
}  # fmt: skip

ANSWERS = {
    "early": 10, "package": 16, "late": 15, "late_package": 15, "late_relative": 115, "by_name": 15,
    "star": 1005, "in_thread": 15, "in_coroutine": 15, "namespace": 6, "same_class": True,
    "missing": "pack_m.nothing", "result_class": True, "unharmed": True,
}  # fmt: skip


def write(folder: Path, files: dict[str, str]) -> Path:
    """Write files below a folder, which may be new."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def probe() -> dict[str, Any]:
    """Return what a worker has of any run's modules; runs on the worker."""
    return {
        "tokens": late.importer.tokens(),
        "import": getattr(builtins.__import__, "__name__", ""),
        "import_module": importlib.import_module.__qualname__,
        "modules": sorted(m for m in sys.modules if m.partition(".")[0].endswith("_m")),
    }


CLEAN = {"tokens": [], "import": "__import__", "import_module": "import_module", "modules": []}


@pytest.fixture(scope="module")
def watcher(dask: Any) -> Iterator[Client]:
    """A client of the shared cluster that belongs to no run."""
    with Client(dask.address, set_as_default=False) as client:
        yield client


def is_clean(client: Client) -> bool:
    """Whether no worker and not the scheduler has anything of a run's modules."""

    def names(dask_scheduler: Any) -> list[str]:
        return [*dask_scheduler.worker_plugins, *dask_scheduler.plugins]

    kept = [name for name in client.run_on_scheduler(names) if name.startswith(NAME)]
    return not kept and all(found == CLEAN for found in client.run(probe).values())


def test_modules_reach_a_shared_cluster_and_leave_it(
    run_here: Callable[..., Any], tmp_path: Path, dask: Any, watcher: Client
) -> None:
    """Early, late, relative, by name, in threads and coroutines; a class is one class; then nothing is left."""
    write(tmp_path, FILES)

    ran = run_here(Request(flow="flow.py:main", mode="static", address=dask.address))

    assert ran.code == 0, ran.text
    assert "do not reach" not in ran.text
    assert answers_in(ran.text) == ANSWERS
    eventually(lambda: is_clean(watcher), 10)


def test_modules_reach_workers_on_this_machine(
    run_here: Callable[..., Any], tmp_path: Path
) -> None:
    """They import by themselves what this process can, so nothing is sent."""
    write(tmp_path, FILES)

    ran = run_here(Request(flow="flow.py:main", mode="local", workers=1, threads=2))

    assert ran.code == 0, ran.text
    assert answers_in(ran.text) == ANSWERS


EDITED = "def value(): return {!r}\n"
TWIN = """
import time
from distributed import get_client
from pathlib import Path

def held(x, mine, other):
    (Path(mine)).touch()
    end = time.monotonic() + 30
    while not Path(other).exists() and time.monotonic() < end:
        time.sleep(0.01)
    from twin_m import value
    return value()

def main(mine: str, other: str):
    client = get_client()
    hosts = list(client.scheduler_info()["workers"])
    found = [client.submit(held, 1, mine, other, workers=[h], pure=False) for h in hosts]
    return {"early": sorted(set(client.gather(found)))}
"""


def test_two_runs_with_modules_of_one_name_never_see_each_other_s(
    dask_flows: Callable[..., Any], tmp_path: Path, dask: Any, watcher: Client
) -> None:
    """Their tasks are on the same workers at the same moment, and a later run sees what was edited."""
    runs = []
    for mine, other in (("a", "b"), ("b", "a")):
        folder = write(tmp_path / mine, {"flow.py": TWIN, "twin_m.py": EDITED.format(mine)})
        flags = (f"mine={tmp_path}/{mine}.flag", "-p", f"other={tmp_path}/{other}.flag")
        address = ("--address", dask.address)
        runs.append(dask_flows("run", f"{folder}/flow.py:main", "-p", *flags, *address))
    for process, name in zip(runs, "ab", strict=True):
        assert process.end() == 0, process.text + "".join(process.errors)
        assert answers_in(process.text) == {"early": [name]}

    write(tmp_path / "a", {"twin_m.py": EDITED.format("edited")})
    flags = (f"mine={tmp_path}/a.flag", "-p", f"other={tmp_path}/b.flag")
    again = dask_flows("run", f"{tmp_path}/a/flow.py:main", "-p", *flags, "--address", dask.address)

    assert again.end() == 0, again.text
    assert answers_in(again.text) == {"early": ["edited"]}
    eventually(lambda: is_clean(watcher))


SCRIPT = """
import sys, json
from distributed import Client
from helpers_m import double

def late(x):
    from late_m import triple
    return triple(x)
def relative(x):
    from pack_m.sub import around
    return around(x)

def work():
    with Client() as client:
        tasks = (double, late, relative)
        return [client.submit(t, 5, pure=False).result() for t in tasks]

if __name__ == "__main__":
    print("child", work())
    if sys.argv[1:]:
        import multiprocessing
        with multiprocessing.get_context(sys.argv[1]).Pool(1) as pool:
            print("spawned", pool.apply(work))
"""
PARENT = """
import subprocess, sys
from pathlib import Path

def main():
    script = str(Path(__file__).parent / "script.py")
    done = subprocess.run([sys.executable, "-W", "error", script], capture_output=True, text=True)
    print(done.stdout, done.stderr)
"""
ANSWER = "[10, 15, 115]"


@pytest.mark.parametrize(
    ("mode", "way"), [("static", "command"), ("static", "subprocess"), ("local", "command")]
)
def test_a_child_process_s_modules_reach_the_workers(
    dask_flows: Callable[..., Any], tmp_path: Path, watcher: Client, *, mode: str, way: str
) -> None:
    """A command, what it starts with multiprocessing, and a process that a Python flow starts."""
    files = {name: text for name, text in FILES.items() if name != "flow.py"}
    folder = write(tmp_path / "app", {**files, "script.py": SCRIPT, "flow.py": PARENT})
    address = ("--address", watcher.scheduler.address) if mode == "static" else ("--workers", "1")
    script = ("--", sys.executable, "-W", "error", f"{folder}/script.py", "spawn")
    what = script if way == "command" else (f"{folder}/flow.py:main",)

    process = dask_flows("run", *address, *what)

    assert process.end() == 0, process.text + "".join(process.errors)
    assert f"child {ANSWER}" in process.text, process.text
    assert way == "subprocess" or f"spawned {ANSWER}" in process.text
    eventually(lambda: is_clean(watcher), 10)


def answers_in(text: str) -> Any:
    """Return the result that a run's log shows."""
    line = next(line for line in text.splitlines() if '"early"' in line)
    return json.loads(line[line.index("{") :])


CODE = {
    "top_m.py": b"n = 1\ndef again():\n    import top_m\n    return top_m\n",
    "pack_m/__init__.py": b"",
    "pack_m/one.py": b"from . import two\ntwo_there = two.here\n",
    "pack_m/two.py": b"here = 2\nimport pack_m.one as one\n",
    "broken_m.py": b"1 / 0\n",
    "json.py": b"own = True\n",
}


@pytest.fixture
def own() -> Iterator[Importer]:
    """An importer of its own that stands before Python's imports, with one run's sources."""
    one = Importer()
    one.add(Sources("token", "tag", "/far", CODE))
    yield one
    one.remove("token")
    assert builtins.__import__ != one.do_import
    assert importlib.import_module != one.do_import_module


def code_of(token: str | None, text: str) -> dict[str, Any]:
    """Run code with the globals of a function that came in a pickle of this origin."""
    path = {} if token is None else {"__path__": [f"dask-flows:{token}"]}
    scope: dict[str, Any] = {"__name__": "somebody", **path}
    exec(text, scope)
    return scope


def test_only_code_of_the_run_imports_its_modules(own: Importer) -> None:
    """Other code neither sees them nor finds them in sys.modules afterwards."""
    scope = code_of("token", "import top_m, importlib\nsame = importlib.import_module('top_m')")

    assert scope["same"] is scope["top_m"] is scope["top_m"].again()
    assert own.tokens() == ["token"]
    assert "top_m" not in sys.modules
    for other in (None, "another"):
        with pytest.raises(ModuleNotFoundError):
            code_of(other, "import top_m")


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("from top_m import n", "n", 1),
        ("import pack_m.one\nn = pack_m.one.two_there", "n", 2),
        ("from pack_m import one\nn = one.two_there", "n", 2),
        ("from pack_m.two import *", "here", 2),
        ("import json\nn = hasattr(json, 'own')", "n", False),
        ("import os.path\nn = os.path.sep", "n", "/"),
        (
            "import traceback, top_m\nn = top_m.__spec__.loader.get_source('top_m')[:5]",
            "n",
            "n = 1",
        ),
    ],
)
def test_import_statements_mean_what_python_means(
    own: Importer, text: str, name: str, value: object
) -> None:
    """Circles, submodules and stars included; the standard library's names stay its own."""
    assert code_of("token", text)[name] == value
    assert own.tokens()


def test_a_module_that_fails_is_tried_again_and_says_what_it_raised(own: Importer) -> None:
    """As in Python: a broken module is not half there afterwards."""
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            code_of("token", "import broken_m")
    with pytest.raises(ModuleNotFoundError) as caught:
        code_of("token", "import pack_m.nothing")

    assert caught.value.name == "pack_m.nothing"
    assert own.tokens()


def test_a_worker_that_comes_later_has_the_modules_too(
    start: Callable[..., Any], tmp_path: Path, dask: Any, watcher: Client
) -> None:
    """And when the client is away for good, killed or not, nobody has them any more."""
    write(tmp_path / "app", {"flow.py": "", "top_m.py": "n = 1\n"})
    origin = Origin(tmp_path / "app")
    before = len(watcher.run(probe))

    def tokens() -> list[list[str]]:
        return [found["tokens"] for found in watcher.run(probe).values()]

    with Client(dask.address, set_as_default=False) as client:
        plugin = keeper(client, origin, "tag")
        assert plugin is not None
        plugin.patience = 0.1
        client.register_plugin(plugin)
        assert tokens() == [[origin.token]] * before
        start(sys.executable, "-m", "dask", "worker", dask.address, "--no-nanny", "--no-dashboard", cwd=tmp_path)  # fmt: skip
        eventually(lambda: tokens() == [[origin.token]] * (before + 1))
    eventually(lambda: is_clean(watcher), 10)


def test_a_folder_that_is_too_large_is_not_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By bytes, and by entries that are only looked at."""
    write(tmp_path, {"flow.py": "", "data/x.csv": "", "venv/lib.py": "", "b_m.py": "n = 1\n"})

    assert sorted(collect(Origin(tmp_path))) == ["b_m.py", "flow.py"]
    monkeypatch.setattr(sources, "MAX_BYTES", 5)
    with pytest.raises(beside.TooMany):
        collect(Origin(tmp_path))
    monkeypatch.undo()
    monkeypatch.setattr(sources, "MAX_ENTRIES", 3)
    with pytest.raises(beside.TooMany):
        collect(Origin(tmp_path))


def test_a_flow_alone_in_its_folder_sends_nothing(tmp_path: Path) -> None:
    """It travels by value, and there is nothing else."""
    write(tmp_path, {"flow.py": "", "data.csv": ""})

    assert keeper(None, Origin(tmp_path), "tag") is None


@pytest.fixture
def travelled(tmp_path: Path) -> Iterator[Any]:
    """A module that is marked to travel by value."""
    write(tmp_path, {"marked_m.py": "class C: pass\ndef f(x): return x\nbox = {}\n"})
    sys.path.insert(0, str(tmp_path))
    module = importlib.import_module("marked_m")
    origin = Origin(tmp_path)
    modules.mark(module, origin)
    modules.identify(module, origin.token)
    yield module
    modules.unmark(origin)
    sys.path.remove(str(tmp_path))
    del sys.modules["marked_m"]


def test_a_graph_pickles_marked_functions_by_value_and_the_rest_as_before(travelled: Any) -> None:
    """Wherever they are in it; what is not marked goes by reference, lambdas as cloudpickle does."""
    plain: Any = dask_pickle.dumps
    cases = {
        "function": {"k": (travelled.f, 1)},
        "class": [travelled.C],
        "instance": {1: travelled.C()},
    }
    dumps: Any
    with by_value():
        dumps = dask_pickle.dumps
        for name, graph in cases.items():
            assert b"cloudpickle" in dumps(graph), name
        assert b"cloudpickle" not in dumps({"k": (json.dumps, Path, 1)})
        assert pickle.loads(dumps([lambda: 5]))[0]() == 5
        buffers: list[Any] = []
        data = pickle.PickleBuffer(bytearray(b"x" * 100))
        kept = dumps((travelled.f, data), buffer_callback=buffers.append)
        assert len(buffers) == 1
        assert bytes(pickle.loads(kept, buffers=buffers)[1]) == b"x" * 100
        with pytest.raises(TypeError):
            dumps(iter_lock())
    assert dask_pickle.dumps is plain
    modules.unmark(modules.Origin(Path("/"), token="other"))
    assert b"cloudpickle" not in plain({"k": (travelled.f, 1)})


def iter_lock() -> Any:
    """Return what nobody can pickle."""
    return asyncio.Lock, (x for x in ())


def test_a_class_comes_back_as_itself_and_unchanged(travelled: Any) -> None:
    """A result brings copies of its class's methods: they must not replace the flow's own."""
    method = travelled.C.__init__
    travelled.C.box = travelled.box
    with by_value():
        dumps: Any = dask_pickle.dumps
        there = dumps(travelled.C())
        back = pickle.loads(there)

    assert type(back) is travelled.C
    assert travelled.C.box is travelled.box
    assert travelled.C.__init__ is method
