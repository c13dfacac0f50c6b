"""Rules of finding a flow: whatever is wrong is said with what was found, where, and what to do."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dask_flows.errors import BadFlow
from dask_flows.flows.load import load
from dask_flows.flows.names import of_file


@dataclass(frozen=True)
class Bad:
    """A reference, the files beside it, and what the message must say."""

    reference: str
    says: str
    files: dict[str, str]


MAIN = "def main(n=1): return n\ndef other(): pass\n"


def bad(reference: str, says: str, **files: str) -> Bad:
    """Return a row; ``flow`` stands for flow.py."""
    return Bad(reference, says, {f"{name}.py": text for name, text in files.items()})


TABLE = {
    "empty": bad("", "names no function"),
    "no function": bad("flow.py", "flow.py:main or", flow=MAIN),
    "no function, no file": bad("nothing.py", "a command follows --"),
    "only a module": bad("flow", "names no function"),
    "only a colon": bad(":", "no module and no file"),
    "no module": bad(":main", "no module and no file"),
    "no name": bad("flow.py:", "'' is not a name", flow=MAIN),
    "name with a dash": bad("flow.py:my-flow", "'my-flow' is not a name", flow=MAIN),
    "name with brackets": bad("flow.py:main()", "is not a name", flow=MAIN),
    "module with a dash": bad("my-flow:main", "no module and no file"),
    "module with a slash": bad("flows/daily:main", "no module and no file"),
    "other file type": bad("flow.txt:main", "there is no module 'flow'"),
    "missing file": bad("flwo.py:main", "did you mean flow.py", flow=MAIN),
    "missing folder": bad("no/such/flow.py:main", "there is no file"),
    "missing module": bad("nothing_here:main", "there is no module 'nothing_here'"),
    "missing submodule": bad("json.nothing:main", "there is no module 'json.nothing'"),
    "module is no package": bad("flow.deep:main", "there is no module 'flow.deep'", flow=MAIN),
    "attribute": bad("flow.py:mian", "did you mean main", flow=MAIN),
    "attribute of nothing": bad("flow.py:x", "define it", flow=""),
    "attribute of a module": bad("json:lods", "did you mean loads"),
    "nested attribute": bad(
        "flow.py:Job.rn", "did you mean run", flow="class Job:\n def run(self): 1"
    ),
    "a number": bad("flow.py:main", "not callable, it is an int", flow="main = 5"),
    "a text": bad("flow.py:main", "not callable, it is a str", flow="main = 'x'"),
    "none": bad("flow.py:main", "a NoneType", flow="main = None"),
    "a module as flow": bad("flow.py:os", "not callable, it is a module", flow="import os"),
    "a generator": bad("flow.py:main", "generator", flow="def main(): yield 1"),
    "an async generator": bad("flow.py:main", "generator", flow="async def main(): yield 1"),
    "syntax": bad("flow.py:main", "flow.py:1", flow="def main(:\n"),
    "indentation": bad("flow.py:main", "flow.py:2", flow="def main():\npass\n"),
    "null byte": bad("flow.py:main", "syntax error", flow="x = '\0'\n"),
    "syntax beside": bad("flow.py:main", "helper.py:1", flow="import helper", helper="a b\n"),
    "missing import": bad("flow.py:main", "No module named 'numpyy'", flow="import numpyy\n"),
    "missing import in a module": bad("flow:main", "'numpyy'", flow="import numpyy\n"),
    "missing name": bad("flow.py:main", "cannot import name", flow="from json import nothing\n"),
    "relative import": bad("flow.py:main", "import of the flow failed", flow="from . import x\n"),
    "raises": bad("flow.py:main", "ZeroDivisionError", flow="\n\n1 / 0\n"),
    "raises at a line": bad("flow.py:main", "flow.py:3", flow="\n\n1 / 0\n"),
    "raises beside": bad("flow.py:main", "helper.py:1", flow="import helper", helper="1 / 0"),
    "exits": bad("flow.py:main", "SystemExit", flow="raise SystemExit(0)"),
    "exits like a group": bad("flow.py:main", "BaseExc", flow="raise BaseException('x')"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for sources; its modules are forgotten afterwards."""
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(folder: Path, files: dict[str, str]) -> None:
    """Write files, making their folders."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.mark.parametrize("name", TABLE)
def test_a_bad_flow_is_said_in_three_parts(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found, where, what to do; and nothing of it stays importable."""
    row = TABLE[name]
    write(folder, row.files)
    monkeypatch.chdir(folder)
    monkeypatch.delitem(sys.modules, "flow", raising=False)  # another test's
    before = (list(sys.path), list(sys.meta_path))

    with pytest.raises(BadFlow) as caught, load(row.reference, folder):
        pass

    assert row.says in str(caught.value)
    assert caught.value.found
    assert caught.value.where
    assert caught.value.do
    assert (sys.path, sys.meta_path) == before


GOOD = {
    "file": ("flow.py:main", {"flow.py": MAIN}),
    "file in a folder": ("etl/flow.py:main", {"etl/flow.py": MAIN}),
    "file with a dash": ("my-flow.py:main", {"my-flow.py": MAIN}),
    "file named like the standard library": ("json.py:main", {"json.py": MAIN}),
    "module": ("daily:main", {"daily.py": MAIN}),
    "module of a package": ("jobs.daily:main", {"jobs/__init__.py": "", "jobs/daily.py": MAIN}),
    "package": ("jobs:main", {"jobs/__init__.py": MAIN}),
    "namespace package": ("jobs.daily:main", {"jobs/daily.py": MAIN}),
    "sibling": ("flow.py:main", {"flow.py": "from helper import main", "helper.py": MAIN}),
    "static method": ("flow.py:Job.main", {"flow.py": "class Job:\n @staticmethod\n def main(): 1"}),
    "callable object": ("flow.py:main", {"flow.py": "from functools import partial\nmain = partial(int)"}),
    "relative import": (
        "jobs/flow.py:main",
        {"jobs/__init__.py": "", "jobs/helper.py": MAIN, "jobs/flow.py": "from .helper import main"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_a_flow_is_found(folder: Path, name: str) -> None:
    """By file or by module, with the modules beside it and the package around it."""
    reference, files = GOOD[name]
    write(folder, files)

    with load(reference, folder) as flow:
        assert callable(flow.function)
        assert flow.reference == reference


def test_a_path_may_be_absolute(folder: Path) -> None:
    """The source folder does not matter then."""
    write(folder, {"a/flow.py": MAIN})

    with load(f"{folder}/a/flow.py:main", folder / "b") as flow:
        assert flow.function(n=3) == 3


def test_the_cause_of_a_failed_import_is_kept(folder: Path) -> None:
    """Its traceback is shown to the user."""
    write(folder, {"flow.py": "import helper", "helper.py": "\ndef f(): return {}['x']\nf()\n"})

    with pytest.raises(BadFlow) as caught, load("flow.py:main", folder):
        pass

    assert isinstance(caught.value.__cause__, KeyError)
    assert caught.value.where.endswith("helper.py:2")


def test_an_interruption_while_importing_is_no_bad_flow(folder: Path) -> None:
    """Ctrl-C in a slow import must stop the run as anywhere else."""
    write(folder, {"flow.py": "raise KeyboardInterrupt"})

    with pytest.raises(KeyboardInterrupt), load("flow.py:main", folder):
        pass


def test_a_module_name_counts_its_packages(tmp_path: Path) -> None:
    """So that relative imports work; the folder above the outermost package must be importable."""
    write(tmp_path, {"a/__init__.py": "", "a/b/__init__.py": "", "a/b/flow.py": ""})

    assert of_file(tmp_path / "a/b/flow.py") == (tmp_path, "a.b.flow")
    assert of_file(tmp_path / "my-flow.py") == (tmp_path, "flow_my_flow")
