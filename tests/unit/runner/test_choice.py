"""Rules of choosing the cluster: what wins over what, what contradicts, and what is said about it."""

import inspect
from collections.abc import Callable
from dataclasses import fields
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from distributed import Client

from dask_flows.cli import main
from dask_flows.clusters import Asked, Choice, Wanted, choose
from dask_flows.clusters.client_options import ALLOWED, check_client_kwargs
from dask_flows.config import AgentConfig, Environment
from dask_flows.errors import ConfigError, UsageError

FLAG, VARIABLE, MOUNTED = "tcp://flag:1", "tcp://env:1", "tcp://mounted:1"
CLASS = "pkg.mod:Name"
FILE = "/somewhere/config.yaml"


def config(mode: str, **static: Any) -> dict[str, Any]:
    """Return what the chart writes for a mode."""
    return {
        "apiVersion": "dask-flows.dev/v1alpha1",
        "kind": "AgentConfig",
        "release": {"name": "r", "namespace": "n", "fullname": "f", "chart": "c"},
        "mode": mode,
        "channel": {"url": "http://agent", "port": 8700},
        "pauseLease": "lease",
        "configHash": "hash",
        "runs": {"startDeadlineSeconds": 600},
        "static": {"address": MOUNTED, **static} if mode == "static" else None,
        "templates": {"runner": {}},
    }


def decide(mounted: str | None = None, variable: str = "", **asked: Any) -> Choice:
    """Choose with such a file and such a variable."""
    found = (
        AgentConfig.parse(config(mounted, minimum=3, dashboardAddress="http://d"))
        if mounted
        else None
    )
    environment = Environment(scheduler_address=variable, config_file=FILE)
    return choose(Asked(**asked), environment, read=lambda _: found)


@pytest.mark.parametrize(
    ("asked", "variable", "mounted", "chosen"),
    [
        # Nothing decides.
        ({}, "", None, Choice(mode="local", origin="default")),
        ({"workers": 2}, "", None, Choice(mode="local", origin="default")),
        # The mounted configuration decides.
        ({}, "", "local", Choice(mode="local", origin=FILE)),
        ({"workers": 2}, "", "local", Choice(mode="local", origin=FILE)),
        ({}, "", "static",
         Choice(mode="static", origin=FILE, address=MOUNTED, dashboard="http://d", minimum=3)),
        ({"mode": "static"}, "", "static",
         Choice(mode="static", origin=FILE, address=MOUNTED, dashboard="http://d", minimum=3)),
        ({"minimum_workers": 0}, "", "static",
         Choice(mode="static", origin=FILE, address=MOUNTED, dashboard="http://d", minimum=0)),
        # The variable decides, whatever is mounted.
        *[
            (asked, VARIABLE, mounted,
             Choice(mode="static", origin="DASK_SCHEDULER_ADDRESS", address=VARIABLE))
            for asked in ({}, {"mode": "static"})
            for mounted in (None, "local", "static", "ephemeral")
        ],
        # A flag decides, whatever else there is.
        *[
            (asked, variable, mounted, chosen)
            for asked, chosen in (
                ({"mode": "local"}, Choice(mode="local", origin="--mode")),
                ({"mode": "local", "workers": 2}, Choice(mode="local", origin="--mode")),
                ({"address": FLAG}, Choice(mode="static", origin="--address", address=FLAG)),
                ({"address": FLAG, "mode": "static", "minimum_workers": 2},
                 Choice(mode="static", origin="--address", address=FLAG, minimum=2)),
                ({"address": FLAG, "mode": "ephemeral"},
                 Choice(mode="ephemeral", origin="--address", address=FLAG)),
                ({"cluster_class": CLASS}, Choice(mode="class", origin="--cluster-class")),
                ({"cluster_class": CLASS, "mode": "ephemeral"},
                 Choice(mode="class", origin="--cluster-class")),
                ({"cluster_class": CLASS, "adapt": (0, 3)},
                 Choice(mode="class", origin="--cluster-class", minimum=0)),
                ({"cluster_class": CLASS, "adapt": (2, 3), "minimum_workers": 1},
                 Choice(mode="class", origin="--cluster-class", minimum=1)),
            )
            for variable in ("", VARIABLE)
            for mounted in (None, "local", "static", "ephemeral")
        ],
    ],
)  # fmt: skip
def test_flag_over_variable_over_mounted_over_here(
    asked: dict[str, Any], variable: str, mounted: str | None, chosen: Choice
) -> None:
    """One function decides, and knows who said so."""
    assert decide(mounted, variable, **asked) == chosen


@pytest.mark.parametrize(
    ("asked", "variable", "mounted", "names"),
    [
        ({"mode": "local", "address": FLAG}, "", None, ["--mode local", "--address"]),
        ({"cluster_class": CLASS, "address": FLAG}, "", None, ["--cluster-class", "--address"]),
        ({"cluster_class": CLASS, "mode": "local"}, "", None, ["--cluster-class", "--mode local"]),
        ({"cluster_class": CLASS, "mode": "static"}, "", None, ["--cluster-class", "--mode static"]),
        ({"cluster_class": CLASS, "workers": 2}, "", None, ["--cluster-class", "--workers"]),
        ({"cluster_class": CLASS, "memory": "1GiB"}, "", None, ["--cluster-class", "--memory"]),
        ({"cluster_class": CLASS, "adapt": (1, 3), "minimum_workers": 2}, "", None,
         ["--minimum-workers", "--adapt"]),
        ({"adapt": (1, 3), "address": FLAG}, "", None, ["--adapt", "--address"]),
        ({"adapt": (1, 3), "mode": "static"}, "", None, ["--adapt", "--mode static"]),
        ({"adapt": (1, 3), "mode": "local"}, "", None, ["--adapt", "--mode local"]),
        ({"adapt": (1, 3)}, "", None, ["--adapt", "--cluster-class"]),
        ({"cluster_kwargs": {}}, VARIABLE, None, ["--cluster-kwargs", "--cluster-class"]),
        ({"workers": 2, "address": FLAG}, "", None, ["--workers", "--address"]),
        ({"threads": 2, "address": FLAG}, "", None, ["--threads", "--address"]),
        ({"workers": 2}, VARIABLE, None, ["--workers", "DASK_SCHEDULER_ADDRESS", "--mode local"]),
        ({"memory": "1GiB"}, "", "static", ["--memory", FILE, "--mode local"]),
        ({"mode": "static"}, "", None, ["mode static", FILE, "--address"]),
        ({"mode": "static"}, "", "local", ["mode static", FILE, "--address"]),
        ({"mode": "static"}, "", "ephemeral", ["mode static", FILE, "--address"]),
        ({"mode": "ephemeral"}, "", None, ["agent", "dask-flows submit", "--mode local"]),
        ({"mode": "ephemeral"}, "", "static", ["agent", "dask-flows submit", "--mode local"]),
        ({}, "", "ephemeral", ["agent", FILE, "dask-flows submit", "--mode local"]),
        ({"mode": "class"}, "", None, ["'class'", "local, static, ephemeral"]),
        ({"adapt": (3, 1), "cluster_class": CLASS}, "", None, ["3:1", "--adapt"]),
        ({"adapt": (0, 0), "cluster_class": CLASS}, "", None, ["0:0", "--adapt"]),
        ({"minimum_workers": -1}, "", None, ["--minimum-workers", "0 or more"]),
    ],
)  # fmt: skip
def test_a_contradiction_is_refused(
    asked: dict[str, Any], variable: str, mounted: str | None, names: list[str]
) -> None:
    """With both sides of it, and what to write instead; nothing is ignored in silence."""
    with pytest.raises(UsageError) as caught:
        decide(mounted, variable, **asked)

    assert [name for name in names if name not in str(caught.value)] == []


SOMETHING: dict[str, Any] = {
    "mode": "static", "address": FLAG, "minimum_workers": 1, "workers": 1, "threads": 1,
    "memory": "1GiB", "cluster_class": CLASS, "cluster_kwargs": {"a": 1}, "adapt": (1, 2),
}  # fmt: skip


def test_every_combination_is_decided_or_refused_with_its_reason() -> None:
    """No combination of flags, variable and file fails in another way, or drops a flag that was given."""
    assert {field.name for field in fields(Asked)} == set(SOMETHING)
    names = list(SOMETHING)
    modes = (None, "local", "static", "ephemeral")
    for given in product((False, True), repeat=len(names) - 1):
        asked = {n: SOMETHING[n] for n, there in zip(names[1:], given, strict=True) if there}
        for mode, variable, mounted in product(
            modes, ("", VARIABLE), (None, "static", "ephemeral")
        ):
            refused = None
            try:
                chosen = decide(mounted, variable, mode=mode, **asked)
            except UsageError as error:
                refused = error
            if refused is not None:
                assert refused.found
                assert refused.do
                continue
            sized = {"workers", "threads", "memory"} & set(asked)
            classy = {"cluster_kwargs", "adapt", "cluster_class"} & set(asked)
            assert not sized or chosen.mode == "local"
            assert not classy or chosen.mode == "class"
            assert chosen.address == FLAG if "address" in asked else chosen.address != FLAG
            assert mode in (None, chosen.mode) or (mode, chosen.mode) == ("ephemeral", "class")


def test_what_is_not_needed_is_not_read() -> None:
    """A broken file hurts nobody who says where to run."""

    def read(_: Environment) -> None:
        raise AssertionError("read")

    for asked in (Asked(mode="local"), Asked(address=FLAG), Asked(cluster_class=CLASS)):
        choose(asked, Environment(), read=read)
    choose(Asked(), Environment(scheduler_address=VARIABLE), read=read)


@pytest.mark.parametrize("content", ["mode: [", "mode: static", "\xff\xfe", "[]", None])
def test_a_broken_file_is_named(tmp_path: Path, content: str | None) -> None:
    """And how to do without it; a file that DASK_FLOWS_CONFIG names must be there."""
    file = tmp_path / "config.yaml"
    if content is not None:
        file.write_bytes(content.encode("latin-1"))

    with pytest.raises(ConfigError, match="--mode local") as caught:
        choose(Asked(), Environment.read({"DASK_FLOWS_CONFIG": str(file)}))

    assert str(file) in str(caught.value)
    assert caught.value.exit_code == 2


def test_the_file_is_the_one_that_the_chart_writes(tmp_path: Path) -> None:
    """Found by DASK_FLOWS_CONFIG; without it and without the usual file nothing is mounted."""
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(config("static")))

    chosen = choose(Asked(), Environment.read({"DASK_FLOWS_CONFIG": str(file)}))

    assert (chosen.mode, chosen.address, chosen.origin) == ("static", MOUNTED, str(file))
    if not Path("/etc/dask-flows/config.yaml").exists():
        assert choose(Asked(), Environment.read({})).origin == "default"


@pytest.mark.parametrize(
    ("origin", "told"),
    [("--address", " (from --address)"), ("default", " (default)"), ("", "")],
)
def test_the_origin_is_told(origin: str, told: str) -> None:
    """An attempt has none: the agent chooses."""
    assert Wanted(mode="local", tag="t", origin=origin).told_origin == told


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"address": "tcp://x:1"}, ["address", "--address"]),
        ({"timeout": 1}, ["timeout", "--connect-timeout"]),
        ({"set_as_default": False}, ["set_as_default"]),
        ({"asynchronous": True}, ["asynchronous"]),
        ({"security": {}}, ["security", "DASK_DISTRIBUTED__COMM__TLS__CA_FILE"]),
        ({"direct_to_worker": True}, ["direct_to_worker", "did you mean direct_to_workers"]),
        ({"n_workers": 2}, ["n_workers", "heartbeat_interval"]),
    ],
)
def test_options_of_the_client_that_are_ours_or_nobodys_are_refused(
    options: dict[str, Any], names: list[str]
) -> None:
    """With the way to say it."""
    with pytest.raises(UsageError) as caught:
        check_client_kwargs(options, mode="static")

    assert [name for name in names if name not in str(caught.value)] == []


def test_the_client_knows_its_options() -> None:
    """What we allow is what Dask takes."""
    check_client_kwargs(dict.fromkeys(ALLOWED, 1), mode="local")
    assert set(ALLOWED) <= set(inspect.signature(Client).parameters)


@pytest.mark.parametrize(
    ("argv", "names"),
    [
        (["--mode", "local", "--address", FLAG], ["--mode local", "--address"]),
        (["--cluster-class", CLASS, "--address", FLAG], ["--cluster-class", "--address"]),
        (["--cluster-class", CLASS, "--cluster-kwargs", "{"], ["--cluster-kwargs", "JSON"]),
        (["--cluster-class", CLASS, "--cluster-kwargs", "[]"], ["--cluster-kwargs", "object"]),
        (
            ["--cluster-class", CLASS, "--cluster-kwargs", "@no.json"],
            ["--cluster-kwargs", "no.json"],
        ),
        (["--cluster-class", CLASS, "--adapt", "many"], ["--adapt", "1:8"]),
        (["--adapt", "1:2"], ["--adapt", "--cluster-class"]),
        (["--client-kwargs", '{"timeout": 1}'], ["--client-kwargs", "--connect-timeout"]),
        (["--mode", "ephemeral"], ["dask-flows submit"]),
    ],
)
def test_the_command_line_says_it_in_one_line(
    argv: list[str],
    names: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Exit code 2, before anything starts."""
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)

    assert main(["run", "pkg.mod:flow", *argv]) == 2

    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert [name for name in names if name not in err] == []


def test_the_first_line_says_who_chose(
    dask_flows: Callable[..., Any], tmp_path: Path, dask: Any
) -> None:
    """A pod that mounts the release's configuration runs on the release's cluster."""
    file = tmp_path / "config.yaml"
    static = config("static")
    static["static"]["address"] = dask.address
    file.write_text(yaml.safe_dump(static))
    (tmp_path / "flow.py").write_text("def main(): return 1\n")

    mounted = dask_flows("run", "flow.py:main", DASK_FLOWS_CONFIG=str(file))
    variable = dask_flows("run", "flow.py:main", DASK_SCHEDULER_ADDRESS=dask.address)

    assert mounted.end() == 0, mounted.text
    assert mounted.lines[0] == f"cluster static at {dask.address} (from {file})\n"
    assert variable.end() == 0, variable.text
    assert variable.lines[0] == f"cluster static at {dask.address} (from DASK_SCHEDULER_ADDRESS)\n"


def test_an_attempt_has_the_mode_that_the_agent_passes(
    dask_flows: Callable[..., Any], attempt: Callable[..., Path], agent: Any, tmp_path: Path
) -> None:
    """Also ``local``, for small runs; variable and file of the pod decide nothing, and are not read."""
    (tmp_path / "flow.py").write_text(
        "from distributed import Client\n"
        "def main():\n"
        "    with Client() as c:\n        return c.submit(abs, -7).result()\n"
    )
    folder = attempt(mode="local")

    process = dask_flows(
        "run", "--attempt", str(folder), "--mode", "local",
        DASK_SCHEDULER_ADDRESS="tcp://nobody:1", DASK_FLOWS_CONFIG="/no/such/file",
    )  # fmt: skip

    assert process.end() == 0, process.text
    first = next(line for line in process.lines if line.startswith("cluster "))
    assert first.startswith("cluster local: ")
    assert "(" not in first
    assert agent.bodies("finish")[0]["result"] == 7
