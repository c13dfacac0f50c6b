"""Rules of finding flows: each mistake is a BadFlow with what, where, and what to do."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dask_flows.errors import BadFlow
from dask_flows.flows.load import load_flow


@pytest.fixture(autouse=True)
def clean_imports() -> Iterator[None]:
    """Each test imports for itself."""
    modules, path = dict(sys.modules), list(sys.path)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - set(modules):
        del sys.modules[name]


def write(root: Path, **files: str) -> None:
    """Write modules; ``pkg__mod`` becomes pkg/mod.py."""
    for name, text in files.items():
        path = root / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_a_flow_in_a_file_sees_the_modules_beside_it(tmp_path: Path) -> None:
    """Its folder is the root whose modules travel."""
    write(tmp_path, flow_a="import help_a\ndef main(): return help_a.X\n", help_a="X = 7\n")

    flow = load_flow("flow_a.py:main", tmp_path)

    assert flow.function() == 7
    assert flow.root == tmp_path


def test_a_flow_in_a_package_is_found_in_the_source(tmp_path: Path) -> None:
    """The source folder is searched first."""
    write(tmp_path, pkg_b__inner="def main(): return 1\n")

    assert load_flow("pkg_b.inner:main", tmp_path).function() == 1


def test_a_flow_of_an_installed_module_needs_no_file() -> None:
    """The image holds it."""
    assert load_flow("json:dumps").function([1]) == "[1]"


BAD = [
    ("nothing", "", "does not name a flow"),
    (":main", "", "does not name a flow"),
    ("flow.py:", "", "does not name a flow"),
    ("gone.py:main", "X = 1", "there is no file gone.py; beside it: flow.py"),
    ("sub/gone.py:main", "X = 1", "there is no file gone.py"),
    ("no_such_module_x:main", "", "there is no module no_such_module_x"),
    ("json.nothing_x:main", "", "there is no module json.nothing_x"),
    ("flow.py:mian", "def main(): pass", "did you mean main?"),
    ("flow.py:main", "X = 1", "there is no main in flow"),
    ("flow.py:main", "main = 5", "main is a int, not callable"),
    ("flow.py:main", "main = None", "not callable"),
    ("flow.py:main", "def main():\n    yield 1", "generator"),
    ("flow.py:main", "async def main():\n    yield 1", "generator"),
    ("flow.py:main", "def main(:\n", "flow.py:1"),
    ("flow.py:main", "x = 1\n  y = 2\n", "flow.py:2"),
    ("flow.py:main", "import numpyy_x\n", "there is no module numpyy_x"),
    ("flow.py:main", "from . import beside\n", "ImportError"),
    ("flow.py:main", "from json import nothing_y\n", "nothing_y"),
    ("flow.py:main", "1/0\n", "ZeroDivisionError"),
    ("flow.py:main", "\n\n1/0\n", "flow.py:3"),
    ("flow.py:main", "raise SystemExit(3)\n", "SystemExit"),
    ("flow.py:main", "import sys\nsys.exit('stop')\n", "stop"),
    ("flow.py:main", "\x00", "flow.py"),
]


@pytest.mark.parametrize(("name", "code", "says"), BAD, ids=[f"{b[0]}-{b[2]}" for b in BAD])
def test_each_mistake_says_what_and_where(tmp_path: Path, name: str, code: str, says: str) -> None:
    """A person knows which line to look at."""
    if code:
        (tmp_path / "flow.py").write_text(code)

    with pytest.raises(BadFlow) as caught:
        load_flow(name, tmp_path)

    assert says in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_mistake_in_a_module_beside_the_flow_is_placed_there(tmp_path: Path) -> None:
    """Not in the flow, which only imports it."""
    write(tmp_path, flow_c="import help_c\ndef main(): pass\n", help_c="\n1/0\n")

    with pytest.raises(BadFlow, match=r"help_c\.py:2"):
        load_flow("flow_c.py:main", tmp_path)
