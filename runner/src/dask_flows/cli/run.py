"""``dask-flows run``: run a flow here, on whatever cluster the arguments name."""

import argparse
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dask_flows.cli.clusters import add_class_arguments, asked_of
from dask_flows.cli.session import add_debug_argument, add_flow_arguments
from dask_flows.cli.values import count, folder, memory, seconds
from dask_flows.deadline import CONNECT_TIMEOUT, SCHEDULER_TIMEOUT, WORKERS_TIMEOUT

if TYPE_CHECKING:
    from dask_flows.config import Environment
    from dask_flows.run import Request
    from dask_flows.run.host import Host

EPILOG = """\
examples:
  dask-flows run flow.py:diamond                       # workers on this machine
  dask-flows run flow.py:etl -p rows=1000000 --workers 4 --memory 2GiB
  dask-flows run mypkg.flows:nightly --address tcp://scheduler:8786
  dask-flows run flow.py:etl --cluster-class dask_gateway:GatewayCluster --adapt 1:8
  dask-flows run -- python script.py --fast            # any program that makes a Client()

exit codes: 0 ok, 1 the flow failed, 2 bad flow or parameters, 3 cluster not ready in time,
4 scheduler or workers lost, 5 deadline, 6 environment mismatch, 130 and 143 interrupted
"""

INTERRUPTED = (130, 143)
CLOSE_SECONDS = 5.0  # a run that is over does not wait longer for what will not close


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "run",
        help="run a flow here: on this machine's cores, or on a cluster by its address",
        description="Run a flow; its Client() and get_client() need no arguments.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_flow_arguments(parser)
    _add_cluster(parser)
    limits = parser.add_argument_group("limits")
    limits.add_argument("--connect-timeout", type=seconds("--connect-timeout"), default=CONNECT_TIMEOUT, metavar="S",
                        help="scheduler and workers are ready within S seconds (default %(default)g)")  # fmt: skip
    limits.add_argument("--deadline", type=seconds("--deadline"), metavar="S",
                        help="the run may take S seconds")  # fmt: skip
    limits.add_argument("--scheduler-timeout", type=seconds("--scheduler-timeout"), default=SCHEDULER_TIMEOUT, metavar="S",
                        help="a scheduler silent for S seconds is lost (default %(default)g)")  # fmt: skip
    limits.add_argument("--workers-timeout", type=seconds("--workers-timeout"), default=WORKERS_TIMEOUT, metavar="S",
                        help="a run without any worker for S seconds is lost (default %(default)g)")  # fmt: skip
    limits.add_argument("--strict-environment", action="store_true",
                        help="every package that Dask compares or the flow imports must be the same everywhere")  # fmt: skip
    parser.add_argument("--output", choices=["text", "json"], default="text",
                        help="json: one object per line, nothing else on standard output")  # fmt: skip
    parser.add_argument(
        "--save", type=folder("--save"), metavar="DIR", help="write run.json and report.html there"
    )
    parser.add_argument(
        "--attempt", type=Path, metavar="DIR", help="the agent's orders (used in its pods)"
    )
    add_debug_argument(parser)
    parser.set_defaults(handler=main)


def _add_cluster(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "cluster",
        "a flag wins over DASK_SCHEDULER_ADDRESS, which wins over a mounted configuration "
        "(DASK_FLOWS_CONFIG, else /etc/dask-flows/config.yaml), which wins over this machine",
    )
    group.add_argument("--mode", choices=["local", "static", "ephemeral"])
    group.add_argument("--address", metavar="TCP", help="scheduler to use, like tcp://host:8786")
    group.add_argument("--minimum-workers", type=count("--minimum-workers", 0), metavar="N",
                       help="wait for N workers (default: 1, or what a mounted configuration says)")  # fmt: skip
    group.add_argument("--workers", type=count("--workers"), metavar="N",
                       help="local worker processes")  # fmt: skip
    group.add_argument("--threads", type=count("--threads"), metavar="N",
                       help="threads of each local worker")  # fmt: skip
    group.add_argument("--memory", type=memory, metavar="SIZE",
                       help="memory of each local worker, like 2GiB")  # fmt: skip
    add_class_arguments(group)


def main(args: argparse.Namespace) -> int:
    """Run it; returns the exit code of the run."""
    from dask_flows.config import Environment
    from dask_flows.deadline import SystemClock
    from dask_flows.run import run
    from dask_flows.run.quiet import quiet
    from dask_flows.ui import make_ui

    environment, clock = Environment.read(), SystemClock()
    request = _of_attempt(args) if args.attempt else _of_arguments(args, environment)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(line_buffering=True)  # logs are read while they are written
    if not args.debug:
        quiet()
    dumb = environment.variables.get("TERM") == "dumb"
    ui = make_ui(args.output, clock, color=not environment.no_color, dumb=dumb)
    code = run(request, ui, environment, clock, host=_host(request))
    _end_soon(code)
    if code in INTERRUPTED:
        # What was interrupted in the middle of its start complains when the interpreter ends.
        ui.flush()
        os._exit(code)
    return code


def _of_arguments(args: argparse.Namespace, environment: "Environment") -> "Request":
    from dask_flows.cli.arguments import flow_or_command, parameters, texts
    from dask_flows.run.asking import ask

    flow, command = flow_or_command(args.flow, args.command)
    return ask(
        asked_of(args),
        environment,
        client_kwargs=args.client_kwargs,
        flow=flow,
        command=command,
        parameters=parameters(args.pairs, args.parameters),
        texts=texts(args.pairs),
        connect_timeout=args.connect_timeout,
        deadline=args.deadline,
        scheduler_timeout=args.scheduler_timeout,
        workers_timeout=args.workers_timeout,
        strict_environment=args.strict_environment,
        save=args.save,
        debug=args.debug,
        show_dashboard=True,
    )


def _of_attempt(args: argparse.Namespace) -> "Request":
    from dask_flows.cli.arguments import attempt_in
    from dask_flows.run import of_attempt

    attempt = attempt_in(args.attempt)
    return of_attempt(attempt, mode=args.mode or attempt.mode, debug=args.debug)


def _host(request: "Request") -> "Host":
    """Return what ends this process if the cluster does not close."""
    from dask_flows.run.host import Host, PatientHost

    if request.cluster_class is None:
        return Host(CLOSE_SECONDS)
    from dask_flows.clusters.custom import CLOSE_SECONDS as LONGER

    return PatientHost(LONGER + CLOSE_SECONDS)


def _end_soon(exit_code: int) -> None:
    """End the process although the flow has left threads behind."""
    timer = threading.Timer(CLOSE_SECONDS, os._exit, [exit_code])
    timer.daemon = True
    timer.start()
