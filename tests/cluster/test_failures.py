"""Bad input and bad luck: each with its own reason, a message for people, and nothing left."""

from dataclasses import dataclass, field
from typing import Any

import pytest

import flows
import harm
import invariants
from kube import Kube, Object, eventually, kubectl
from release import Release
from troubles import AGAIN, RETRIED, SIGKILL


@dataclass(frozen=True)
class Case:
    """A flow that cannot work, and what its run must say."""

    code: str
    reason: str
    says: str
    flow: str = "flow.py:main"
    spec: dict[str, Any] = field(default_factory=dict)


MAIN = "def main(n: int = 1): return n\n"
TOO_BIG = {"requests": {"cpu": "900"}, "limits": {"cpu": "900"}}
CASES = {
    "module": Case(MAIN, "BadFlow", "nothing_here", flow="nothing_here:main"),
    "file": Case(MAIN, "BadFlow", "other.py", flow="other.py:main"),
    "attribute": Case(MAIN, "BadFlow", "mian", flow="flow.py:mian"),
    "not-callable": Case("main = 5\n", "BadFlow", "callable"),
    "syntax": Case("def main(:\n", "BadFlow", "flow.py"),
    "import": Case("import numpyy\n" + MAIN, "BadFlow", "numpyy"),
    "parameter": Case(MAIN, "BadParameters", "speed", spec={"parameters": {"speed": 9}}),
    "missing": Case("def main(day): return day\n", "BadParameters", "day"),
    "raises": Case("def main(): raise ValueError('no such day')\n", "FlowFailed", "no such day"),
    "os-exit": Case("import os\ndef main(): os._exit(3)\n", "FlowFailed", "3"),
    "sys-exit": Case("import sys\ndef main(): sys.exit(4)\n", "FlowFailed", "4"),
    "deadline": Case(
        "import time\ndef main(): time.sleep(60)\n", "DeadlineExceeded", "5", spec={"deadlineSeconds": 5}
    ),
    "image": Case(
        MAIN, "ImagePull", "registry.local/nothing:0",
        spec={"image": "registry.local/nothing:0", "startDeadlineSeconds": 15},
    ),
    "resources": Case(
        MAIN, "Unschedulable", "cpu", spec={"resources": TOO_BIG, "startDeadlineSeconds": 15}
    ),
    "memory": Case(
        "def main(): return len(bytearray(2**31))\n", "OutOfMemory", "256Mi",
        spec={"runner": {"resources": {"limits": {"memory": "256Mi", "cpu": "1"}}}},
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def installed(shared: Kube) -> Kube:
    """A release in ephemeral mode for all cases."""
    Release(shared).install("ephemeral", runner={"tmpSizeLimit": "32Mi"})
    return shared


AT_ONCE = 4  # what two cores start without waiting for each other for long


@pytest.fixture(scope="module")
def statuses(installed: Kube) -> dict[str, dict[str, Any]]:
    """The final status of each case's run; nothing of them is left."""
    names, found = list(CASES), {}
    for first in range(0, len(names), AT_ONCE):
        batch = names[first : first + AT_ONCE]
        for name in batch:
            flows.inline(installed, name, CASES[name].code, CASES[name].flow, **CASES[name].spec)
        found.update({name: installed.wait_run(name, timeout=120) for name in batch})
    invariants.check(installed)
    return found


@pytest.mark.parametrize("name", CASES)
def test_each_failure_says_its_reason(statuses: dict[str, dict[str, Any]], name: str) -> None:
    """The reason is stable, the message names the culprit."""
    case, status = CASES[name], statuses[name]

    assert (status["phase"], status["reason"]) == ("Failed", case.reason), status
    assert case.says in status["message"], status["message"]


@pytest.mark.parametrize("name", ["image", "resources"])
def test_a_pod_that_cannot_start_shows_while_it_waits(installed: Kube, name: str) -> None:
    """Nobody has to wait for the start deadline to see why."""
    case = CASES[name]
    spec = case.spec | {"startDeadlineSeconds": 120}
    flows.inline(installed, f"{name}-waits", case.code, case.flow, **spec)

    eventually(lambda: installed.run_status(f"{name}-waits").get("reason") == case.reason, 20)

    assert installed.run_status(f"{name}-waits")["phase"] == "Starting"
    flows.cancel(installed, f"{name}-waits")
    installed.wait_run(f"{name}-waits", timeout=30)


def test_the_log_shows_the_traceback_first_and_then_the_reason(installed: Kube) -> None:
    """People read the last line, then look up."""
    flows.inline(installed, "log", "def helper(): raise KeyError('x')\ndef main(): helper()\n")
    status = installed.wait_run("log")

    text = installed.logs(f"job/{status['jobName']}")

    assert text.index("KeyError") < text.index("FlowFailed")
    assert 'flow.py", line 1' in text


def test_ten_megabytes_of_output_do_no_harm(installed: Kube) -> None:
    """The run succeeds; Kubernetes rotates the log."""
    code = "def main():\n    for _ in range(10_000): print('x' * 1023)\n    return 'done'\n"
    flows.inline(installed, "loud", code)

    assert flows.result(installed.wait_run("loud")) == "done"


ONCE = {"infrastructure": 0}
HOLD = "import time\ndef main():\n    print('holding', flush=True)\n    time.sleep(120)\n"
IN_TASK = (
    "import time\nfrom distributed import get_client\n"
    "def main(): return get_client().submit(time.sleep, 120).result()\n"
)


def test_a_deleted_runner_pod(installed: Kube) -> None:
    """The attempt is over; nothing starts a second pod."""
    flows.inline(installed, "runner-gone", HOLD, retries=ONCE)
    installed.wait_run("runner-gone", "Running")
    (pod,) = installed.list(
        "pods", "dask-flows.dev/run=runner-gone,app.kubernetes.io/component=runner"
    )

    installed.delete("pods", pod["metadata"]["name"], grace=0)

    status = installed.wait_run("runner-gone", timeout=60)
    assert (status["phase"], status["reason"]) == ("Failed", "RunnerDeleted"), status
    invariants.check(installed)


@pytest.mark.parametrize("code", [HOLD, IN_TASK], ids=["in-runner", "in-task"])
def test_a_deleted_scheduler_pod(
    installed: Kube, code: str, request: pytest.FixtureRequest
) -> None:
    """Row 8: the cluster is the attempt's: without its scheduler the attempt is over."""
    name = f"sched-{'task' if code is IN_TASK else 'run'}"
    flows.inline(installed, name, code, retries=ONCE)
    installed.wait_run(name, "Running")

    installed.delete("pods", f"{installed.run_status(name)['clusterName']}-scheduler", grace=0)

    status = installed.wait_run(name, timeout=60)
    assert (status["phase"], status["reason"]) == ("Failed", "SchedulerLost"), status
    invariants.check(installed)


@pytest.mark.parametrize("seconds", [8, 25], ids=["ends-meanwhile", "goes-on"])
def test_the_agent_may_be_away(installed: Kube, seconds: int) -> None:
    """A run needs no agent to go on, nor to end; the outcome is there when the agent is back."""
    agent = "deployment/flows-dask-flows-agent"
    name = f"away-{seconds}"
    flows.inline(installed, name, f"import time\ndef main(): time.sleep({seconds}); return 7\n")
    installed.wait_run(name, "Running")
    selector = "app.kubernetes.io/component=agent"

    kubectl("scale", "-n", installed.namespace, agent, "--replicas=0")
    eventually(lambda: not installed.list("pods", selector), 60)
    (pod,) = installed.list("pods", f"dask-flows.dev/run={name},app.kubernetes.io/component=runner")
    if seconds < 10:
        eventually(
            lambda: (
                installed.get("pods", pod["metadata"]["name"])["status"]["phase"] == "Succeeded"
            ),
            60,
        )
    kubectl("scale", "-n", installed.namespace, agent, "--replicas=1")

    status = installed.wait_run(name, timeout=90)
    assert flows.result(status) == 7
    assert status["attempt"] == 1
    invariants.check(installed)


@pytest.fixture(scope="module")
def retried(installed: Kube) -> dict[str, Object]:
    """How the runs ended whose first attempt was harmed; its Dask pods went in time."""
    for name, case in RETRIED.items():
        flows.inline(installed, name, case.code, retries={**case.retries, "backoffSeconds": 1})
    for name, case in RETRIED.items():
        if case.signal:
            installed.wait_run(name, "Running", timeout=90)
            assert harm.pods_of(installed, name, "scheduler")
            harm.signal(installed, harm.runner_of(installed, name), case.signal)
    for name in RETRIED:
        harm.wait_replaced(installed, name)
    return {name: installed.wait_run(name, timeout=120) for name in RETRIED}


def check_second(status: Object, reason: str) -> None:
    """Attempt 2 succeeded, on a cluster of its own; status tells how the first one ended."""
    assert flows.result(status) == 2
    ends = [(attempt["attempt"], attempt["reason"]) for attempt in status["attempts"]]
    assert ends == [(1, reason), (2, "Succeeded")]
    assert status["clusterName"] == status["attempts"][1]["jobName"]


def test_a_killed_runner_is_followed_by_another(retried: dict[str, Object]) -> None:
    """Row 4: its Dask pods are gone within 60 s, and the flow's own budget pays for attempt 2."""
    _check_retried(retried, "killed-once")


def test_an_evicted_runner_is_followed_by_another(retried: dict[str, Object]) -> None:
    """Row 22: its Dask pods are gone within 60 s, and the budget for the platform pays for attempt 2."""
    _check_retried(retried, "full-once")


def _check_retried(retried: dict[str, Object], name: str) -> None:
    case, status = RETRIED[name], retried[name]
    check_second(status, case.reason)
    assert case.says in status["attempts"][0]["message"]
    assert status["retries"] == case.retries


ROLE = "flows-dask-flows-agent"
ADVICE = "have the right granted"


def blocked(status: Object) -> Object:
    """Return the condition Blocked of a run, empty if nothing blocks it."""
    found = (c for c in status.get("conditions") or [] if c["type"] == "Blocked")
    return next((c for c in found if c["status"] == "True"), {})


def test_a_right_is_missing_between_two_attempts(installed: Kube) -> None:
    """Row 36: what is left of attempt 1 keeps attempt 2 away, status says by which right; with it the run goes on."""
    name = "no-delete"
    flows.inline(installed, name, AGAIN, retries={"limit": 1, "backoffSeconds": 1})
    installed.wait_run(name, "Running", timeout=90)

    with harm.without_right(installed, ROLE, "delete", "pods"):
        harm.signal(installed, harm.runner_of(installed, name), SIGKILL)
        told = eventually(lambda: blocked(installed.run_status(name)), 60)
        status = installed.run_status(name)

    assert told["reason"] == "Forbidden"
    assert "Forbidden: delete pods" in told["message"]
    assert 'cannot delete resource "pods"' in told["message"]
    assert ADVICE in told["message"]
    assert (status["phase"], status["attempt"]) == ("Pending", 1), status
    status = installed.wait_run(name, timeout=120)
    check_second(status, "FlowFailed")
    assert not blocked(status)


def test_a_right_is_missing_at_the_start(installed: Kube) -> None:
    """Row 36: status says which while the run waits; with the right it starts by itself, in the same attempt."""
    name = "no-create"
    with harm.without_right(installed, ROLE, "create", "jobs"):
        flows.inline(installed, name, "def main(): return 1\n")
        eventually(lambda: installed.run_status(name).get("reason") == "Forbidden", 60)
        status = installed.run_status(name)

    assert status["phase"] == "Starting"
    assert 'cannot create resource "jobs"' in status["message"]
    assert ADVICE in status["message"]
    status = installed.wait_run(name, timeout=120)
    assert flows.result(status) == 1
    assert status["attempt"] == 1
