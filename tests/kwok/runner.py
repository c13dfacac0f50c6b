"""One runner pod, what its program does, and how its pod ends."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from dask_flows import names
from dask_flows.kube.api import Object
from dask_flows.outcome import FAILED, SUCCEEDED, Outcome


@dataclass(frozen=True, kw_only=True)
class Play:
    """What the program in a runner pod does; by default it succeeds after a second."""

    seconds: float = 1.0  # how long the flow runs
    exit_code: int = 0
    outcome: str = ""  # of the record; by default what the exit code says
    reason: str = "FlowFailed"  # of a failure
    message: str = "played"
    result: Any = None
    workers: int = 1
    starts: bool = True  # asks for leave; else it dies before
    finishes: bool = True  # reports the outcome; else it only ends
    records: bool = True  # leaves the outcome in the termination message
    ends: bool = True  # else it runs until it is told to stop or its pod is deleted
    deaf: bool = False  # does not mind being told to stop
    container_reason: str = ""  # what the kubelet says, such as OOMKilled


@dataclass(eq=False)
class Runner:
    """One runner pod; times are of time.monotonic()."""

    run: str
    uid: str
    attempt: int
    namespace: str
    pod: str
    pod_uid: str
    container: str
    image: str
    base: str  # the attempt's name: of its Job
    secret: str  # with what is mounted into the pod
    parameters: dict[str, Any] = field(default_factory=dict)
    calls: int = 0
    started: bool = False
    exit_code: int | None = None
    killed: bool = False  # its pod was deleted or failed from outside
    ending: asyncio.Event = field(default_factory=asyncio.Event)  # set: end now
    running_told: float = 0.0
    finish_told: float = 0.0
    finish_heard: float = 0.0

    @classmethod
    def of(cls, pod: Object) -> "Runner":
        """Read a pod."""
        meta, container = pod["metadata"], pod["spec"]["containers"][0]
        labels, volumes = meta["labels"], pod["spec"]["volumes"]
        run, uid = labels[names.LABEL_RUN], labels[names.LABEL_RUN_UID]
        attempt = int(labels[names.LABEL_ATTEMPT])
        return cls(
            run=run,
            uid=uid,
            attempt=attempt,
            namespace=meta["namespace"],
            pod=meta["name"],
            pod_uid=meta["uid"],
            container=container["name"],
            image=container["image"],
            base=names.attempt_name(run, uid, attempt),
            secret=next(v["secret"]["secretName"] for v in volumes if v["name"] == "attempt"),
        )

    def outcome(self, play: Play, outcome: str = "", **fields: Any) -> Outcome:
        """Return the record of how the program ended."""
        said = outcome or play.outcome or (FAILED if play.exit_code else SUCCEEDED)
        good = said == SUCCEEDED
        return Outcome(
            uid=self.uid,
            attempt=self.attempt,
            pod_uid=self.pod_uid,
            outcome=said,
            **{
                "reason": "" if good else play.reason,
                "message": "" if good else play.message,
                "exit_code": play.exit_code,
                "result": play.result if good else None,
                "workers": play.workers,
                **fields,
            },
        )


def ended(runner: Runner, code: int, message: str, reason: str = "") -> Object:
    """Return the status of a pod whose program has ended."""
    state = {
        "exitCode": code,
        "reason": reason or ("Error" if code else "Completed"),
        "finishedAt": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        **({"message": message} if message else {}),
    }
    container = {
        "name": runner.container,
        "image": runner.image,
        "imageID": "",
        "ready": False,
        "restartCount": 0,
        "state": {"terminated": state},
    }
    return {
        "status": {"phase": "Failed" if code else "Succeeded", "containerStatuses": [container]}
    }


def copy_of(pod: Object) -> Object:
    """Return a second pod for a runner pod's attempt, made by nobody's Job."""
    meta = pod["metadata"]
    kept = {key: value for key, value in meta["labels"].items() if "job-name" not in key}
    kept = {key: value for key, value in kept.items() if "controller-uid" not in key}
    spec = {
        key: value
        for key, value in pod["spec"].items()
        if key not in ("nodeName", "volumes", "serviceAccount")
    }
    volumes = [v for v in pod["spec"]["volumes"] if not v["name"].startswith("kube-api-access")]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"{meta['name']}-copy", "labels": kept},
        "spec": {**spec, "volumes": volumes},
    }
