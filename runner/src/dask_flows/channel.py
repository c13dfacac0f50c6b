"""The runner's side of the attempt channel: three HTTP calls to the agent.

``start`` asks for leave before any user code is imported, ``beat`` tells progress and hears ``stop``,
``finish`` reports the outcome. A flow never fails because the agent is away: beats are tried again for
ever, and an outcome that cannot be delivered is also in the container's termination message.
"""

import http.client
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dask_flows.config import AttemptSpec
from dask_flows.deadline import Clock, Deadline
from dask_flows.errors import ClusterTimeout, DuplicateStart, UsageError
from dask_flows.outcome import Outcome

CALL_TIMEOUT = 10.0  # seconds for an answer that the agent does not hold back
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 3.0
UNKNOWN_GRACE = 10.0  # a new agent may not know the run yet
FINISH_SECONDS = 10.0

OK, UNAUTHORIZED, NOT_FOUND, CONFLICT = 200, 401, 404, 409


@dataclass(frozen=True)
class Stop:
    """The agent wants the attempt to end."""

    reason: str
    message: str


@dataclass(frozen=True)
class Answer:
    """What the agent said; status 0 if it said nothing."""

    status: int
    body: Mapping[str, Any]

    @property
    def text(self) -> str:
        """The agent's message, for people."""
        return str(self.body.get("message") or f"HTTP {self.status}")


class Channel:
    """One attempt's line to the agent; each call opens a connection of its own."""

    def __init__(
        self,
        attempt: AttemptSpec,
        pod_uid: str,
        pod_name: str,
        clock: Clock,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._attempt = attempt
        self._pod = {"podUid": pod_uid, "podName": pod_name}
        self._clock = clock
        self._sleep = sleep
        self._token = _read_token(attempt.token_file)

    def start(self, deadline: Deadline) -> int | None:
        """Ask for leave to start; returns the run's deadline in seconds, None for no limit.

        Raises DuplicateStart if another pod has started the attempt or it is over, ClusterTimeout if the
        agent does not answer in time.
        """
        unknown = Deadline(UNKNOWN_GRACE, self._clock)
        pause, said = FIRST_PAUSE, "no answer"
        while not deadline.expired:
            answer = self._call("start", self._pod, min(CALL_TIMEOUT, deadline.remaining()))
            if answer.status == OK:
                return answer.body.get("deadlineSeconds")
            refused = answer.status in (UNAUTHORIZED, CONFLICT)
            if refused or (answer.status == NOT_FOUND and unknown.expired):
                raise DuplicateStart(
                    f"the agent does not let this pod start: {answer.text}",
                    where=f"run {self._attempt.run}, attempt {self._attempt.attempt}",
                    do="nothing: the attempt belongs to another pod, or is over",
                )
            said = answer.text
            self._sleep(min(pause, deadline.remaining()))
            pause = min(LONGEST_PAUSE, pause * 2)
        raise ClusterTimeout(
            f"the agent did not let the run start within {deadline.seconds:g} s: {said}",
            where=self._attempt.channel_url,
            do="check the agent's pod: kubectl get pods -l app.kubernetes.io/component=agent",
        )

    def beat(self, progress: Mapping[str, Any], wait_seconds: float) -> Answer:
        """Tell progress; the agent answers within ``wait_seconds``, at once if it wants a stop."""
        body = {**self._pod, **progress, "waitSeconds": wait_seconds}
        return self._call("beat", body, wait_seconds + CALL_TIMEOUT)

    def finish(self, outcome: Outcome, seconds: float = FINISH_SECONDS) -> bool:
        """Report the outcome, for so many seconds at most; returns whether the agent has it."""
        deadline = Deadline(seconds, self._clock)
        pause = FIRST_PAUSE
        while not deadline.expired:
            answer = self._call(
                "finish", outcome.to_dict(), min(CALL_TIMEOUT, deadline.remaining())
            )
            if answer.status in (OK, UNAUTHORIZED, NOT_FOUND, CONFLICT):
                return answer.status == OK
            self._sleep(min(pause, deadline.remaining()))
            pause = min(LONGEST_PAUSE, pause * 2)
        return False

    def _call(self, verb: str, body: Mapping[str, Any], timeout: float) -> Answer:
        url = urlsplit(self._attempt.channel_url)
        path = f"/v1/attempts/{self._attempt.uid}/{self._attempt.attempt}/{verb}"
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        connection = http.client.HTTPConnection(
            url.hostname or "", url.port, timeout=max(0.1, timeout)
        )
        try:
            connection.request("POST", path, json.dumps(body), headers)
            response = connection.getresponse()
            return Answer(response.status, _decode(response.read()))
        except (OSError, http.client.HTTPException) as error:
            return Answer(0, {"message": f"{type(error).__name__}: {error}"})
        finally:
            connection.close()


class Heart:
    """Beats in a thread of its own until it is stopped; tells once when the agent wants a stop.

    ``on_deadline`` takes the run's deadline (s since its start) with each answer: it may be changed.
    """

    def __init__(
        self,
        channel: Channel,
        progress: Callable[[], Mapping[str, Any]],
        on_stop: Callable[[Stop], None],
        *,
        on_deadline: Callable[[int | None], None] | None = None,
        wait_seconds: float = 10.0,
    ) -> None:
        self._channel = channel
        self._progress = progress
        self._on_stop = on_stop
        self._on_deadline = on_deadline
        self._wait_seconds = wait_seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dask-flows-heart", daemon=True)

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def tell(self) -> None:
        """Tell progress at once, beside the beat that the agent holds."""
        hello = threading.Thread(
            target=self._channel.beat, args=(self._progress(), 0.0), daemon=True
        )
        hello.start()

    def stop(self) -> None:
        """Beat no more; does not wait for a beat that the agent holds."""
        self._ended.set()

    def _run(self) -> None:
        pause = FIRST_PAUSE
        while not self._ended.is_set():
            answer = self._channel.beat(self._progress(), self._wait_seconds)
            if self._ended.is_set():
                return
            wanted = answer.body.get("stop")
            if answer.status == CONFLICT:
                wanted = {"reason": "DuplicateStart", "message": answer.text}
            if wanted:
                self._on_stop(Stop(str(wanted.get("reason")), str(wanted.get("message"))))
                return
            if answer.status == OK:
                pause = FIRST_PAUSE
                if self._on_deadline is not None and "deadlineSeconds" in answer.body:
                    self._on_deadline(answer.body["deadlineSeconds"])
            else:
                self._ended.wait(pause)
                pause = min(LONGEST_PAUSE, pause * 2)


def _read_token(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise UsageError(
            f"cannot read the attempt's token: {error}",
            where=path,
            do="start runs through FlowRuns",
        ) from None


def _decode(body: bytes) -> Mapping[str, Any]:
    try:
        data = json.loads(body)
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}
