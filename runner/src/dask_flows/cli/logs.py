"""``dask-flows logs``: what the run printed."""

import argparse
from typing import Any

from dask_flows.cli.output import complain, write
from dask_flows.cli.session import add_cluster_arguments, add_debug_argument, with_cluster


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "logs",
        help="show the log of a run",
        description="Show what the run's runner printed: phases, the flow's output, its workers' output.",
    )
    parser.add_argument("name", metavar="NAME", help="name of the FlowRun")
    parser.add_argument(
        "-f", "--follow", action="store_true", help="wait for the run, show it as it grows"
    )
    add_cluster_arguments(parser)
    add_debug_argument(parser)
    parser.set_defaults(handler=_logs)


def _logs(args: argparse.Namespace) -> int:
    from dask_flows.submission.following import stream_logs

    async def work(api: Any, namespace: str) -> int:
        shown = await stream_logs(api, namespace, args.name, write, live=args.follow)
        if not shown:
            complain(
                f"run {args.name} has no log yet (namespace {namespace}): "
                f"see dask-flows describe {args.name}"
            )
        return 0 if shown else 1

    return with_cluster(args, work)
