"""Rules of patching: a copy that shares what it leaves alone, and never changes the chart's templates."""

from copy import deepcopy
from typing import Any, NoReturn

from hypothesis import given, settings
from hypothesis import strategies as st

from dask_flows import manifests
from dask_flows.patching import Patch, copy_spec, find_container, patch_template
from dask_flows.plan import make_plan
from samples import agent_config, flow_run, pod_template

QUICK = settings(derandomize=True, max_examples=50, deadline=None, database=None)
WORD = st.text("abc", min_size=1, max_size=2)
WORDS = st.dictionaries(WORD, WORD, max_size=2)
NAMED = st.lists(st.fixed_dictionaries({"name": WORD, "value": WORD}), max_size=3)
RESOURCES = st.sampled_from([{}, {"limits": {"cpu": "2", "memory": "2Gi"}}])
ROLES = st.sampled_from(["runner", "scheduler", "worker"])

TEMPLATES = st.builds(
    lambda meta, extra, env, resources: {
        **meta,
        "spec": {
            **extra,
            "containers": [
                {"name": name, "args": ["--nthreads", "1"], "env": env, "resources": resources}
                for name in ("beside", "runner", "scheduler", "worker")
            ],
        },
    },
    st.sampled_from([{}, {"metadata": None}])
    | st.builds(lambda a, b: {"metadata": {"labels": a, "annotations": b}}, WORDS, WORDS),
    st.fixed_dictionaries(
        {},
        optional={
            "imagePullSecrets": st.lists(st.fixed_dictionaries({"name": WORD}), max_size=2),
            "nodeSelector": WORDS,
            "tolerations": st.lists(WORDS, max_size=2),
        },
    ),
    NAMED,
    RESOURCES,
)
PATCHES = st.builds(
    Patch,
    image=st.none() | WORD,
    resources=st.none() | RESOURCES,
    env=NAMED,
    labels=WORDS,
    annotations=WORDS,
    pull_secrets=st.lists(st.fixed_dictionaries({"name": WORD}), max_size=2),
    threads=st.none() | st.integers(1, 4),
    node_selector=WORDS,
    tolerations=st.lists(WORDS, max_size=2),
)


class Sealed:
    """What a list or a dictionary of a template becomes, to see that nobody changes it."""

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise AssertionError("a template was changed in place")

    __setitem__ = __delitem__ = __ior__ = __iadd__ = append = extend = insert = _refuse
    pop = popitem = remove = clear = update = setdefault = sort = reverse = _refuse


class SealedDict(Sealed, dict[str, Any]):
    """A dictionary that cannot be changed."""


class SealedList(Sealed, list[Any]):
    """A list that cannot be changed."""


def sealed(value: Any) -> Any:
    """Return a copy that fails whoever changes it, at any depth."""
    if isinstance(value, dict):
        return SealedDict({key: sealed(one) for key, one in value.items()})
    return SealedList(sealed(one) for one in value) if isinstance(value, list) else value


@QUICK
@given(TEMPLATES, ROLES, PATCHES)
def test_a_patch_never_changes_the_template(template: Any, role: str, patch: Patch) -> None:
    """Neither where it is patched, nor where the copy shares with it."""
    patched = patch_template(sealed(template), role, patch)

    assert patched == patch_template(deepcopy(template), role, patch)
    assert find_container(patched["spec"], role)["name"] == role


@QUICK
@given(TEMPLATES, ROLES, PATCHES)
def test_a_patch_leaves_other_containers_alone(template: Any, role: str, patch: Patch) -> None:
    """A sidecar of the platform's stays as the chart made it."""
    patched = patch_template(template, role, patch)
    others = [c for c in patched["spec"]["containers"] if c["name"] != role]

    assert others == [c for c in template["spec"]["containers"] if c["name"] != role]


def test_no_object_of_an_attempt_changes_the_release_s_templates() -> None:
    """They are read once, and serve thousands of runs."""
    config = agent_config(
        templates={
            role: sealed(pod_template(role, "--nthreads", "1", "--memory-limit", "1"))
            for role in ("runner", "scheduler", "worker")
        }
    )
    files = {"files": [{"path": "a.py", "content": ""}]}
    run = flow_run(source=files, env=[{"name": "A", "value": "b"}], resources={"limits": {}})
    plan = make_plan(config, run, "ephemeral", 1).at("10.96.0.9")

    before = plan.to_json()
    manifests.scheduler_pod(plan)
    manifests.worker_pod(plan, 0)
    manifests.job(plan, run, "sha")

    assert plan.to_json() == before  # a plan serves all workers of an attempt


def test_a_copied_spec_is_open_down_to_its_containers() -> None:
    """Fields may be set there; what is below is the original's."""
    spec = pod_template("runner")["spec"]
    before = deepcopy(spec)
    copied = copy_spec(spec)
    copied["containers"][0]["image"] = copied["restartPolicy"] = "other"

    assert spec == before
    assert copied["containers"][0]["env"] is spec["containers"][0]["env"]
