"""``dask-flows agent``, ``drain`` and ``retire``: what the chart's pods call."""

import argparse
from pathlib import Path
from typing import Any


def add_parser(commands: Any) -> None:
    """Add the subcommands."""
    agent = commands.add_parser(
        "agent", help="turn FlowRuns into attempts (the chart's Deployment)"
    )
    agent.add_argument(
        "--config", type=Path, default=Path("/etc/dask-flows/config.yaml"), metavar="FILE"
    )
    agent.add_argument("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    agent.add_argument("--log-format", default="text", choices=["text", "json"])
    agent.add_argument(
        "--metrics-port",
        type=int,
        default=0,
        metavar="N",
        help="serve metrics there (default: nowhere)",
    )
    agent.add_argument("--failpoint", default="", help=argparse.SUPPRESS)  # for tests
    agent.set_defaults(handler=_agent)
    drain = commands.add_parser("drain", help="wait for runs before an upgrade (the chart's hook)")
    for flag, text in (
        ("--release-fullname", "prefix of the release's objects"),
        ("--namespace", "namespace of the release"),
        ("--target-mode", "mode after the upgrade"),
        ("--target-config", "hash of the configuration after the upgrade"),
        ("--lease", "name of the Lease that pauses claims"),
    ):
        drain.add_argument(flag, required=True, help=text)
    drain.add_argument(
        "--target-pod-hash", default="", help="hash of the static pods after the upgrade"
    )
    drain.add_argument(
        "--drain-seconds", type=float, required=True, metavar="S", help="wait at most S"
    )
    drain.set_defaults(handler=_drain)
    retire = commands.add_parser(
        "retire", help="end the runs of a removed release (the chart's hook)"
    )
    retire.add_argument("--namespace", required=True, help="namespace of the release")
    retire.add_argument("--instance", required=True, help="name of the release")
    retire.add_argument("--lease", required=True, help="name of the Lease that pauses claims")
    retire.add_argument(
        "--seconds", type=float, default=90, metavar="S", help="wait at most S for pods"
    )
    retire.set_defaults(handler=_retire)


def _agent(args: argparse.Namespace) -> int:
    from dask_flows import __version__
    from dask_flows.agent import serve

    return serve(
        args.config,
        log_level=args.log_level,
        log_format=args.log_format,
        metrics_port=args.metrics_port,
        version=__version__,
        failpoint=args.failpoint,
    )


def _drain(args: argparse.Namespace) -> int:
    from dask_flows.agent.drain import main

    return main(
        release_fullname=args.release_fullname,
        namespace=args.namespace,
        target_mode=args.target_mode,
        target_pod_hash=args.target_pod_hash,
        target_config=args.target_config,
        lease=args.lease,
        drain_seconds=args.drain_seconds,
    )


def _retire(args: argparse.Namespace) -> int:
    from dask_flows.agent.retire import main
    from dask_flows.cli.output import write

    return main(
        namespace=args.namespace,
        instance=args.instance,
        lease=args.lease,
        seconds=args.seconds,
        say=write,
    )
