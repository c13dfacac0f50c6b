"""Rules of the modes: one scheduler, one worker and one runner template, whatever the mode."""

from typing import Any

import pytest

from chart.pods import container_of, env, flag
from chart.render import InProcess, Rendered, ci_values, render, values

FULL = ci_values()["maximal"]
STATIC = {("Deployment", "r-dask-flows-scheduler"), ("Deployment", "r-dask-flows-worker"),
          ("Service", "r-dask-flows-scheduler")}  # fmt: skip


def both(role: str, given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the same pod as a Deployment has it and as the agent gets it."""
    static = render({**given, "mode": "static"}).one("Deployment", f"-{role}")["spec"]["template"]
    return static, render({**given, "mode": "ephemeral"}).config["templates"][role]


@pytest.mark.parametrize("given", [values(), FULL], ids=["defaults", "maximal"])
@pytest.mark.parametrize("role", ["scheduler", "worker"])
def test_both_modes_have_the_same_pods(role: str, given: dict[str, Any]) -> None:
    """They differ by restart policy, the shared cluster's label and where the scheduler is."""
    static, ephemeral = both(role, given)

    assert static["spec"].pop("restartPolicy") == "Always"
    expected = {"scheduler": "Never", "worker": "OnFailure"}[role]
    assert ephemeral["spec"].pop("restartPolicy") == expected
    assert static["metadata"]["labels"].pop("dask-flows.dev/cluster")
    entries = static["spec"]["containers"][0]["env"]
    address = [entry for entry in entries if entry["name"] == "DASK_SCHEDULER_ADDRESS"]
    assert len(address) == (role == "worker")
    static["spec"]["containers"][0]["env"] = [e for e in entries if e not in address]
    assert static == ephemeral


def test_mode_static_makes_a_shared_cluster_and_no_templates() -> None:
    """A run of this mode needs a runner only."""
    rendered = render(values(mode="static"))

    assert rendered.kinds() >= STATIC
    assert rendered.config["static"]["address"] == "tcp://r-dask-flows-scheduler.ns.svc:8786"
    assert (
        rendered.config["static"]["dashboardAddress"] == "http://r-dask-flows-scheduler.ns.svc:8787"
    )
    assert set(rendered.config["templates"]) == {"runner"}


@pytest.mark.parametrize("mode", ["ephemeral", "local"])
def test_other_modes_make_no_shared_cluster(mode: str) -> None:
    """Nothing idle is left running."""
    rendered = render(values(mode=mode))

    assert not rendered.kinds() & STATIC
    assert rendered.config["static"] is None


@pytest.mark.parametrize("mode", ["static", "local"])
def test_templates_are_there_if_a_run_may_choose(mode: str) -> None:
    """``agent.allowModeOverride`` makes the ephemeral mode available beside the release's."""
    rendered = render(values(mode=mode, agent={"allowModeOverride": True}))

    assert set(rendered.config["templates"]) == {"runner", "scheduler", "worker"}
    assert rendered.config["allowModeOverride"] is True


def test_an_outside_scheduler_is_used_as_it_is() -> None:
    """The chart makes no scheduler, no workers and no Service of its own."""
    rendered = render(values(static={"address": "tcp://dask.example.com:8786"}))

    assert not rendered.kinds() & STATIC
    assert rendered.config["static"] == {
        "address": "tcp://dask.example.com:8786", "dashboardAddress": "", "minimum": 1, "podHash": "",
        "maxConcurrentRuns": None,
    }  # fmt: skip


def test_number_of_workers_is_a_fact_or_left_alone() -> None:
    """0 is a number; null leaves the field to a HorizontalPodAutoscaler."""

    def replicas(value: int | None) -> Any:
        rendered = render(values(static={"workers": {"replicas": value, "minimum": 0}}))
        return rendered.one("Deployment", "-worker")["spec"].get("replicas")

    assert [replicas(n) for n in (3, 0, None)] == [3, 0, None]


def test_only_the_workers_and_the_scheduler_state_how_many_they_are() -> None:
    """The agent can be scaled to zero without the next upgrade meeting a conflict."""
    rendered = render(values())

    assert rendered.one("Deployment", "-scheduler")["spec"]["replicas"] == 1
    assert "replicas" not in rendered.one("Deployment", "-agent")["spec"]


def test_the_scheduler_serves_the_api_and_no_proxy() -> None:
    """Workers are retired by name over HTTP; the proxy would reach any host."""
    container = container_of(render(values()), "Deployment/r-dask-flows-scheduler")
    routes = env(container)["DASK_DISTRIBUTED__SCHEDULER__HTTP__ROUTES"]

    assert "distributed.http.scheduler.api" in routes
    assert "distributed.http.proxy" not in routes


@pytest.mark.parametrize("mode", ["static", "ephemeral"])
def test_the_scheduler_gives_signs_of_life(mode: str) -> None:
    """On a port that a NetworkPolicy can name; a run that waits for workers ends in the time of the values."""
    rendered = render(values(mode=mode, runs={"workersTimeoutSeconds": 42}))
    where = {"static": "Deployment/r-dask-flows-scheduler", "ephemeral": "config.yaml/scheduler"}
    container = container_of(rendered, where[mode])
    ports = {p["name"]: p["containerPort"] for p in container["ports"]}

    assert flag(container, "--preload") == "dask_flows.clusters.scheduler_preload"
    assert ports == {"tcp-comm": 8786, "http-dashboard": 8787, "tcp-pulse": 8791}
    assert env(container)["DASK_DASK_FLOWS__PULSE_PORT"] == "8791"
    assert env(container)["DASK_DISTRIBUTED__SCHEDULER__NO_WORKERS_TIMEOUT"] == "42s"


@pytest.mark.parametrize(
    ("nanny", "flags", "ports"),
    [
        (False, ["--no-nanny"], {"tcp-comm": 8788, "http-dashboard": 8790}),
        (True, ["--nanny", "--nanny-port"], {"tcp-comm": 8788, "tcp-nanny": 8789, "http-dashboard": 8790}),
    ],
)  # fmt: skip
def test_workers_listen_on_known_ports(
    nanny: bool, flags: list[str], ports: dict[str, int]
) -> None:
    """So that a NetworkPolicy can name them; a nanny has one more."""
    rendered = render(values(mode="ephemeral", dask={"worker": {"nanny": nanny}}))
    container = container_of(rendered, "config.yaml/worker")

    assert [f for f in flags if f not in container["args"]] == []
    assert {p["name"]: p["containerPort"] for p in container["ports"]} == ports
    assert flag(container, "--worker-port") == "8788"


def test_workers_retire_on_sigterm_and_use_one_thread_each_library() -> None:
    """What the nanny and Dask itself do not do without help."""
    container = container_of(render(values(mode="ephemeral")), "config.yaml/worker")

    assert flag(container, "--preload") == "dask_flows.clusters.worker_preload"
    assert flag(container, "--name") == "$(DASK_WORKER_NAME)"
    assert {env(container)[f"{n}_NUM_THREADS"] for n in ("OMP", "MKL", "OPENBLAS")} == {"1"}


@pytest.mark.parametrize(("pod", "preload"), [(60, "50"), (11, "1"), (0, "1")])
def test_a_worker_that_leaves_is_done_before_it_is_killed(pod: int, preload: str) -> None:
    """The preload gets the pod's grace period less what the interpreter needs to end."""
    given = {"worker": {"terminationGracePeriodSeconds": pod}}
    container = container_of(render(values(mode="ephemeral", dask=given)), "config.yaml/worker")

    assert env(container)["DASK_DASK_FLOWS__WORKER_GRACE"] == preload


def test_extra_arguments_come_last() -> None:
    """Dask takes the last of two equal flags, so they win."""
    given = {"scheduler": {"extraArgs": ["--a"]}, "worker": {"extraArgs": ["--b", "c"]}}
    rendered = render(values(mode="ephemeral", dask=given))

    assert container_of(rendered, "config.yaml/scheduler")["args"][-1:] == ["--a"]
    assert container_of(rendered, "config.yaml/worker")["args"][-2:] == ["--b", "c"]


@pytest.mark.parametrize("mode", ["static", "ephemeral", "local"])
@pytest.mark.parametrize("upgrade", [False, True], ids=["install", "upgrade"])
def test_notes_say_where_one_stands_and_what_is_next(mode: str, upgrade: bool) -> None:
    """Mode, what was made, three commands, how to change, and what to do about the image."""
    notes = render(values(mode=mode), upgrade=upgrade, engine=InProcess()).notes

    wanted = [
        "is upgraded" if upgrade else "is installed", f"mode {mode}", "deployment/r-dask-flows-agent",
        "kubectl create -n ns -f -", "kubectl get flowruns -n ns", "kubectl logs -n ns -l dask-flows.dev/run=",
        "--reset-then-reuse-values", "dask-flows:0.1.0", "images/build.sh", "image.pullSecrets",
    ]  # fmt: skip
    assert [part for part in wanted if part not in notes] == []
    assert ("deployment/r-dask-flows-scheduler" in notes) == (mode == "static")


def test_notes_warn_of_an_upgrade_that_does_not_wait() -> None:
    """``upgrade.force`` left on ends runs at some later upgrade."""
    notes = render(values(upgrade={"force": True}), engine=InProcess()).notes

    assert "Beware: upgrade.force" in notes


def rendered_images(rendered: Rendered) -> set[str]:
    """Return the images of Deployments and templates."""
    pods = [obj["spec"]["template"] for obj in rendered.objects if obj["kind"] == "Deployment"]
    pods += rendered.config["templates"].values()
    return {container["image"] for pod in pods for container in pod["spec"]["containers"]}


DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("given", "image"),
    [
        ({}, "dask-flows:0.1.0"),
        ({"image": {"tag": "dev"}}, "dask-flows:dev"),
        ({"image": {"registry": "example.com:5000"}}, "example.com:5000/dask-flows:0.1.0"),
        ({"image": {"registry": "a.example"}, "global": {"imageRegistry": "b.example"}}, "b.example/dask-flows:0.1.0"),
        ({"image": {"digest": DIGEST}}, f"dask-flows@{DIGEST}"),
        ({"image": {"tag": "v1", "digest": DIGEST}}, f"dask-flows:v1@{DIGEST}"),
    ],
)  # fmt: skip
def test_one_image_for_all_pods(given: dict[str, Any], image: str) -> None:
    """A digest decides; the tag beside it is for the reader; a global registry replaces ours."""
    assert rendered_images(render(values(given))) == {image}
