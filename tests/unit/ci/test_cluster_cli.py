"""The command line says what is missing in one line, and prints what a shell can read."""

import shlex
from pathlib import Path

import pytest
from onenode import cli, prerequisites
from onenode.paths import Paths


def test_missing_commands_become_packages():
    """The advice names Debian packages, each once, in a stable order."""
    commands = {"ip": "iproute2", "tc": "iproute2", "openssl": "openssl", "sh": "dash"}

    present = {"sh": "/bin/sh"}

    assert prerequisites.missing(commands, present.get) == ["iproute2", "openssl"]


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("go1.26.8", (1, 26)),
        ("go1.27rc1", (1, 27)),
        ("go1.9", (1, 9)),
        ("devel go1.28-abc", (999, 0)),
    ],
)
def test_go_versions_are_compared_as_numbers(text, version):
    """1.9 is older than 1.26."""
    assert prerequisites.parse_go(text) == version


def test_exports_are_quoted_for_the_shell():
    """A folder with a space or a dollar must not become code."""
    paths = Paths(cache=Path("/a b"), cluster=Path("/a b/$c"))
    lines = cli.exports(paths).splitlines()

    assert shlex.split(lines[0]) == ["export", "KUBECONFIG=/a b/$c/kubeconfig"]
    assert shlex.split(lines[1]) == ["export", "PATH=/a b/bin:$PATH"]


@pytest.mark.parametrize(
    "line",
    [
        "up",
        "up --empty",
        "down --wipe",
        "build --install",
        "load a b",
        "status",
        "logs",
        "logs etcd -f -n 5",
        "kubeconfig",
        "restart etcd",
        "outage etcd 5",
        "kwok up --nodes 3",
        "kwok down",
        "env",
    ],
)
def test_the_documented_commands_are_accepted(line):
    """What the README shows works."""
    assert cli.parser().parse_args(line.split()).command == line.split()[0]


@pytest.mark.parametrize("seconds", ["-1", "601", "nan", "long"])
def test_an_outage_is_bounded(seconds, capsys):
    """A cluster is never left without a component for good."""
    with pytest.raises(SystemExit):
        cli.parser().parse_args(["outage", "etcd", "--", seconds])


def test_an_unknown_component_is_answered_with_the_names(capsys, monkeypatch):
    """Wrong use is exit code 2 and one line."""
    monkeypatch.setenv("DASK_FLOWS_CACHE", "/tmp/no-such-cache")  # short enough for a socket
    code = cli.main(["logs", "dns"])
    said = capsys.readouterr().err

    assert code == 2
    assert said.startswith("error: no component dns: choose one of etcd, containerd")
