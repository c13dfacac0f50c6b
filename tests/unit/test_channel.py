"""Rules of the attempt channel as the runner sees it, against a real HTTP server."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from dask_flows.channel import Channel, Heart, Stop
from dask_flows.config import AttemptSpec
from dask_flows.deadline import Deadline
from dask_flows.errors import ClusterTimeout, DuplicateStart, UsageError
from dask_flows.outcome import Outcome
from samples import flow_run, inputs

Script = Callable[[str, dict[str, Any], int], tuple[int, dict[str, Any]]]


class FakeAgent:
    """Answers with what a script says for (verb, body, number of the call)."""

    def __init__(self, script: Script) -> None:
        self.calls: list[tuple[str, dict[str, Any], str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                verb = self.path.rsplit("/", 1)[1]
                outer.calls.append((self.path, body, self.headers["Authorization"]))
                status, answer = script(verb, body, len(outer.calls))
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(answer).encode())

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


class VirtualClock:
    """Time passes only when somebody sleeps, or by a little with each look."""

    def __init__(self) -> None:
        self.time = 0.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        self.time += 0.001
        return self.time

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds


@pytest.fixture
def agent() -> Iterator[Callable[[Script], FakeAgent]]:
    """Start fake agents and stop them afterwards."""
    made: list[FakeAgent] = []

    def make(script: Script) -> FakeAgent:
        made.append(FakeAgent(script))
        return made[-1]

    yield make
    for one in made:
        one.close()


def attempt_spec(url: str, token: Path) -> AttemptSpec:
    """Return what the agent writes for the runner."""
    attempt = json.loads(inputs("local", flow_run())["attempt.json"])
    channel = {"url": url, "tokenFile": str(token)}
    return AttemptSpec.parse({**attempt, "channel": channel}, {})


def channel(tmp_path: Path, url: str, clock: VirtualClock) -> Channel:
    """Return a channel with a token file, as the pod has it."""
    token = tmp_path / "token"
    token.write_text("s3cr3t\n")
    return Channel(attempt_spec(url, token), "pod-uid", "pod-name", clock, clock.sleep)


def test_start_names_the_attempt_the_pod_and_the_token(tmp_path: Path, agent: Any) -> None:
    """The agent can check all three."""
    clock = VirtualClock()
    served = agent(lambda *_: (200, {"deadlineSeconds": 30}))
    line = channel(tmp_path, served.url, clock)

    assert line.start(Deadline(60, clock)) == 30

    path, body, authorization = served.calls[0]
    assert path.endswith("/1/start")
    assert path.startswith("/v1/attempts/")
    assert body == {"podUid": "pod-uid", "podName": "pod-name"}
    assert authorization == "Bearer s3cr3t"


@pytest.mark.parametrize("status", [409, 401])
def test_a_refused_start_is_final(tmp_path: Path, agent: Any, status: int) -> None:
    """Another pod has the attempt: nothing of the flow may be imported."""
    clock = VirtualClock()
    served = agent(lambda *_: (status, {"message": "no"}))

    with pytest.raises(DuplicateStart):
        channel(tmp_path, served.url, clock).start(Deadline(60, clock))

    assert len(served.calls) == 1


def test_an_agent_that_does_not_know_the_run_is_asked_again_for_a_while(
    tmp_path: Path, agent: Any
) -> None:
    """It may have started a moment ago; after 10 s the attempt is over."""
    clock = VirtualClock()
    served = agent(lambda verb, body, n: (404, {}) if n < 4 else (200, {"deadlineSeconds": None}))
    assert channel(tmp_path, served.url, clock).start(Deadline(60, clock)) is None

    served = agent(lambda *_: (404, {}))
    with pytest.raises(DuplicateStart):
        channel(tmp_path, served.url, clock).start(Deadline(60, clock))
    assert 10 <= sum(clock.slept) < 30


def test_start_waits_for_an_agent_that_is_away_within_the_start_deadline(tmp_path: Path) -> None:
    """Then it fails, saying where it asked."""
    clock = VirtualClock()
    line = channel(tmp_path, "http://127.0.0.1:9", clock)

    with pytest.raises(ClusterTimeout, match=r"127\.0\.0\.1:9"):
        line.start(Deadline(60, clock))

    assert 59 < sum(clock.slept) < 61


def test_finish_is_said_again_until_it_is_heard(tmp_path: Path, agent: Any) -> None:
    """503 means not yet; the record is the same each time."""
    clock = VirtualClock()
    served = agent(lambda verb, body, n: (503, {}) if n < 3 else (200, {}))
    outcome = Outcome(uid="u", attempt=1, outcome="Succeeded")

    assert channel(tmp_path, served.url, clock).finish(outcome)

    assert [body for _, body, _ in served.calls] == [outcome.to_dict()] * 3


def test_finish_gives_up_in_time(tmp_path: Path) -> None:
    """The outcome is in the termination message too."""
    clock = VirtualClock()
    line = channel(tmp_path, "http://127.0.0.1:9", clock)

    assert not line.finish(Outcome(uid="u", attempt=1, outcome="Succeeded"))
    assert sum(clock.slept) <= 11


def test_the_heart_tells_a_stop_once_and_ends(tmp_path: Path, agent: Any) -> None:
    """Whoever hears it decides what to do."""
    stops: list[Stop] = []
    heard = threading.Event()

    def on_stop(stop: Stop) -> None:
        stops.append(stop)
        heard.set()

    answer = {"stop": {"reason": "Cancelled", "message": "by spec.cancel"}}
    served = agent(lambda verb, body, n: (200, {"stop": None}) if n < 3 else (200, answer))
    heart = Heart(
        channel(tmp_path, served.url, VirtualClock()), lambda: {"phase": "running"}, on_stop
    )

    heart.start()

    assert heard.wait(10)
    assert stops == [Stop("Cancelled", "by spec.cancel")]
    assert all(body["phase"] == "running" for _, body, _ in served.calls)


def test_an_agent_that_is_away_never_ends_a_run(tmp_path: Path, agent: Any) -> None:
    """The heart goes on; the run does not notice."""
    stops: list[Stop] = []
    enough = threading.Event()

    def script(verb: str, body: dict[str, Any], n: int) -> tuple[int, dict[str, Any]]:
        if n >= 3:
            enough.set()
        return 500, {}

    served = agent(script)
    heart = Heart(channel(tmp_path, served.url, VirtualClock()), dict, stops.append)
    heart.start()

    assert enough.wait(10)
    heart.stop()
    assert stops == []


def test_a_missing_token_is_said_with_its_path(tmp_path: Path) -> None:
    """Somebody started an attempt by hand."""
    spec = attempt_spec("http://127.0.0.1:9", tmp_path / "nothing-here")

    with pytest.raises(UsageError, match="nothing-here"):
        Channel(spec, "p", "p", VirtualClock())
