"""Ten runs at once, in each mode."""

import pytest

import flows
from kube import Kube
from release import Release

CODE = "from distributed import get_client\ndef main(n: int): return get_client().submit(pow, n, 2).result()\n"


@pytest.mark.parametrize("mode", ["static", "ephemeral"])
def test_ten_at_once(kube: Kube, release: Release, mode: str) -> None:
    """All succeed, each with its own answer; the namespace's checker looks for leftovers."""
    release.install(mode, ephemeral={"minimum": 1, "maximum": 1})
    for n in range(10):
        flows.inline(kube, f"square-{n}", CODE, parameters={"n": n})

    answers = [flows.result(kube.wait_run(f"square-{n}", timeout=240)) for n in range(10)]

    assert answers == [n * n for n in range(10)]
