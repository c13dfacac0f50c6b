"""The contract with Python: what the chart writes is what the agent reads, and what it makes of it is valid."""

from importlib import import_module
from typing import Any

import kubernetes_validate
import pytest
from kubernetes_validate.utils import latest_version

from chart.pods import container_of
from chart.render import ci_values, render, values
from dask_flows import manifests
from dask_flows.cli import build_parser
from dask_flows.config import AgentConfig
from dask_flows.flowrun import FlowRun
from dask_flows.plan import make_plan

EVERY = {**ci_values(), "local": values(mode="local")}
RUN = {
    "metadata": {"name": "first", "namespace": "ns", "uid": "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d"},
    "spec": {
        "flow": "flow.py:main",
        "source": {"files": [{"path": "flow.py", "content": "def main(): ..."}]},
        "resources": {"limits": {"cpu": "2", "memory": "1Gi"}},
        "env": [{"name": "OMP_NUM_THREADS", "value": "4"}],
        "interruptible": True,
    },
}


def modes(config: AgentConfig) -> list[str]:
    """Return the modes a run may have in this release."""
    others = [] if config.templates.scheduler is None else ["ephemeral"]
    return sorted({config.mode, "local", *others})


def objects_of(config: AgentConfig, mode: str) -> list[dict[str, Any]]:
    """Return what the agent makes of one FlowRun."""
    run = FlowRun.parse(RUN)
    plan = make_plan(config, run, mode, 1)
    job = manifests.job(plan, run, "s")
    made = {**job, "metadata": {**job["metadata"], "uid": "made"}}
    shared = [job, manifests.secret(plan, run, made, "t")]
    if mode != "ephemeral":
        return shared
    plan = plan.at("10.96.0.9")
    cluster = [
        manifests.config_map(plan, run),
        manifests.scheduler_service(plan),
        manifests.network_policy(plan),
        manifests.scheduler_pod(plan),
        manifests.worker_pod(plan, 0),
    ]
    return shared + cluster


@pytest.mark.parametrize("name", EVERY)
def test_the_agent_reads_every_field_and_knows_them_all(name: str) -> None:
    """An unknown field is an error, so the two cannot drift apart."""
    rendered = render(EVERY[name])
    config = AgentConfig.parse(rendered.config)

    assert config.mode == EVERY[name]["mode"]
    assert config.channel.url == f"http://{config.release.fullname}-agent.ns.svc:8700"
    assert config.pause_lease == f"{config.release.fullname}-pause"


@pytest.mark.parametrize("name", EVERY)
def test_what_the_agent_makes_of_the_templates_is_valid(name: str) -> None:
    """Strictly, in every mode that the release offers."""
    config = AgentConfig.parse(render(EVERY[name]).config)

    for mode in modes(config):
        for obj in objects_of(config, mode):
            kubernetes_validate.validate(obj, latest_version(), strict=True)


@pytest.mark.parametrize("name", EVERY)
def test_nothing_is_named_twice_after_patching(name: str) -> None:
    """Volumes and variables that the agent adds meet none of the chart's or the user's."""
    config = AgentConfig.parse(render(EVERY[name]).config)
    specs = [
        obj["spec"]["template"]["spec"] if obj["kind"] == "Job" else obj["spec"]
        for mode in modes(config)
        for obj in objects_of(config, mode)
        if obj["kind"] in ("Job", "Pod")
    ]

    for spec in specs:
        volumes = [volume["name"] for volume in spec["volumes"]]
        assert len(volumes) == len(set(volumes))
        for container in spec["containers"]:
            for field, key in (("env", "name"), ("volumeMounts", "mountPath")):
                keys = [entry[key] for entry in container[field]]
                assert len(keys) == len(set(keys)), field


def test_pods_of_a_run_are_never_taken_for_the_shared_cluster() -> None:
    """Its Service and its Deployments select by the cluster's name."""
    rendered = render(values(agent={"allowModeOverride": True}))
    config = AgentConfig.parse(rendered.config)
    selector = rendered.one("Service", "-scheduler")["spec"]["selector"]

    for obj in objects_of(config, "ephemeral"):
        assert not selector.items() <= obj["metadata"]["labels"].items()


def test_clusters_of_their_own_are_closed_unless_the_values_say_otherwise() -> None:
    """On by default, off if asked for; peers arrive as they were written, in profiles, too."""
    peer = {
        "namespaceSelector": {"matchLabels": {"team": "7", "kubernetes.io/metadata.name": "on"}}
    }

    def policies(**given: Any) -> list[Any]:
        rendered = render(values(ephemeral={"networkPolicy": given}, profiles={"own": {}}))
        config = AgentConfig.parse(rendered.config)
        return [config.profile(name).ephemeral.network_policy for name in (None, "own")]

    assert policies() == [[], []]
    assert policies(enabled=False, dashboardFrom=[peer]) == [None, None]
    assert policies(dashboardFrom=[peer]) == [[peer], [peer]]


def test_numbers_stay_numbers() -> None:
    """Templates hold them as floating point; a large one must not arrive as text or 1e+06."""
    runs = {
        "startDeadlineSeconds": 1000000,
        "deadlineSeconds": 31536000,
        "ttlSecondsAfterFinished": None,
    }
    config = AgentConfig.parse(render(values(runs=runs)).config)

    assert (config.runs.start_deadline, config.runs.deadline, config.runs.ttl) == (
        1000000,
        31536000,
        None,
    )


def test_text_that_looks_like_a_number_stays_text() -> None:
    """Releases, namespaces and labels may be called 7."""
    config = render(
        values(commonLabels={"a": "7"}, fullnameOverride="f"), release="7", namespace="8"
    ).config

    assert (config["release"]["name"], config["release"]["namespace"]) == ("7", "8")
    assert config["labels"] == {**config["labels"], "a": "7", "app.kubernetes.io/instance": "7"}


@pytest.mark.parametrize(
    "pod", ["Deployment/{}-agent", "Job/{}-drain", "Job/{}-retire", "Pod/{}-test"]
)
def test_the_programs_arguments_exist(pod: str) -> None:
    """What the chart calls is a command of the package, with these flags."""
    container = container_of(render(values()), pod.format("r-dask-flows"))

    assert container["command"] == ["tini", "-g", "--", "dask-flows"]
    assert build_parser().parse_args(container["args"]).handler


def test_the_flow_of_helm_test_is_in_the_package() -> None:
    """``helm test`` and the notes run it; nothing has to be brought along."""
    flow = container_of(render(values()), "Pod/r-dask-flows-test")["args"][-1]
    module, _, name = flow.partition(":")

    assert callable(getattr(import_module(module), name))
