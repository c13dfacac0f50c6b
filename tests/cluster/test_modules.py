"""A flow's own modules reach the workers, however they are imported, in both modes and both ways of sending."""

from pathlib import Path
from typing import Any

import pytest

import flows
import invariants
from flows import flow_run, submit
from kube import Kube, run
from release import Release

FILES = {
    "flow.py": """
from distributed import get_client, get_worker
from near import double
from pack import outer

def early(x): return double(x)
def package(x): return outer(x)
def late(x):
    from far import triple
    return triple(x)
def late_relative(x):
    import pack.late
    return pack.late.around(x)
def where(x):
    import far
    return far.__file__, get_worker().name

def main():
    client = get_client()
    tasks = (early, package, late, late_relative)
    found = {t.__name__: client.submit(t, 5, pure=False).result() for t in tasks}
    file, worker = client.submit(where, 1, pure=False).result()
    return {**found, "file": file, "worker": worker}
""",
    "near.py": "def double(x): return 2 * x\n",
    "far.py": "def triple(x): return 3 * x\n",
    "pack/__init__.py": "from .middle import outer\n",
    "pack/middle.py": "from .deep.inner import add\ndef outer(x): return add(x) + 1\n",
    "pack/deep/__init__.py": "",
    "pack/deep/inner.py": "def add(x): return x + 10\n",
    "pack/late.py": "def around(x):\n    from . import end\n    return end.away(x)\n",
    "pack/end.py": "def away(x): return x + 100\n",
}
ANSWERS = {"early": 10, "package": 16, "late": 15, "late_relative": 105}
SCRIPT = """
from distributed import Client
from near import double

def late(x):
    from far import triple
    return triple(x)

if __name__ == "__main__":
    with Client() as client:
        print("child", client.submit(double, 5).result(), client.submit(late, 5).result())
"""


@pytest.fixture(scope="module", params=["static", "ephemeral"])
def release(request: pytest.FixtureRequest, shared: Kube) -> Release:
    """The same release, in one mode and then in the other."""
    release = Release(shared)
    if request.param == "static":
        release.install("static")
    else:
        release.upgrade("mode=ephemeral")
        release.wait_ready()
    return release


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The flow with its modules, and a script."""
    folder = tmp_path_factory.mktemp("flow")
    for name, text in {**FILES, "script.py": SCRIPT}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def mode_of(kube: Kube, name: str) -> str:
    """Return the mode that a run had."""
    return str(kube.run_status(name)["mode"])


@pytest.mark.parametrize("way", ["inline", "zip"])
def test_modules_reach_the_workers(release: Release, shared: Kube, folder: Path, way: str) -> None:
    """A package, a relative import and late ones; mounted on a cluster of the run's own, by value on a shared one."""
    mode = "static" if shared.get("deployments", f"{release.fullname}-worker") else "ephemeral"
    name = f"{way}-{mode}"
    if way == "zip":
        config_map(shared, f"{name}-code", folder)
        source: dict[str, Any] = {"configMap": {"name": f"{name}-code", "key": "code.zip"}}
    else:
        source = {"files": [{"path": path, "content": text} for path, text in FILES.items()]}
    # An environment variable that a run sets must not hide its source.
    env = [{"name": "PYTHONPATH", "value": "/nowhere"}]
    run_it = flow_run(name, flow="flow.py:main", source=source, env=env)

    shared.create("flowruns", run_it)
    found = flows.result(shared.wait_run(name, timeout=240))

    assert {key: found[key] for key in ANSWERS} == ANSWERS
    assert mode_of(shared, name) == mode
    mounted = found["file"].startswith("/etc/dask-flows/source/")
    assert mounted == (mode == "ephemeral" or way == "inline"), found["file"]
    assert found["worker"].startswith("f-") == (mode == "ephemeral"), found["worker"]
    invariants.check(shared)


def config_map(kube: Kube, name: str, folder: Path) -> None:
    """Put the folder into a ConfigMap as a zip, as somebody does by hand."""
    zipped = folder.parent / f"{name}.zip"
    run("python3", "-m", "zipfile", "-c", str(zipped), *(str(folder / n) for n in ("flow.py", "near.py", "far.py", "pack")))  # fmt: skip
    run("kubectl", "create", "configmap", name, "-n", kube.namespace, f"--from-file=code.zip={zipped}")  # fmt: skip


def test_a_script_s_modules_reach_the_workers(release: Release, shared: Kube, folder: Path) -> None:
    """A command's own client finds the cluster, and its modules go along."""
    mode = "static" if shared.get("deployments", f"{release.fullname}-worker") else "ephemeral"
    name = f"script-{mode}"

    submit(shared, "--", "python", str(folder / "script.py"), name=name)
    shared.wait_run(name, timeout=240)
    text = shared.logs(f"job/{shared.run_status(name)['jobName']}", "--tail=-1")

    assert "child 10 15" in text, text
    assert mode_of(shared, name) == mode
