"""What the agent counts and times, for Prometheus; ``exposition`` adds what is read at each scrape.

Nothing here is global: each agent has its own registry. Labels take few values: no name of a run, no
UID, no text of an error. What this process counts begins again at 0 when it restarts, as Prometheus
expects; what is in the cluster is in the gauges.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from functools import cache
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram

from dask_flows.agent.tally import Words
from dask_flows.deadline import Clock, parse_timestamp
from dask_flows.flowrun import CLAIMED, RUNNING, STARTING, TERMINAL, FlowRun

QUICK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
SLOW = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
VERBS = ("start", "beat", "finish")
MOST_UNHEARD = 10_000
SERVER_ERROR = 500


class Metrics:
    """Take down what happens."""

    def __init__(self, clock: Clock) -> None:
        self.registry = CollectorRegistry()
        self.words = Words()
        self._clock = clock
        self._finishing: dict[str, float] = {}
        self._runs()
        self._times()
        self._agent()
        self._requests()

    def _runs(self) -> None:
        self._ended = self._counter(
            "runs_ended",
            "Runs that ended: outcome is the last phase, mode is empty for runs that never began.",
            ("outcome", "reason", "mode"),
        )
        self._attempts_started = self._counter(
            "attempts_started", "Attempts that the agent claimed.", ("mode",)
        )
        self._attempts_ended = self._counter(
            "attempts_ended",
            "Attempts that ended, those that are tried again included.",
            ("reason", "mode"),
        )

    def _times(self) -> None:
        self._claim = self._histogram(
            "claim_latency_seconds",
            "From the creation of a run to its first claim; creation is known to the second.",
            SLOW,
        )
        self._start = self._histogram(
            "start_latency_seconds",
            "From the claim of an attempt to its flow running; the claim is known to the second.",
            SLOW,
            ("mode",),
        )
        self._lag = self._histogram(
            "status_lag_seconds",
            "From the runner's finish call, or its container's end if none came, to the end in status.",
            SLOW,
        )

    def _agent(self) -> None:
        self._reconcile = self._histogram(
            "reconcile_duration_seconds", "One step of one run, its API requests included.", QUICK
        )
        self._calls = self._counter(
            "channel_calls", "Calls of runners, by verb and HTTP status.", ("verb", "code")
        )
        self.loop_delay = self._histogram(
            "loop_delay_seconds", "How late the event loop came back to a task that was due.", QUICK
        )

    def _requests(self) -> None:
        asked = self._counter(
            "api_requests",
            "Requests to the Kubernetes API; code is 2xx for success, none without an answer.",
            ("verb", "resource", "code"),
        )
        answered = self._histogram(
            "api_request_duration_seconds",
            "Time until the Kubernetes API answered in full; watches are left out.",
            QUICK,
            ("verb", "resource"),
        )
        # Looking a series up by its labels costs as much as counting, and there are few of them.
        self._asked, self._answered = cache(asked.labels), cache(answered.labels)

    def request(self, verb: str, resource: str, code: str, seconds: float | None) -> None:
        """Take down one request to the API server."""
        self._asked(verb, resource, code).inc()
        if seconds is not None:
            self._answered(verb, resource).observe(seconds)

    def timed(self, step: Callable[[str], Awaitable[None]]) -> Callable[[str], Awaitable[None]]:
        """Return the same step, timed."""

        async def measured(name: str) -> None:
            began = self._clock.monotonic()
            try:
                await step(name)
            finally:
                self._reconcile.observe(self._clock.monotonic() - began)

        return measured

    def finishing(self, uid: str) -> None:
        """Take down that a runner has begun to say how its run ended; the first time counts."""
        if len(self._finishing) < MOST_UNHEARD:
            self._finishing.setdefault(uid, self._clock.monotonic())

    def called(self, verb: str, uid: str, code: int) -> None:
        """Take down one answered call of a runner."""
        self._calls.labels(verb if verb in VERBS else "other", str(code)).inc()
        if verb == "finish" and code < SERVER_ERROR:  # else it is said again
            self._finishing.pop(uid, None)

    def wrote(self, run: FlowRun, patch: Mapping[str, Any], ended_at: str = "") -> None:
        """Take down a status that was written; ``ended_at`` is when the runner's container ended."""
        phase = patch.get("phase", run.phase)
        mode = str(patch.get("mode") or run.status.get("mode") or "")
        if patch.get("attempt", 0) > run.attempt:
            self._attempts_started.labels(mode).inc()
            if not run.attempt:
                self._claim.observe(_seconds(run.created, self._clock.now()))
        last, before = _last(patch), _last(run.status)
        ended = run.attempt and last.get("finishTime") and not before.get("finishTime")
        if phase == RUNNING and run.phase != RUNNING:
            self._start.labels(mode).observe(_seconds(before.get("startTime"), self._clock.now()))
        elif ended and last.get("runningTime") and run.phase == STARTING:
            # It was over before a beat said that it runs.
            then = _moment(last["runningTime"])
            self._start.labels(mode).observe(_seconds(before.get("startTime"), then))
        over = phase in TERMINAL and run.phase not in TERMINAL
        reason = self.words.of(patch.get("reason")) if over else ""
        if over:
            self._ended.labels(phase, reason, mode).inc()
        if ended:
            self._attempts_ended.labels(self.words.of(last.get("reason")), mode).inc()
            self._settled(run, ended_at)

    def _settled(self, run: FlowRun, ended_at: str) -> None:
        heard = self._finishing.pop(run.uid, None)
        if heard is not None:
            self._lag.observe(self._clock.monotonic() - heard)
        elif ended_at and run.phase in CLAIMED:
            self._lag.observe(_seconds(ended_at, self._clock.now()))

    def _counter(self, name: str, text: str, labels: tuple[str, ...]) -> Counter:
        return Counter(f"dask_flows_{name}", text, labels, registry=self.registry)

    def _histogram(
        self, name: str, text: str, buckets: tuple[float, ...], labels: tuple[str, ...] = ()
    ) -> Histogram:
        return Histogram(
            f"dask_flows_{name}", text, labels, buckets=buckets, registry=self.registry
        )


def _moment(text: object) -> datetime | None:
    """Read a time of an object; None if the object does not tell it."""
    try:
        return parse_timestamp(str(text))
    except ValueError:
        return None


def _seconds(since: object, until: datetime | None) -> float:
    """Return the seconds from a time in an object; 0 if one of the two is not known."""
    began = _moment(since)
    return 0.0 if began is None or until is None else max(0.0, (until - began).total_seconds())


def _last(status: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the last attempt in a status, or in a patch of one."""
    attempts = status.get("attempts") or [{}]
    found: Mapping[str, Any] = attempts[-1]
    return found
