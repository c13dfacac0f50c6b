"""Which cluster a run gets, and who said so.

An explicit flag wins over ``DASK_SCHEDULER_ADDRESS``, which wins over the configuration of a release that is
mounted here, which wins over workers on this machine. What would have to be ignored is refused instead.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from dask_flows.config import AgentConfig, Environment, load_agent_config
from dask_flows.errors import ConfigError, UsageError

CONFIG_FILE = Path("/etc/dask-flows/config.yaml")
VARIABLE = "DASK_SCHEDULER_ADDRESS"
LOCAL, STATIC, EPHEMERAL, CLASS = "local", "static", "ephemeral", "class"
MODES = (LOCAL, STATIC, EPHEMERAL)  # what --mode takes; --cluster-class says the other one
DEFAULT = "default"

_SIZES = {"--workers": "workers", "--threads": "threads", "--memory": "memory"}
_OF_CLASS = {"--cluster-kwargs": "cluster_kwargs", "--adapt": "adapt"}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What somebody says about the cluster; None where nothing is said.

    ``cluster_class`` is ``package.module:Name``, or the class or function itself. ``adapt`` holds the least
    and the largest number of its workers.
    """

    mode: str | None = None
    address: str | None = None
    minimum_workers: int | None = None
    workers: int | None = None
    threads: int | None = None
    memory: str | None = None
    cluster_class: str | Callable[..., Any] | None = None
    cluster_kwargs: Mapping[str, Any] | None = None
    adapt: tuple[int, int] | None = None

    def said(self, flags: Mapping[str, str]) -> list[str]:
        """Return those of the flags that are given."""
        return [flag for flag, name in flags.items() if getattr(self, name) is not None]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The cluster, and ``origin``: the flag, variable or file that chose it, or ``default``."""

    mode: str
    origin: str
    address: str | None = None
    dashboard: str | None = None
    minimum: int = 1


def mounted(environment: Environment) -> AgentConfig | None:
    """Return the configuration of a release that is mounted here, if one is; raises ConfigError."""
    path = config_path(environment)
    if not environment.config_file and not path.exists():
        return None
    try:
        return load_agent_config(path)
    except ConfigError as error:
        do = f"{error.do}; --mode local does without it" if error.do else "add --mode local"
        raise ConfigError(error.found, where=error.where, do=do) from None


def config_path(environment: Environment) -> Path:
    """Return where the configuration is, or would be."""
    return Path(environment.config_file) if environment.config_file else CONFIG_FILE


def choose(
    asked: Asked,
    environment: Environment,
    *,
    read: Callable[[Environment], AgentConfig | None] = mounted,
) -> Choice:
    """Return the cluster for what is asked; raises UsageError for contradictions, ConfigError.

    The mounted configuration is read only if neither a flag nor the variable decides.
    """
    _check_numbers(asked)
    if asked.mode is not None and asked.mode not in MODES:
        raise UsageError(
            f"{asked.mode!r} is not a mode", where="--mode", do=f"use {', '.join(MODES)}"
        )
    if asked.cluster_class is not None:
        return _of_class(asked)
    for flag in asked.said(_OF_CLASS):
        _refuse_without_class(flag, asked)
    if asked.mode == LOCAL:
        if asked.address:
            _contradict("--mode local", "--address", "leave out one of them")
        return Choice(mode=LOCAL, origin="--mode", minimum=_minimum(asked))
    if asked.address:
        return _at(asked, asked.address, "--address")
    if environment.scheduler_address:
        return _at(asked, environment.scheduler_address, VARIABLE)
    if asked.mode == EPHEMERAL:
        _refuse_ephemeral("--mode")
    return _of_config(asked, read(environment), config_path(environment))


def _of_class(asked: Asked) -> Choice:
    if asked.address:
        _contradict("--cluster-class", "--address", "leave out one of them")
    if asked.mode in (LOCAL, STATIC):
        _contradict("--cluster-class", f"--mode {asked.mode}", "leave out one of them")
    for flag in asked.said(_SIZES):
        _contradict("--cluster-class", flag, "say it in --cluster-kwargs, or with --adapt")
    minimum = _minimum(asked)
    if asked.adapt is not None:
        if minimum > asked.adapt[0] and asked.minimum_workers is not None:
            do = "wait for no more workers than there are before the first task"
            _contradict("--minimum-workers", "--adapt", do)
        minimum = asked.adapt[0] if asked.minimum_workers is None else minimum
    return Choice(mode=CLASS, origin="--cluster-class", minimum=minimum)


def _at(
    asked: Asked, address: str, origin: str, *, dashboard: str | None = None, minimum: int = 1
) -> Choice:
    for flag in asked.said(_SIZES):
        _contradict(flag, origin, f"leave out {flag}, or take workers here with --mode local alone")
    return Choice(
        mode=asked.mode or STATIC,
        origin=origin,
        address=address,
        dashboard=dashboard,
        minimum=_minimum(asked, minimum),
    )


def _of_config(asked: Asked, config: AgentConfig | None, path: Path) -> Choice:
    static = config.static if config is not None and config.mode == STATIC else None
    if static is not None:
        return _at(
            asked,
            static.address,
            str(path),
            dashboard=static.dashboard or None,
            minimum=static.minimum,
        )
    if asked.mode == STATIC:
        raise UsageError(
            f"mode static needs the address of a scheduler, and neither {VARIABLE} nor {path} has one",
            where="--mode",
            do="add --address tcp://host:8786, or use dask-flows submit to run it in the cluster",
        )
    if config is not None and config.mode == EPHEMERAL:
        _refuse_ephemeral(str(path))
    origin = DEFAULT if config is None else str(path)
    return Choice(mode=LOCAL, origin=origin, minimum=_minimum(asked))


def _minimum(asked: Asked, otherwise: int = 1) -> int:
    return otherwise if asked.minimum_workers is None else asked.minimum_workers


def _check_numbers(asked: Asked) -> None:
    if asked.minimum_workers is not None and asked.minimum_workers < 0:
        raise UsageError(
            f"--minimum-workers is {asked.minimum_workers}", where="--minimum-workers", do="give 0 or more"
        )  # fmt: skip
    if asked.adapt is not None:
        low, high = asked.adapt
        if not 0 <= low <= high or high < 1:
            raise UsageError(
                f"{low}:{high} is no least and largest number of workers",
                where="--adapt",
                do="write it like 1:8; the same number twice is a fixed size",
            )


def _refuse_without_class(flag: str, asked: Asked) -> NoReturn:
    do = "add --cluster-class package.module:Name, or leave it out"
    if asked.address:
        _contradict(flag, "--address", "the size of that cluster is not ours to change")
    if asked.mode is not None:
        _contradict(flag, f"--mode {asked.mode}", do)
    raise UsageError(f"{flag} is for a --cluster-class, and none is given", where=flag, do=do)


def _refuse_ephemeral(origin: str) -> NoReturn:
    raise UsageError(
        "clusters of mode ephemeral are made by the agent, one for each FlowRun",
        where=origin,
        do="use dask-flows submit, or add --mode local",
    )


def _contradict(one: str, other: str, do: str) -> NoReturn:
    raise UsageError(f"{one} and {other} contradict each other", where=one, do=do)
