"""What ``/metrics`` answers: the agent's metrics, and what its parts know at the moment of a scrape.

The parts keep plain numbers and know nothing of Prometheus; a scrape reads them and walks over no
objects, so it costs the same with ten thousand finished runs as with none.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from prometheus_client import GCCollector, Info, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from dask_flows.agent.events import Events
from dask_flows.agent.metrics import Metrics
from dask_flows.agent.sweep import Sweeper
from dask_flows.agent.tally import Tally
from dask_flows.agent.workqueue import WorkQueue
from dask_flows.deadline import Clock
from dask_flows.kube.informer import Informer

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Parts(Protocol):
    """The agent, as far as a scrape reads it."""

    tally: Tally
    queue: WorkQueue
    sweeper: Sweeper
    events: Events

    @property
    def informers(self) -> tuple[Informer[Any], ...]:
        """Everything that is followed."""
        ...


def expose(metrics: Metrics, parts: Parts, clock: Clock) -> None:
    """Add what is read at a scrape to the registry of an agent."""
    metrics.registry.register(_Reading(parts, clock))


def expose_process(registry: CollectorRegistry, version: str) -> None:
    """Add what is known of this process, its Python and its version."""
    build = Info("dask_flows_build", "The version of the agent.", registry=registry)
    build.info({"version": version})
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)


def scrape(metrics: Metrics) -> bytes:
    """Return everything in Prometheus' text format."""
    return generate_latest(_Lean(metrics.registry))


class _Lean(Collector):
    """Leave out when each series began: Prometheus does not read it, and it is a series of its own."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        """Yield everything else."""
        for family in self._registry.collect():
            family.samples = [s for s in family.samples if not s.name.endswith("_created")]
            yield family


class _Reading(Collector):
    """Read the parts."""

    def __init__(self, parts: Parts, clock: Clock) -> None:
        self._parts = parts
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        """Yield what they know now."""
        yield from self._runs()
        yield from self._following()
        yield _counted(
            "reconcile_failures", "Steps that failed and are tried again, by kind of error.", ("kind",),
            self._parts.queue.errors.items(),
        )  # fmt: skip
        yield _counted(
            "swept_objects", "Leftover objects that the sweeper removed.", ("resource",),
            self._parts.sweeper.swept.items(),
        )  # fmt: skip
        yield _counted(
            "events",
            "Kubernetes Events on runs: sent, repeated (told within the last ten minutes), dropped.",
            ("result",), self._parts.events.results.items(),
        )  # fmt: skip

    def _runs(self) -> Iterator[Metric]:
        tally = self._parts.tally
        runs = GaugeMetricFamily(
            "dask_flows_runs",
            "FlowRuns in the namespace, by phase and reason.",
            labels=("phase", "reason"),
        )
        for labels, count in tally.phases().items():
            runs.add_metric(labels, count)
        yield runs
        yield GaugeMetricFamily(
            "dask_flows_waiting_runs", "Runs that wait to be claimed.", tally.waiting
        )
        yield GaugeMetricFamily(
            "dask_flows_oldest_waiting_run_age_seconds",
            "How long the oldest waiting run has waited.",
            tally.oldest(self._clock.now()),
        )
        yield GaugeMetricFamily(
            "dask_flows_work_queue_depth",
            "Runs that wait for a worker of the agent, which is seconds at most.",
            len(self._parts.queue),
        )

    def _following(self) -> Iterator[Metric]:
        ends, lists, silence = [], [], []
        now = self._clock.monotonic()
        for informer in self._parts.informers:
            name = str(informer.resource)
            ends += [((name, reason), count) for reason, count in informer.ends.items()]
            lists += [((name, reason), count) for reason, count in informer.lists.items()]
            silence.append((name, now - informer.last_sign))
        labels = ("resource", "reason")
        yield _counted("watch_restarts", "Watches that ended and were begun again.", labels, ends)
        yield _counted("relists", "Lists of everything that is followed.", labels, lists)
        quiet = GaugeMetricFamily(
            "dask_flows_watch_silence_seconds",
            "Time since the API server gave a sign of life for what is followed.",
            labels=("resource",),
        )
        for name, seconds in silence:
            quiet.add_metric((name,), seconds)
        yield quiet


def _counted(
    name: str, text: str, labels: tuple[str, ...], counts: Iterable[tuple[Any, int]]
) -> CounterMetricFamily:
    family = CounterMetricFamily(f"dask_flows_{name}", text, labels=labels)
    for values, count in counts:
        family.add_metric((values,) if isinstance(values, str) else values, count)
    return family
