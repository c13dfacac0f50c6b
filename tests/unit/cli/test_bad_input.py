"""Rules of bad input: exit code 2, one message with what was found, where and what to do, nothing started."""

import json
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dask_flows.cli import main
from dask_flows.errors import BadFlow
from dask_flows.flows import unpack

FLOW = """
from dataclasses import dataclass
from datetime import date
from enum import Enum
from pathlib import Path
class Level(Enum):
    LOW = "low"
@dataclass
class Row:
    name: str
    price: float = 1.0
def main(day: date, n: int = 1, rows: list[Row] = [], level: Level = Level.LOW, zip: str = ""): ...
def other(): ...
def needs_nothing(): ...
def gen(): yield 1
async def agen(): yield 1
def positional(x, /): ...
class Job:
    def run(self): ...
value = 5
"""

ONE = "def only(): ...\n"
GOOD = ["-p", "day=2026-01-31"]

FLOWS = {
    "nothing": ([], "nothing to run"),
    "only options": (["--workers", "2"], "nothing to run"),
    "a file": (["one.py"], "dask-flows run one.py:only"),
    "a file with several functions": (["many.py"], "several functions: one, two"),
    "a file, which has a main": (["flow.py"], "dask-flows run flow.py:main; as a script"),
    "a file and words": (["one.py", "--", "fast"], "dask-flows run -- python one.py fast"),
    "a file without functions": (["empty.py"], "no function that is a flow"),
    "a file that is not there": (["nothing.py"], "there is no program 'nothing.py'"),
    "a module": (["json"], "there is no program 'json'"),
    "a folder": (["folder"], "there is no program 'folder'"),
    "words behind a flow": (["flow.py:main", "n=1"], "'n=1' follows the flow"),
    "no name": (["flow.py:"], "'' is not a name"),
    "two colons": (["flow.py::main"], "is no module and no file"),
    "a missing file": (["flwo.py:main"], "did you mean flow.py"),
    "a missing module": (["nothing_here:main"], "there is no module"),
    "a missing name": (["flow.py:mian"], "did you mean main"),
    "a value": (["flow.py:value"], "not callable"),
    "a class": (["flow.py:Job"], "a class"),
    "a method without object": (["flow.py:Job.run"], "without an object"),
    "a generator": (["flow.py:gen"], "a generator"),
    "an async generator": (["flow.py:agen"], "a generator"),
    "a position": (["flow.py:positional", "-p", "x=1"], "remove the /"),
    "a builtin": (["builtins:iter"], "signature"),
    "a syntax error": (["broken.py:main"], "syntax error"),
    "a missing import": (["imports.py:main"], "No module named 'numpyy'"),
}  # fmt: skip

COMMANDS = {
    "a missing program": (["--", "no-such-program-here"], "there is no program"),
    "a missing script": (["--", "./no-such-script"], "there is no program"),
    "parameters": (["-p", "n=1", "--", "true"], "a command takes no parameters"),
    "a file of parameters": (["--parameters", "good.yaml", "--", "true"], "takes no parameters"),
    "empty": (["--", ""], "nothing to run"),
}

PARAMETERS = {
    "missing": ([], "day is missing"),
    "no sign": (["-p", "day"], "'day' is not name=value"),
    "no name": (["-p", "=1"], "is not name=value"),
    "no value at all": (["-p"], "it has no value"),
    "not UTF-8": (["-p", "day=\udcff"], "not UTF-8"),
    "too deep": (["-p", "day=" + "[" * 100_000], "nested too deeply"),
    "unknown": ([*GOOD, "-p", "m=1"], "there is no parameter m"),
    "misspelt": (["-p", "dya=2026-01-31"], "no parameter dya, but day; day is missing"),
    "no date": (["-p", "day=tomorrow"], 'day is text ("tomorrow"), not date like'),
    "no number": ([*GOOD, "-p", "n=many"], "not int"),
    "a fraction": ([*GOOD, "-p", "n=1.5"], "n is the number 1.5, not int"),
    "null": ([*GOOD, "-p", "n=null"], "n is null, not int"),
    "NaN": ([*GOOD, "-p", "n=NaN"], 'n is text ("NaN"), not int'),
    "inside": ([*GOOD, "-p", 'rows=[{"name": "a", "price": "x"}]'], 'rows[0].price is text ("x")'),
    "inside, missing": ([*GOOD, "-p", "rows=[{}]"], "rows[0].name is missing"),
    "a choice": ([*GOOD, "-p", "level=high"], "not one of LOW"),
    "three at once": (["-p", "n=x", "-p", "level=y"], "level is text"),
    "for a flow without any": (["-p", "n=1"], "the flow takes no parameters"),
    "no file": (["--parameters", "none.yaml"], "No such file"),
    "a folder": (["--parameters", "folder"], "Is a directory"),
    "a binary file": (["--parameters", "binary.yaml"], "not text"),
    "a list": (["--parameters", "list.yaml"], "no mapping"),
    "an empty file": (["--parameters", "empty.py"], "no mapping"),
    "broken YAML": (["--parameters", "broken.yaml"], "line 1"),
    "broken JSON": (["--parameters", "broken.json"], "line 1"),
    "twice in YAML": (["--parameters", "twice.yaml"], "'n' is there twice"),
    "twice in JSON": (["--parameters", "twice.json"], "'n' is there twice"),
    "a YAML tag": (["--parameters", "tag.yaml"], "cannot read the parameters"),
    "an object of Python": (["--parameters", "object.yaml"], "cannot read the parameters"),
    "a circle": (["--parameters", "circle.yaml"], "cannot read the parameters"),
    "infinity in JSON": (["--parameters", "infinity.json"], "cannot read the parameters"),
    "a list as name": (["--parameters", "key.yaml"], "is no name"),
}

FLAGS = {
    "no workers": (["--workers", "0"], "--workers"),
    "few workers": (["--workers", "-1"], "--workers"),
    "half a worker": (["--workers", "1.5"], "--workers"),
    "a billion workers": (["--workers", "1000000000"], "--workers"),
    "threads": (["--threads", "x"], "--threads"),
    "no threads": (["--threads", "0"], "--threads"),
    "less than no workers": (["--minimum-workers", "-1"], "--minimum-workers"),
    "much memory": (["--memory", "much"], "write it like 512MiB"),
    "a little memory": (["--memory", "2"], "write it like 512MiB"),
    "less than no memory": (["--memory=-1GiB"], "write it like 512MiB"),
    "no time": (["--connect-timeout", "0"], "--connect-timeout"),
    "less than no time": (["--connect-timeout", "-1"], "--connect-timeout"),
    "a strange time": (["--connect-timeout", "nan"], "--connect-timeout"),
    "all the time": (["--deadline", "inf"], "--deadline"),
    "no deadline": (["--deadline", "0"], "--deadline"),
    "a time in words": (["--scheduler-timeout", "soon"], "--scheduler-timeout"),
    "another time": (["--workers-timeout", "-5"], "--workers-timeout"),
    "rubbish": (["--address", "nowhere"], "is not the address of a Dask scheduler"),
    "another protocol": (["--address", "http://x:1"], "is not the address of a Dask scheduler"),
    "a port in words": (["--address", "tcp://x:dask"], "is not the address of a Dask scheduler"),
    "a mode": (["--mode", "remote"], "'remote' is not one of local, static, ephemeral"),
    "no address": (["--mode", "static"], "--mode"),
    "two ways": (["--mode", "local", "--address", "tcp://x:1"], "--address"),
    "an output": (["--output", "xml"], "'xml' is not one of text, json"),
    "a file to save in": (["--save", "one.py"], "'one.py' is not a folder"),
    "an unknown option": (["--wrokers", "2"], "there is no option --wrokers"),
    "half an option": (["--work", "2"], "--workers"),
    "no value": (["--deadline"], "it has no value"),
    "an attempt that is not there": (["--attempt", "nowhere"], "cannot read the attempt"),
    "an attempt that is a file": (["--attempt", "one.py"], "cannot read the attempt"),
}

SUBMIT = {
    "nothing": ([], "nothing to run"),
    "a file": (["one.py"], "dask-flows submit one.py:only"),
    "a missing file": (["nothing.py:main"], "is not there"),
    "parameters of a command": (["-p", "n=1", "--", "true"], "a command takes no parameters"),
    "no pair": (["pkg.mod:f", "-p", "n"], "is not name=value"),
    "large": (["pkg.mod:f", "-p", "x=" + "y" * 70_000], "more than 65536"),
    "workers": (["pkg.mod:f", "--workers", "many"], "4 or 1:8"),
    "too many workers": (["pkg.mod:f", "--workers", "9" * 5000], "4 or 1:8"),
    "workers turned round": (["pkg.mod:f", "--workers", "8:1"], "write 1:8"),
    "deadline": (["pkg.mod:f", "--deadline", "1.5"], "--deadline"),
    "start deadline": (["pkg.mod:f", "--start-deadline", "0"], "--start-deadline"),
    "retries": (["pkg.mod:f", "--retries", "-1"], "give 0 to 100"),
    "more retries than a FlowRun takes": (["pkg.mod:f", "--retries", "101"], "give 0 to 100"),
    "timeout": (["pkg.mod:f", "--timeout", "nan"], "--timeout"),
    "environment": (["pkg.mod:f", "--env", "A"], "write --env name=value"),
    "name": (["pkg.mod:f", "--name", "Not A Name"], "not a name for a FlowRun"),
}

OTHERS = {
    "no command": ([], "COMMAND is missing"),
    "an unknown command": (["rum"], "'rum' is not one of run, submit"),
    "an option before the command": (["--workers", "2", "run"], "COMMAND"),
    "a log of nothing": (["logs"], "NAME is missing"),
    "a kubeconfig that is not there": (
        ["ls", "--kubeconfig", "/does/not/exist"],
        "/does/not/exist",
    ),
}


def _attempt(**changes: Any) -> str:
    spec = {
        "run": "r", "namespace": "n", "uid": "u", "attempt": 1, "mode": "static", "flow": "flow.py:main",
        "startDeadlineSeconds": 5, "channel": {"url": "http://127.0.0.1:9", "tokenFile": "t"},
        "sourceWorkdir": ".",
    }  # fmt: skip
    return json.dumps({k: v for k, v in {**spec, **changes}.items() if v is not ...})


ATTEMPTS = {
    "no JSON": ("{", "{}", "cannot read the attempt"),
    "a list": ("[]", "{}", "not a mapping"),
    "no run": (_attempt(run=...), "{}", "run is missing"),
    "a field of another type": (_attempt(attempt="1"), "{}", "attempt is a str"),
    "an unknown field": (_attempt(color="red"), "{}", "unknown field color"),
    "an unknown mode": (_attempt(mode="remote"), "{}", "'remote' is not a mode"),
    "parameters that are no JSON": (_attempt(), "{", "cannot read the attempt"),
    "parameters that are a list": (_attempt(), "[]", "parameters is a list"),
}

ROWS = {
    **{f"flow: {name}": (["run", *args], says) for name, (args, says) in FLOWS.items()},
    **{f"command: {name}": (["run", *args], says) for name, (args, says) in COMMANDS.items()},
    **{
        f"parameters: {name}": (
            ["run", "flow.py:other" if "without any" in name else "flow.py:main", *args],
            says,
        )
        for name, (args, says) in PARAMETERS.items()
    },
    **{
        f"flag: {name}": (["run", "flow.py:needs_nothing", *args], says)
        for name, (args, says) in FLAGS.items()
    },
    **{f"submit: {name}": (["submit", *args, "--dry-run"], says) for name, (args, says) in SUBMIT.items()},
    **{f"other: {name}": row for name, row in OTHERS.items()},
}  # fmt: skip


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with good and bad files, and nothing that a run could start."""
    monkeypatch.chdir(tmp_path)
    for name in ("DASK_SCHEDULER_ADDRESS", "KUBECONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("dask_flows.cli.run._end_soon", lambda _: None)

    def never(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("something was started")

    for name in ("distributed.LocalCluster", "distributed.Client.__init__", "subprocess.Popen"):
        monkeypatch.setattr(name, never)
    files: dict[str, str | bytes] = {
        "flow.py": FLOW,
        "one.py": ONE,
        "many.py": "def one(): ...\ndef two(): ...\n",
        "empty.py": "",
        "broken.py": "def main(:\n",
        "imports.py": "import numpyy\n",
        "good.yaml": "n: 1\n",
        "binary.yaml": b"\xff\xfe\x00n",
        "list.yaml": "- 1\n",
        "broken.yaml": "n: [1\n",
        "broken.json": '{"n": 1,}',
        "twice.yaml": "n: 1\nm: 2\nn: 3\n",
        "twice.json": '{"n": 1, "n": 2}',
        "tag.yaml": "day: !!timestamp 2026-01-31\n",
        "object.yaml": "n: !!python/object/apply:os.getcwd []\n",
        "circle.yaml": "n: &a [*a]\n",
        "infinity.json": '{"n": Infinity}',
        "key.yaml": "? [a, b]\n: 1\n",
    }
    (tmp_path / "folder").mkdir()
    for name, content in files.items():
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


_PARTS = re.compile(r".+ \(.+\): .+", re.DOTALL)


def _refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run the command in this process; return its only message."""
    code = main(argv)

    written = capsys.readouterr()
    text = written.out + written.err
    assert code == 2, text
    said = [line for line in text.splitlines() if line.startswith(("error: ", "failed after "))]
    assert said == text.splitlines()[-1:], text
    last = said[0]
    assert _PARTS.fullmatch(last), last
    assert "dask_flows/" not in text, "no traceback of ours"
    assert "usage:" not in text
    assert not re.search(r"^(cluster|scheduler|workers|running) ", text, re.MULTILINE)
    return last


def test_the_table_is_long_enough() -> None:
    """Sixty are asked for."""
    assert len(ROWS) + len(ATTEMPTS) >= 60


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("name", ROWS)
def test_bad_input_is_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything starts, with a message that a person can act on."""
    argv, says = ROWS[name]

    assert says in _refused(argv, capsys)


@pytest.mark.parametrize("name", ATTEMPTS)
def test_a_broken_attempt_is_refused(
    here: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody can be told, so the log must say it."""
    spec, parameters, says = ATTEMPTS[name]
    (here / "attempt").mkdir()
    (here / "attempt" / "attempt.json").write_text(spec)
    (here / "attempt" / "parameters.json").write_text(parameters)

    assert says in _refused(["run", "--attempt", "attempt"], capsys)


@pytest.mark.usefixtures("here")
def test_a_bad_address_of_the_environment_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As one of a flag."""
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", "nowhere")

    assert "DASK_SCHEDULER_ADDRESS" in _refused(["run", "flow.py:other"], capsys)


@pytest.mark.usefixtures("here")
def test_all_faults_are_in_one_message(capsys: pytest.CaptureFixture[str]) -> None:
    """Of all parameters, and what the flow takes."""
    message = _refused(["run", "flow.py:main", "-p", "n=x", "-p", "m=1", "-p", "rows=1"], capsys)

    for part in (
        "no parameter m",
        "day is missing",
        "n is text",
        "rows is the number 1",
        "it takes day",
    ):
        assert part in message


ARCHIVES = {
    "no zip": b"PK nothing",
    "cut off": b"",
    "escapes": "../evil.py",
    "absolute": "/evil.py",
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_broken_archive_is_refused(here: Path, name: str) -> None:
    """With the three parts; nothing is written outside."""
    content, archive = ARCHIVES[name], here / "source.zip"
    if isinstance(content, bytes):
        archive.write_bytes(content)
    else:
        with zipfile.ZipFile(archive, "w") as zipped:
            zipped.writestr(content, "x")

    with pytest.raises(BadFlow) as caught:
        unpack(archive, here / "unpacked")

    assert _PARTS.fullmatch(str(caught.value))
    assert not (here / "evil.py").exists()
