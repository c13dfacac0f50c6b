"""The sections of the agent's ``config.yaml``, as the chart writes them; ``config`` reads the whole."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from dask_flows.deadline import SCHEDULER_TIMEOUT, WORKERS_TIMEOUT
from dask_flows.reading import Reader
from dask_flows.retries import Budget

# What a configuration without these means; the chart always writes them.
CREATES_PER_SECOND, CREATE_BURST = 10, 20


@dataclass(frozen=True)
class Release:
    """The Helm release that the agent belongs to."""

    name: str
    namespace: str
    fullname: str
    chart: str

    @classmethod
    def read(cls, data: Reader) -> Self:
        """Read the section."""
        return cls(*(data.get(key, str) for key in ("name", "namespace", "fullname", "chart")))


@dataclass(frozen=True)
class Channel:
    """Where runners reach the agent."""

    url: str
    port: int

    @classmethod
    def read(cls, data: Reader) -> Self:
        """Read the section."""
        return cls(data.get("url", str), data.get("port", int))


@dataclass(frozen=True)
class Runs:
    """Defaults for FlowRuns; times in seconds."""

    start_deadline: int
    deadline: int | None
    ttl: int | None
    scheduler_timeout: int
    workers_timeout: int
    strict_environment: bool
    retries: Budget

    @classmethod
    def read(cls, data: Reader) -> Self:
        """Read the section."""
        return cls(
            data.get("startDeadlineSeconds", int),
            data.maybe("deadlineSeconds", int),
            data.maybe("ttlSecondsAfterFinished", int),
            data.get("schedulerTimeoutSeconds", int, SCHEDULER_TIMEOUT),
            data.get("workersTimeoutSeconds", int, WORKERS_TIMEOUT),
            data.get("strictEnvironment", bool, False),
            data.whole("retries", Budget.read),
        )


@dataclass(frozen=True)
class Static:
    """The shared cluster; ``pod_hash`` changes when the chart's own cluster does."""

    address: str
    dashboard: str
    minimum: int
    pod_hash: str
    most_runs: int | None

    @classmethod
    def read(cls, data: Reader) -> Self:
        """Read the section."""
        return cls(
            data.get("address", str),
            data.get("dashboardAddress", str, ""),
            data.get("minimum", int, 1),
            data.get("podHash", str, ""),
            data.maybe("maxConcurrentRuns", int),
        )


@dataclass(frozen=True)
class Ephemeral:
    """How many workers a run of its own cluster gets unless it says otherwise, and who else may reach it."""

    minimum: int
    maximum: int
    network_policy: Sequence[Mapping[str, Any]] | None  # peers of the dashboard; None: no policy

    @classmethod
    def read(cls, data: Reader) -> Self:
        """Read the section."""
        return cls(
            data.get("minimum", int, 1),
            data.get("maximum", int, 2),
            data.maybe_whole("networkPolicy", _peers),
        )


def _peers(data: Reader) -> Sequence[Mapping[str, Any]] | None:
    enabled, peers = data.get("enabled", bool), data.items("dashboardFrom", dict)
    return peers if enabled else None


@dataclass(frozen=True)
class Templates:
    """Pod templates as the chart rendered them; Python only patches them."""

    runner: Mapping[str, Any]
    scheduler: Mapping[str, Any] | None
    worker: Mapping[str, Any] | None

    @classmethod
    def read(cls, data: Reader) -> Self:
        """Read the section."""
        return cls(
            data.get("runner", dict), data.maybe("scheduler", dict), data.maybe("worker", dict)
        )


@dataclass(frozen=True)
class Limits:
    """What the release may do at a time, and how fast; None means no limit."""

    most_runs: int | None
    creates_per_second: float
    burst: int

    @classmethod
    def read(cls, data: Reader) -> Self:
        """Read the section."""
        return cls(
            data.maybe("maxConcurrentRuns", int),
            float(data.get("createsPerSecond", int, CREATES_PER_SECOND)),
            data.get("burst", int, CREATE_BURST),
        )


@dataclass(frozen=True)
class Profile:
    """What holds for runs of one profile; the chart has laid it over the release's values."""

    most_runs: int | None
    runs: Runs
    ephemeral: Ephemeral
    templates: Templates

    @classmethod
    def read(cls, data: Reader) -> Self:
        """Read one of them."""
        return cls(
            data.maybe("maxConcurrentRuns", int),
            data.whole("runs", Runs.read),
            data.whole("ephemeral", Ephemeral.read),
            data.whole("templates", Templates.read),
        )


def read_profiles(data: Reader) -> Mapping[str, Profile]:
    """Read all profiles, by name."""
    return {name: data.whole(name, Profile.read) for name in data.left()}
