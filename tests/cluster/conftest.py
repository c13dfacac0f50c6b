"""A fresh namespace for each test, Pod Security ``restricted`` enforced, removed afterwards."""

import os
from collections.abc import Iterator

import pytest

import invariants
from kube import Kube, proxy
from kwok.agent import AgentProcess
from kwok.site import Site, start_kwok
from namespaces import make_namespace, remove_namespace
from release import Release


@pytest.fixture(scope="session")
def api() -> Iterator[Kube]:
    """The cluster that KUBECONFIG names."""
    assert os.environ.get("KUBECONFIG"), "set KUBECONFIG, or run make test"
    with proxy() as url:
        yield Kube(url, "default")


@pytest.fixture(scope="module")
def shared(api: Kube, request: pytest.FixtureRequest) -> Iterator[Kube]:
    """One namespace for a module's tests."""
    kube = make_namespace(
        api, request.module.__name__.rpartition("test_")[2][:12].replace("_", "-")
    )
    yield kube
    remove_namespace(kube)


@pytest.fixture(autouse=True)
def held(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test in a namespace that outlives it and has an agent: all invariants hold."""
    names = [name for name in ("shared", "installed") if name in request.fixturenames]
    kubes = [request.getfixturevalue(name) for name in names]
    yield
    for kube in (kube for kube in kubes[:1] if isinstance(kube, Kube)):
        if kube.list("deployments", "app.kubernetes.io/component=agent"):
            invariants.check(kube)


@pytest.fixture
def kube(api: Kube) -> Iterator[Kube]:
    """A namespace for one test, whose runs must all have ended well-explained."""
    kube = make_namespace(api, "one")
    yield kube
    try:
        invariants.check(kube)
    finally:
        remove_namespace(kube)


@pytest.fixture
def release(kube: Kube) -> Release:
    """A release that the test installs as it needs it."""
    return Release(kube)


@pytest.fixture(scope="module")
def agent(here: Site) -> Iterator[AgentProcess]:
    """The agent of a module's own ``here``, as a process beside the cluster."""
    with here.agent() as found:
        yield found


@pytest.fixture(scope="module")
def fake_nodes() -> None:
    """Fake nodes are there."""
    if not start_kwok():
        pytest.skip("the cluster has no fake nodes, see tests/kwok")
