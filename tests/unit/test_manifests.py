"""Rules of an attempt's objects: owned, labelled, pinned, and only patched from the chart's templates."""

import json
import subprocess
import sys
from typing import Any

import pytest

from dask_flows import manifests, names
from dask_flows.errors import UsageError
from dask_flows.patching import find_container
from dask_flows.plan import Plan, ignored_settings, make_plan
from samples import UID, agent_config, config_data, flow_run


def plan_for(mode: str = "ephemeral", **spec: Any) -> tuple[Plan, Any]:
    """Return a plan with an address, and its run."""
    run = flow_run(**spec)
    plan = make_plan(agent_config(mode), run, mode, 1)
    return (plan.at("10.96.0.9") if mode == "ephemeral" else plan), run


def all_objects(**spec: Any) -> list[dict[str, Any]]:
    """Return every object of an ephemeral attempt."""
    plan, run = plan_for(**spec)
    job, secret = job_and_secret(plan, run)
    return [
        manifests.scheduler_service(plan),
        manifests.network_policy(plan),
        manifests.scheduler_pod(plan),
        manifests.worker_pod(plan, 0),
        manifests.config_map(plan, run),
        job,
        secret,
    ]


def job_and_secret(plan: Plan, run: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the Job as the API server has it, and its Secret."""
    job = manifests.job(plan, run, "0123456789abcdef")
    job["metadata"]["uid"] = "of-the-job"
    return job, manifests.secret(plan, run, job, "t")


def inputs(plan: Plan, run: Any) -> dict[str, Any]:
    """Return what the runner reads of its attempt."""
    found: dict[str, Any] = json.loads(job_and_secret(plan, run)[1]["stringData"]["attempt.json"])
    return found


def test_every_object_is_owned_by_the_run_and_carries_its_labels() -> None:
    """Deleting the FlowRun removes it, the Secret with its Job; the sweep finds it."""
    for obj in all_objects():
        meta = obj["metadata"]
        owner = "of-the-job" if obj["kind"] == "Secret" else UID

        assert [o["uid"] for o in meta["ownerReferences"]] == [owner]
        assert meta["labels"][names.LABEL_RUN] == "diamond"
        assert meta["labels"][names.LABEL_RUN_UID] == UID
        assert meta["labels"][names.LABEL_INSTANCE] == "r"


def test_a_plan_survives_the_way_through_its_config_map() -> None:
    """A restarted agent goes on with the same settings."""
    plan, run = plan_for()
    stored = manifests.config_map(plan, run)["data"][manifests.PINNED_FILE]

    assert Plan.from_json(stored) == plan


def test_the_job_starts_one_pod_once() -> None:
    """Retries are new attempts, never new pods of the same Job."""
    plan, run = plan_for()
    spec = manifests.job(plan, run, "sha")["spec"]

    assert (spec["parallelism"], spec["completions"], spec["backoffLimit"]) == (1, 1, 0)
    assert spec["podReplacementPolicy"] == "Failed"
    assert "ttlSecondsAfterFinished" not in spec


def test_the_runner_hears_its_mode_as_a_flag_and_parameters_as_a_file() -> None:
    """Parameters never go into arguments or the environment."""
    plan, run = plan_for(parameters={"secret": "s3cr3t"})
    template = manifests.job(plan, run, "sha")["spec"]["template"]

    assert find_container(template["spec"], "runner")["args"][:3] == ["run", "--mode", "ephemeral"]
    assert "s3cr3t" not in json.dumps(template)


def test_the_runner_knows_which_attempt_it_is() -> None:
    """A flow makes keys of it, so that a second attempt finds what the first has written."""
    run = flow_run()
    job = manifests.job(make_plan(agent_config("static"), run, "static", 3), run, "sha")
    env = {e["name"]: e["value"] for e in find_container(job["spec"]["template"]["spec"], "runner")["env"]}  # fmt: skip

    assert env["DASK_FLOWS_RUN"] == "diamond"
    assert env["DASK_FLOWS_RUN_UID"] == UID
    assert env["DASK_FLOWS_ATTEMPT"] == "3"


def test_only_the_runner_sees_its_inputs_and_not_the_plan() -> None:
    """The pinned plan is the agent's own business."""
    plan, run = plan_for()
    job, secret = job_and_secret(plan, run)
    volumes = job["spec"]["template"]["spec"]["volumes"]
    (mounted,) = [v["secret"] for v in volumes if "secret" in v]

    assert mounted["secretName"] == secret["metadata"]["name"] == f"{plan.base}-01234567"
    assert [item["key"] for item in mounted["items"]] == [
        "attempt.json",
        "parameters.json",
        "token",
    ]
    assert set(secret["stringData"]) == {"attempt.json", "parameters.json", "token"}
    assert not [v for v in volumes if "configMap" in v]


def test_what_a_job_pins_fits_an_annotation() -> None:
    """Settings, and none of the pod templates: they are in the Job and in the cluster's ConfigMap."""
    plan, run = plan_for()
    job, _ = job_and_secret(plan, run)
    pinned = Plan.from_json(job["metadata"]["annotations"][names.ANNOTATION_PLAN])

    assert (pinned.address, pinned.deadline, pinned.uid) == (plan.address, plan.deadline, plan.uid)
    assert len(job["metadata"]["annotations"][names.ANNOTATION_PLAN]) < 2000
    assert names.ANNOTATION_PLAN not in job["spec"]["template"]["metadata"]["annotations"]


@pytest.mark.parametrize("mode", ["static", "ephemeral"])
def test_inline_files_keep_their_paths(mode: str) -> None:
    """Packages need their folders. A cluster of its own has them before the Job has its Secret."""
    plan, run = plan_for(mode, source={"files": [{"path": "pkg/a.py", "content": "x = 1"}]})
    job, secret = job_and_secret(plan, run)
    stored = (
        manifests.config_map(plan, run)["data"] if mode == "ephemeral" else secret["stringData"]
    )
    volumes = job["spec"]["template"]["spec"]["volumes"]
    source = next(v for v in volumes if v["name"] == "source")

    assert stored["source-0"] == "x = 1"
    mounted = source["configMap" if mode == "ephemeral" else "secret"]
    assert mounted["items"] == [{"key": "source-0", "path": "pkg/a.py"}]
    assert (mode == "ephemeral") == ("source-0" not in secret["stringData"])


ZIP = {"configMap": {"name": "mine", "key": "code.zip"}}
FILES = {"files": [{"path": "pkg/a.py", "content": "x = 1"}]}


@pytest.mark.parametrize(
    ("source", "volume", "imports"),
    [
        (FILES, [{"key": "source-0", "path": "pkg/a.py"}], "/etc/dask-flows/source"),
        (
            ZIP,
            [{"key": "code.zip", "path": "source.zip"}],
            "/etc/dask-flows/source/source.zip",
        ),
    ],
)
def test_a_run_s_own_cluster_imports_its_source_first(
    source: dict[str, Any], volume: list[dict[str, str]], imports: str
) -> None:
    """Scheduler and workers have it mounted as the runner has, for reading, and the runner is told so."""
    plan, run = plan_for(source=source)
    job = manifests.job(plan, run, "sha")["spec"]["template"]["spec"]
    of_runner = next(v for v in job["volumes"] if v["name"] == "source")
    for pod, role in (
        (manifests.scheduler_pod(plan), "scheduler"),
        (manifests.worker_pod(plan, 0), "worker"),
    ):
        container = find_container(pod["spec"], role)

        assert of_runner in pod["spec"]["volumes"]
        assert of_runner["configMap"]["items"] == volume
        mount = {"name": "source", "mountPath": "/etc/dask-flows/source", "readOnly": True}
        assert mount in container["volumeMounts"]
        assert container["args"][-2] == "--preload"
        assert first_import(container["args"][-1]) == imports
    assert inputs(plan, run)["mounted"] is True
    assert Plan.from_json(plan.to_json()) == plan


def first_import(preload: str) -> str:
    """Return where Python looks first after a preload, in a process of its own; its children, too."""
    program = f"{preload}\nprint(sys.path[0], os.environ['PYTHONPATH'].split(':')[0])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    own, of_children = done.stdout.split()
    assert own == of_children
    return own


@pytest.mark.parametrize(("mode", "spec"), [("static", {"source": FILES}), ("ephemeral", {})])
def test_no_source_is_mounted_where_there_is_none_or_the_cluster_is_shared(
    mode: str, spec: dict[str, Any]
) -> None:
    """A shared cluster gets modules by value, from the run that needs them."""
    plan, run = plan_for(mode, **spec)

    assert plan.source is None
    assert inputs(plan, run)["mounted"] is False


def test_a_plan_of_an_older_agent_is_read_without_a_source() -> None:
    """Its pods were made without one, so its modules go by value."""
    plan, _ = plan_for(source=FILES)
    older = {k: v for k, v in json.loads(plan.to_json()).items() if k != "source"}

    assert Plan.from_json(json.dumps(older)).source is None
    assert Plan.from_json(json.dumps({**older, "ttl": 60, "of_the_future": {}})).uid == plan.uid


def test_workers_get_the_address_by_ip_first_in_their_environment() -> None:
    """No DNS on the critical path; a run cannot point its workers elsewhere."""
    plan, _ = plan_for(env=[{"name": "DASK_SCHEDULER_ADDRESS", "value": "tcp://evil:1"}])
    env = find_container(manifests.worker_pod(plan, 3)["spec"], "worker")["env"]

    assert env[0] == {"name": "DASK_SCHEDULER_ADDRESS", "value": "tcp://10.96.0.9:8786"}
    assert [e["name"] for e in env].count("DASK_SCHEDULER_ADDRESS") == 1


def test_an_ipv6_address_is_put_in_brackets() -> None:
    """A URL needs them."""
    plan, _ = plan_for()

    assert plan.at("fd00::1").address == "tcp://[fd00::1]:8786"


def test_resources_of_a_run_resize_its_workers() -> None:
    """Threads and memory follow the run's own resources."""
    plan, _ = plan_for(workers={"resources": {"limits": {"cpu": "2500m", "memory": "4G"}}})
    args = find_container(manifests.worker_pod(plan, 0)["spec"], "worker")["args"]

    assert args == ["worker", "--nthreads", "3", "--memory-limit", "4000000000"]


def test_the_platform_s_labels_win() -> None:
    """A run must not pass for another one."""
    labels = {names.LABEL_RUN: "other", "team": "a", "app.kubernetes.io/instance": "x"}
    for obj in all_objects(labels=labels):
        assert obj["metadata"]["labels"][names.LABEL_RUN] == "diamond"
        assert obj["metadata"]["labels"]["app.kubernetes.io/instance"] == "r"
    plan, _ = plan_for(labels=labels)

    assert manifests.worker_pod(plan, 0)["metadata"]["labels"]["team"] == "a"


def test_interruptible_moves_only_the_workers() -> None:
    """Scheduler and runner stay where they cannot be taken away."""
    plan, run = plan_for(interruptible=True)

    assert manifests.worker_pod(plan, 0)["spec"]["nodeSelector"] == {"spot": "true"}
    assert "nodeSelector" not in manifests.scheduler_pod(plan)["spec"]
    assert "nodeSelector" not in manifests.job(plan, run, "")["spec"]["template"]["spec"]


@pytest.mark.parametrize(
    ("spec", "role", "image"),
    [
        ({}, "worker", "example.org/flows:1"),
        ({"image": "i"}, "worker", "i"),
        ({"image": "i", "workers": {"image": "w"}}, "worker", "w"),
        ({"image": "i", "workers": {"image": "w"}}, "scheduler", "i"),
        ({"scheduler": {"image": "s"}}, "scheduler", "s"),
        ({"scheduler": {"image": "s"}}, "worker", "example.org/flows:1"),
    ],
)
def test_the_nearest_image_wins(spec: dict[str, Any], role: str, image: str) -> None:
    """Role, then run, then release."""
    plan, _ = plan_for(**spec)
    pod = manifests.worker_pod(plan, 0) if role == "worker" else manifests.scheduler_pod(plan)

    assert find_container(pod["spec"], role)["image"] == image


def with_profile(**changes: Any) -> Any:
    """Return a configuration with the profile ``big``, which differs from the release by these."""
    data = config_data()
    same = {key: data[key] for key in ("runs", "ephemeral", "templates")}
    return agent_config(profiles={"big": {**same, **changes}})


def test_a_run_gets_its_profile_and_what_it_says_itself_wins() -> None:
    """Pods, bounds and deadlines of the profile; the FlowRun is laid over them."""
    data = config_data()
    templates = data["templates"]
    templates["worker"]["spec"]["priorityClassName"] = "high"
    runs = {**data["runs"], "deadlineSeconds": 70, "startDeadlineSeconds": 7}
    config = with_profile(templates=templates, runs=runs, ephemeral={"minimum": 3, "maximum": 9})

    plan = make_plan(config, flow_run(profile="big"), "ephemeral", 1)
    own = make_plan(config, flow_run(profile="big", deadlineSeconds=5, workers={"maximum": 4}), "ephemeral", 1)  # fmt: skip
    plain = make_plan(config, flow_run(), "ephemeral", 1)

    assert (plan.minimum, plan.maximum, plan.deadline, plan.start_deadline) == (3, 9, 70, 7)
    assert (own.minimum, own.maximum, own.deadline) == (3, 4, 5)
    assert (plain.minimum, plain.maximum, plain.deadline) == (1, 2, None)
    assert plan.worker is not None
    assert plan.worker["spec"]["priorityClassName"] == "high"
    assert plain.worker is not None
    assert "priorityClassName" not in plain.worker["spec"]
    assert ignored_settings(flow_run(profile="big"), "ephemeral") == []


@pytest.mark.parametrize(
    ("config", "says"),
    [(with_profile(), "use one of big, or none"), (agent_config(), "the release has none")],
)
def test_a_profile_that_does_not_exist_is_refused(config: Any, says: str) -> None:
    """The message names those that do; ``default`` is no name that always works."""
    with pytest.raises(UsageError, match=says) as caught:
        make_plan(config, flow_run(profile="default"), "ephemeral", 1)

    assert caught.value.reason == "InvalidSpec"


def test_a_run_whose_profile_has_gone_goes_on_with_the_releases_defaults() -> None:
    """An upgrade may take a profile away from a run in flight."""
    config = with_profile(runs={**config_data()["runs"], "ttlSecondsAfterFinished": 5})

    assert (config.runs_of("big").ttl, config.runs_of("gone").ttl, config.runs_of(None).ttl) == (
        5,
        86400,
        86400,
    )


def test_settings_without_effect_are_named() -> None:
    """A run is accepted in both modes; what does nothing is said."""
    run = flow_run(workers={"replicas": 3}, scheduler={"image": "s"})

    assert ignored_settings(run, "ephemeral") == []
    assert len(ignored_settings(run, "static")) == 2


def test_a_mode_that_the_release_does_not_have_is_refused() -> None:
    """The message says how to allow it."""
    with pytest.raises(UsageError, match="allowModeOverride"):
        make_plan(agent_config("static"), flow_run(), "ephemeral", 1)
