"""A runner as the agent sees it: the three calls of the attempt channel, and its container's end."""

import asyncio
import hashlib
from typing import Any

from dask_flows.agent.channel import Answer, Channel
from dask_flows.kube.resources import JOBS, PODS, SECRETS
from dask_flows.names import ANNOTATION_TOKEN
from dask_flows.outcome import Outcome
from fakes.api import FakeApi
from fakes.nodes import Nodes


class FakeRunner:
    """The program in one runner pod."""

    def __init__(self, api: FakeApi, nodes: Nodes, run: str, *, pod: str = "") -> None:
        self.api = api
        self.nodes = nodes
        self.run = run
        self.pod = pod

    async def ready(self) -> "FakeRunner":
        """Wait until the run's pod runs."""
        while True:
            for name in self.api.names(PODS):
                pod = self.api.read(PODS, name)
                labels = pod["metadata"]["labels"]
                mine = labels["dask-flows.dev/run"] == self.run
                running = (pod.get("status") or {}).get("phase") == "Running"
                runner = labels["app.kubernetes.io/component"] == "runner"
                if mine and runner and running and "deletionTimestamp" not in pod["metadata"]:
                    self.pod = name
                    return self
            await asyncio.sleep(0.1)

    @property
    def object(self) -> dict[str, Any]:
        """The pod."""
        return self.api.read(PODS, self.pod)

    @property
    def labels(self) -> dict[str, str]:
        """The pod's labels."""
        found: dict[str, str] = self.object["metadata"]["labels"]
        return found

    def token(self) -> str:
        """Return the token that is mounted into the pod."""
        job = self.api.read(JOBS, self.pod.rsplit("-", 1)[0])
        token = str(self.api.read(SECRETS, secret_of(job))["stringData"]["token"])
        accepted = job["metadata"]["annotations"][ANNOTATION_TOKEN].split()
        assert hashlib.sha256(token.encode()).hexdigest() in accepted
        return token

    async def call(self, channel: Channel, verb: str, **body: Any) -> Answer:
        """Make one call; ``token``, ``of_uid`` and ``of_attempt`` may be overridden."""
        uid = body.pop("of_uid", self.labels["dask-flows.dev/run-uid"])
        attempt = body.pop("of_attempt", int(self.labels["dask-flows.dev/attempt"]))
        token = body.pop("token", None) or self.token()
        return await channel.answer(verb, uid, attempt, token, body)

    async def start(self, channel: Channel, **body: Any) -> Answer:
        """Ask for leave to start."""
        named = {"podUid": self.object["metadata"]["uid"], "podName": self.pod, **body}
        return await self.call(channel, "start", **named)

    async def beat(self, channel: Channel, phase: str = "running", **body: Any) -> Answer:
        """Send a beat."""
        named = {"podUid": self.object["metadata"]["uid"], "phase": phase, "waitSeconds": 0, **body}
        return await self.call(channel, "beat", **named)

    def record(self, outcome: str = "Succeeded", **fields: Any) -> Outcome:
        """Return an outcome record."""
        return Outcome(
            uid=self.labels["dask-flows.dev/run-uid"],
            attempt=int(self.labels["dask-flows.dev/attempt"]),
            pod_uid=self.object["metadata"]["uid"],
            outcome=outcome,
            **fields,
        )

    async def finish(self, channel: Channel, outcome: str = "Succeeded", **fields: Any) -> Answer:
        """Report the outcome and end, as a runner does."""
        record = self.record(outcome, **fields)
        answer = await self.call(channel, "finish", **record.to_dict())
        self.nodes.end(self.pod, record.exit_code, message=record.to_json())
        return answer

    def die(self, code: int, outcome: str = "", **fields: Any) -> None:
        """End without a word to the agent; with an outcome it is in the termination message."""
        text = self.record(outcome, exit_code=code, **fields).to_json() if outcome else ""
        self.nodes.end(self.pod, code, message=text)


def secret_of(job: dict[str, Any]) -> str:
    """Return the name of the Secret that a Job's pod waits for."""
    volumes = job["spec"]["template"]["spec"]["volumes"]
    return str(next(v["secret"]["secretName"] for v in volumes if v["name"] == "attempt"))
