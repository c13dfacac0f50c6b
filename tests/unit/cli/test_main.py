"""Rules of the command as a whole: quick help, clean failures, exit codes."""

import subprocess
import sys

import pytest
import yaml

from dask_flows.cli import build_parser, main

COMMANDS = ["run", "submit", "ls", "describe", "cancel", "logs", "agent", "drain", "retire"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """``--help`` exits 0 and says how to use it."""
    with pytest.raises(SystemExit) as end:
        build_parser().parse_args([command, "--help"])

    assert end.value.code == 0
    assert f"dask-flows {command}" in capsys.readouterr().out


def test_help_loads_neither_dask_nor_kubernetes() -> None:
    """The shell's completion and a person's patience depend on it."""
    code = (
        "import sys\nfrom dask_flows.cli import build_parser\nbuild_parser()\n"
        "heavy = {'distributed', 'dask', 'kubernetes', 'aiohttp', 'rich', 'pandas'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "argv",
    [
        ["submit"],
        ["submit", "nothing.py:main", "-n", "x"],
        ["submit", "pkg.mod:f", "-p", "broken"],
        ["submit", "pkg.mod:f", "--workers", "many"],
        ["submit", "pkg.mod:f", "--name", "Not A Name", "--dry-run"],
        ["ls", "--kubeconfig", "/does/not/exist"],
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """No traceback of ours."""
    assert main(argv) == 2

    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(("args", "retries"), [
    ([], None), (["--retries", "0"], {"limit": 0}), (["--retries", "100"], {"limit": 100}),
])  # fmt: skip
def test_retries_are_those_of_the_flow(
    args: list[str], retries: dict[str, int] | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """The release decides about everything that is not said: pauses, failures of the platform."""
    assert main(["submit", "pkg.mod:f", "--dry-run", *args]) == 0

    assert yaml.safe_load(capsys.readouterr().out)["spec"].get("retries") == retries


def test_a_dry_run_prints_what_kubectl_can_apply(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is created, no cluster is needed."""
    assert main(["submit", "pkg.mod:f", "--name", "r", "--dry-run", "-p", "n=1"]) == 0

    out = capsys.readouterr().out
    assert "kind: FlowRun" in out
    assert "flow: pkg.mod:f" in out
