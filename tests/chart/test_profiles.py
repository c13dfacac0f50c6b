"""Rules of profiles and limits: a profile is the release's values with its own laid over them."""

from typing import Any

import pytest

from chart.pods import container_of, env, flag
from chart.render import Rendered, RenderError, ci_values, render, values
from dask_flows.config import AgentConfig

EVERY = {**ci_values(), "local": values(mode="local")}
ROLES = ("runner", "scheduler", "worker")


def offered(**profile: Any) -> Rendered:
    """Return a release whose runs may have clusters of their own, with one profile."""
    return render(values(mode="ephemeral", profiles={"own": profile}))


def pod(rendered: Rendered, role: str) -> dict[str, Any]:
    """Return a pod spec of the profile."""
    spec: dict[str, Any] = rendered.config["profiles"]["own"]["templates"][role]["spec"]
    return spec


@pytest.mark.parametrize("name", EVERY)
def test_an_empty_profile_is_the_release(name: str) -> None:
    """The same pods, bounds and defaults, in every mode; only no limit of its own."""
    config = render({**EVERY[name], "profiles": {"own": {}}}).config

    assert config["profiles"] == {
        "own": {
            "maxConcurrentRuns": None,
            **{key: config[key] for key in ("runs", "ephemeral", "templates")},
        }
    }


def test_a_release_without_profiles_has_none() -> None:
    """A profile called default is nothing special: who names none gets the release's values."""
    assert render(values()).config["profiles"] == {}
    config = render(values(profiles={"default": {"runs": {"startDeadlineSeconds": 7}}})).config
    assert config["runs"]["startDeadlineSeconds"] == 600


@pytest.mark.parametrize(
    ("role", "path"),
    [("runner", ("runner",)), ("scheduler", ("dask", "scheduler")), ("worker", ("dask", "worker"))],
)
def test_a_profile_renders_as_if_its_values_were_the_releases(
    role: str, path: tuple[str, ...]
) -> None:
    """One pod builder: what can be set for a role can be set in a profile, with the same result."""
    settings: dict[str, Any] = {
        "resources": {"requests": {"cpu": "3"}, "limits": {"cpu": "4", "memory": "5Gi"}},
        "terminationGracePeriodSeconds": 0,
        "tmpSizeLimit": "7Gi",
        "env": [{"name": "HOME", "value": "/x"}, {"name": "NEW", "value": "1"}],
        "envFrom": [{"secretRef": {"name": "s"}}],
        "volumes": [{"name": "data", "emptyDir": {}}],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        "podLabels": {"team": "a"},
        "podAnnotations": {"note": "b"},
        "nodeSelector": {"disk": "fast"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
        "priorityClassName": "high",
        "runtimeClassName": "gvisor",
    }  # fmt: skip
    if role == "worker":
        settings |= {"threads": 3, "memoryLimit": "1GiB", "nanny": True, "dashboard": True, "deathTimeoutSeconds": 9}  # fmt: skip
    if role != "runner":
        settings |= {"extraArgs": ["--idle-timeout", "1h"]}
    of_release: Any = settings
    for key in reversed(path):
        of_release = {key: of_release}

    profile = offered(**{role: settings}).config["profiles"]["own"]

    assert (
        profile["templates"] == render(values(mode="ephemeral", **of_release)).config["templates"]
    )
    others = set(ROLES) - {role}
    defaults = render(values(mode="ephemeral")).config["templates"]
    assert {r: profile["templates"][r] for r in others} == {r: defaults[r] for r in others}


def test_false_zero_and_empty_count() -> None:
    """Over values of the release that are not: a profile may take a nanny away again."""
    base = {"worker": {"nanny": True, "terminationGracePeriodSeconds": 60}}
    profile = {"worker": {"nanny": False, "terminationGracePeriodSeconds": 0}}
    rendered = render(
        values(mode="ephemeral", dask=base, runner={"priorityClassName": "high"},
               profiles={"own": {**profile, "runner": {"priorityClassName": ""}}})
    )  # fmt: skip

    assert "--no-nanny" in pod(rendered, "worker")["containers"][0]["args"]
    assert pod(rendered, "worker")["terminationGracePeriodSeconds"] == 0
    assert "priorityClassName" not in pod(rendered, "runner")


def test_mappings_and_named_lists_are_merged() -> None:
    """The release's entries stay beside the profile's; null takes one away."""
    rendered = render(
        values(
            mode="ephemeral",
            runner={"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "1"}],
                    "nodeSelector": {"a": "1", "b": "1"}, "tolerations": [{"key": "old"}]},
            profiles={"own": {
                "runner": {"env": [{"name": "B", "value": "2"}], "nodeSelector": {"b": "2"},
                           "tolerations": [{"key": "new"}]},
                "worker": {"resources": {"limits": {"cpu": None}}},
            }},
        )
    )  # fmt: skip
    runner = pod(rendered, "runner")
    known = env(runner["containers"][0])
    worker = container_of(rendered, "config.yaml/profiles/own/worker")

    assert (known["A"], known["B"]) == ("1", "2")
    assert runner["nodeSelector"] == {"a": "1", "b": "2"}
    assert runner["tolerations"] == [{"key": "new"}]
    assert worker["resources"]["limits"] == {"memory": "1Gi"}
    assert flag(worker, "--nthreads") == "1"
    of_release = container_of(rendered, "config.yaml/worker")
    assert of_release["resources"]["limits"] == {"cpu": "1", "memory": "1Gi"}


def test_a_profile_may_have_its_own_image_and_accounts() -> None:
    """The release's digest would decide against another tag; each role has an account of its own."""
    accounts = {role: {"serviceAccountName": f"{role}-account"} for role in ROLES}
    digest = f"sha256:{'0' * 64}"
    rendered = render(
        values(mode="ephemeral", image={"digest": digest, "pullSecrets": [{"name": "s"}]},
               profiles={"own": {"image": {"tag": "gpu"}, **accounts}})
    )  # fmt: skip

    for role in ROLES:
        spec = pod(rendered, role)
        assert spec["containers"][0]["image"] == "dask-flows:gpu"
        assert spec["imagePullSecrets"] == [{"name": "s"}]
        assert spec["serviceAccountName"] == f"{role}-account"
        assert spec["automountServiceAccountToken"] is False
    assert container_of(rendered, "config.yaml/worker")["image"] == f"dask-flows@{digest}"


def test_bounds_and_defaults_of_a_profile() -> None:
    """What it leaves out is the release's; numbers stay numbers and null is no limit."""
    rendered = offered(
        maxConcurrentRuns=1000000,
        workers={"minimum": 2, "maximum": 2000000},
        runs={"deadlineSeconds": None, "startDeadlineSeconds": 31536000, "strictEnvironment": True},
    )
    profile = AgentConfig.parse(rendered.config).profile("own")

    assert profile.most_runs == 1000000
    assert (profile.ephemeral.minimum, profile.ephemeral.maximum) == (2, 2000000)
    assert (profile.runs.deadline, profile.runs.start_deadline) == (None, 31536000)
    assert (profile.runs.strict_environment, profile.runs.ttl) == (True, 86400)


def test_the_workers_time_limit_of_a_profile_reaches_its_scheduler() -> None:
    """Everything that follows from a value follows from the profile's."""
    container = pod(offered(runs={"workersTimeoutSeconds": 42}), "scheduler")["containers"][0]

    assert env(container)["DASK_DISTRIBUTED__SCHEDULER__NO_WORKERS_TIMEOUT"] == "42s"


@pytest.mark.parametrize(
    ("profiles", "complaint"),
    [
        ({"own": {"worker": {"replicas": 2}}}, "replicas"),
        ({"own": {"surprise": 1}}, "surprise"),
        ({"own": {"worker": {"serviceAccount": {"create": True}}}}, "serviceAccount"),
        ({"own": {"maxConcurrentRuns": -1}}, "maxConcurrentRuns"),
        ({"Own": {}}, "Own"),
        ({"own": {"scheduler": {"extraArgs": ["--jupyter"]}}}, "extraArgs"),
        ({"own": {"workers": {"minimum": 9}}}, "profiles.own.workers"),
        ({"own": {"worker": {"env": [{"name": "DASK_FLOWS_X"}]}}}, "profiles.own.worker.env"),
        ({"own": {"runner": {"volumes": [{"name": "token"}]}}}, "profiles.own.runner.volumes"),
    ],
)
def test_a_mistake_in_a_profile_is_refused_with_its_place(
    profiles: dict[str, Any], complaint: str
) -> None:
    """As strictly as the same mistake in the release's values."""
    with pytest.raises(RenderError, match=complaint):
        render(values(mode="ephemeral", profiles=profiles))


@pytest.mark.parametrize("most", [None, 0, 1000000])
def test_limits_reach_the_agent(most: int | None) -> None:
    """0 is a limit, and null is none."""
    given = values(
        agent={"maxConcurrentRuns": most, "rateLimit": {"createsPerSecond": 7, "burst": 9}},
        static={"maxConcurrentRuns": most},
    )
    config = AgentConfig.parse(render(given).config)

    assert config.limits.most_runs == most
    assert config.static is not None
    assert config.static.most_runs == most
    assert (config.limits.creates_per_second, config.limits.burst) == (7, 9)
