"""Settings from outside: the chart's ``config.yaml``, an attempt's ``attempt.json``, the environment.

This is the only module that reads environment variables, and the files here are the whole contract
between the chart and Python. Unknown fields are refused, so the two cannot drift apart silently.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import yaml

from dask_flows.deadline import SCHEDULER_TIMEOUT, WORKERS_TIMEOUT
from dask_flows.errors import ConfigError, UsageError
from dask_flows.exporting import without_exported
from dask_flows.reading import Reader
from dask_flows.settings import (
    Channel,
    Ephemeral,
    Limits,
    Profile,
    Release,
    Runs,
    Static,
    Templates,
    read_profiles,
)

MODES = ("local", "static", "ephemeral")
ATTEMPT_FILE = "attempt.json"
PARAMETERS_FILE = "parameters.json"


@dataclass(frozen=True)
class AgentConfig:
    """Everything the chart tells the agent."""

    release: Release
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    mode: str
    allow_mode_override: bool
    channel: Channel
    pause_lease: str
    config_hash: str
    runs: Runs
    static: Static | None
    ephemeral: Ephemeral
    interruptible: Mapping[str, Any]
    templates: Templates
    limits: Limits
    profiles: Mapping[str, Profile]

    @classmethod
    def parse(cls, data: Any) -> Self:
        """Read ``config.yaml``; raises ConfigError that names the field."""
        top = Reader(data, "")
        top.get("apiVersion", str)
        top.get("kind", str)
        config = cls(
            release=top.whole("release", Release.read),
            labels=top.get("labels", dict, {}),
            annotations=top.get("annotations", dict, {}),
            mode=mode_of(top.get("mode", str), "mode"),
            allow_mode_override=top.get("allowModeOverride", bool, False),
            channel=top.whole("channel", Channel.read),
            pause_lease=top.get("pauseLease", str),
            config_hash=top.get("configHash", str),
            runs=top.whole("runs", Runs.read),
            static=top.maybe_whole("static", Static.read),
            ephemeral=top.whole("ephemeral", Ephemeral.read),
            interruptible=top.get("interruptible", dict, {}),
            templates=top.whole("templates", Templates.read),
            limits=top.whole("limits", Limits.read),
            profiles=top.whole("profiles", read_profiles),
        )
        top.done()
        if config.mode == "static" and config.static is None:
            raise ConfigError("static is missing though mode is static", do="upgrade the chart")
        return config

    def profile(self, name: str | None) -> Profile:
        """Return what holds for a run of this profile, or of none; raises UsageError."""
        if not name:
            return Profile(None, self.runs, self.ephemeral, self.templates)
        if name not in self.profiles:
            known = ", ".join(sorted(self.profiles))
            raise UsageError(
                f"there is no profile {name!r}",
                where="spec.profile",
                do=f"use one of {known}, or none"
                if known
                else "leave it out: the release has none",
            )
        return self.profiles[name]

    def runs_of(self, profile: str | None) -> Runs:
        """Return the defaults of a run, also if its profile has gone since it was claimed."""
        found = self.profiles.get(profile or "")
        return found.runs if found else self.runs


def load_agent_config(path: Path) -> AgentConfig:
    """Read the agent's configuration file; raises ConfigError."""
    try:
        return AgentConfig.parse(yaml.safe_load(path.read_text()))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read the configuration: {error}", where=str(path)) from None
    except ConfigError as error:
        raise ConfigError(error.found, where=str(path), do=error.do) from None


@dataclass(frozen=True)
class AttemptSpec:
    """What the agent tells the runner about its attempt; deadlines in seconds."""

    run: str
    namespace: str
    uid: str
    attempt: int
    mode: str
    flow: str | None
    command: list[str] | None
    address: str | None
    dashboard: str | None
    minimum_workers: int
    maximum_workers: int
    start_deadline: int
    deadline: int | None
    scheduler_timeout: int
    workers_timeout: int
    strict_environment: bool
    channel_url: str
    token_file: str
    source: str | None
    source_zip: str | None
    source_workdir: str
    parameters: Mapping[str, Any]
    mounted: bool = False  # scheduler and workers have the source, too

    @classmethod
    def parse(cls, data: Any, parameters: Any) -> Self:
        """Read ``attempt.json`` and ``parameters.json``; raises ConfigError."""
        top = Reader(data, "")
        channel = top.reader("channel")
        spec = cls(
            run=top.get("run", str),
            namespace=top.get("namespace", str),
            uid=top.get("uid", str),
            attempt=top.get("attempt", int),
            mode=mode_of(top.get("mode", str), "mode"),
            flow=top.maybe("flow", str),
            command=top.maybe("command", list),
            address=top.maybe("address", str),
            dashboard=top.maybe("dashboard", str),
            minimum_workers=top.get("minimumWorkers", int, 1),
            maximum_workers=top.get("maximumWorkers", int, 1),
            start_deadline=top.get("startDeadlineSeconds", int),
            deadline=top.maybe("deadlineSeconds", int),
            scheduler_timeout=top.get("schedulerTimeoutSeconds", int, SCHEDULER_TIMEOUT),
            workers_timeout=top.get("workersTimeoutSeconds", int, WORKERS_TIMEOUT),
            strict_environment=top.get("strictEnvironment", bool, False),
            channel_url=channel.get("url", str),
            token_file=channel.get("tokenFile", str),
            source=top.maybe("source", str),
            source_zip=top.maybe("sourceZip", str),
            source_workdir=top.get("sourceWorkdir", str),
            mounted=top.get("mounted", bool, False),
            parameters=Reader({"parameters": parameters}, "").get("parameters", dict, {}),
        )
        channel.done()
        top.done()
        return spec


def load_attempt(folder: Path) -> AttemptSpec:
    """Read the attempt that is mounted at ``folder``; raises ConfigError."""
    try:
        data = json.loads((folder / ATTEMPT_FILE).read_bytes())
        parameters = json.loads((folder / PARAMETERS_FILE).read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the attempt: {error}", where=str(folder)) from None
    return AttemptSpec.parse(data, parameters)


@dataclass(frozen=True)
class Environment:
    """The environment variables that mean something to us; ``variables`` are all, for child processes."""

    pod_uid: str = ""
    pod_name: str = ""
    namespace: str = ""
    scheduler_address: str = ""
    config_file: str = ""  # empty: look at the usual place
    no_color: bool = False
    variables: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def read(cls, environ: Mapping[str, str] | None = None, *, inside: bool = False) -> Self:
        """Read them from ``environ``, by default the process's own.

        What this process has exported itself for a cluster is not from outside. It counts for what is
        ``inside`` of that cluster.
        """
        own = os.environ if inside else without_exported()
        source = own if environ is None else environ
        return cls(
            pod_uid=source.get("DASK_FLOWS_POD_UID", ""),
            pod_name=source.get("DASK_FLOWS_POD_NAME", ""),
            namespace=source.get("DASK_FLOWS_NAMESPACE", ""),
            scheduler_address=source.get("DASK_SCHEDULER_ADDRESS", ""),
            config_file=source.get("DASK_FLOWS_CONFIG", ""),
            no_color=bool(source.get("NO_COLOR")),
            variables=dict(source),
        )


def mode_of(value: str, where: str) -> str:
    """Return the mode if it is one; raises ConfigError."""
    if value not in MODES:
        raise ConfigError(f"{value!r} is not a mode", where=where, do=f"use {', '.join(MODES)}")
    return value
