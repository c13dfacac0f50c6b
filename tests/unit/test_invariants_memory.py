"""The memory of a container of this machine's own node, as the kernel tells it."""

import os
from pathlib import Path

import pytest

from invariants import agents

ONE, OTHER = "a" * 64, "b" * 64


def process(proc: Path, pid: str, container: str, status: str) -> None:
    """Add a process to a made-up /proc."""
    (proc / pid).mkdir()
    (proc / pid / "cgroup").write_text(f"4:memory:/kubepods/pod1/{container}\n")
    (proc / pid / "status").write_text(status)


def test_the_largest_process_of_the_container_counts(tmp_path: Path) -> None:
    """The shell around a program is one of its processes, other containers' are not."""
    process(tmp_path, "10", ONE, "Name:\ttini\nVmHWM:\t     692 kB\n")
    process(
        tmp_path, "11", ONE, "Name:\tpython\nVmPeak:\t999999 kB\nVmHWM:\t  81920 kB\nVmRSS:\t1 kB\n"
    )
    process(tmp_path, "12", OTHER, "VmHWM:\t  999999 kB\n")
    process(tmp_path, "self", ONE, "VmHWM:\t  999999 kB\n")
    (tmp_path / "13").mkdir()  # it has just ended

    assert agents.peak_mib(ONE, tmp_path) == 80.0


def test_a_container_that_is_elsewhere_is_not_known(tmp_path: Path) -> None:
    """Zero would be taken for little; one that ends has no memory any more."""
    process(tmp_path, "10", OTHER, "Name:\tzombie\n")

    assert agents.peak_mib(ONE, tmp_path) is None
    assert agents.peak_mib(OTHER, tmp_path) is None


def test_the_kernel_writes_it_so() -> None:
    """In kB; this process takes more than one MiB."""
    assert agents.kib(os.getpid(), "VmHWM") > 1024


@pytest.mark.parametrize("container", ["", "abc"])
def test_what_is_no_container_id_is_refused(container: str, tmp_path: Path) -> None:
    """An empty one would be found in every process."""
    with pytest.raises(AssertionError):
        agents.peak_mib(container, tmp_path)
