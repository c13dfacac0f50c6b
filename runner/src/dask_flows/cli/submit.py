"""``dask-flows submit``: ask the cluster to run a flow."""

import argparse
from typing import Any

from dask_flows.cli.output import note, write, write_json
from dask_flows.cli.session import (
    add_cluster_arguments,
    add_debug_argument,
    add_flow_arguments,
    with_cluster,
)
from dask_flows.cli.values import count, seconds, whole_seconds

MOST_RETRIES = 100  # that a FlowRun takes

EPILOG = """\
examples:
  dask-flows submit flow.py:diamond --follow         # a file, with the modules beside it
  dask-flows submit mypkg.flows:nightly -p day=1     # a flow that the image holds
  dask-flows submit --wait -- python script.py       # a command; a Python file here goes along
  dask-flows submit flow.py:diamond --dry-run | kubectl apply -f -
"""


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "submit",
        help="run a flow in the cluster",
        description="Create a FlowRun; a flow in a file takes the modules beside it along.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_flow_arguments(parser)
    parser.add_argument(
        "--name", help="name of the FlowRun; default: the flow's name and six characters"
    )
    _add_fields(parser)
    waiting = parser.add_argument_group("afterwards")
    waiting.add_argument(
        "--wait", action="store_true", help="wait for the end; the exit code tells it"
    )
    waiting.add_argument("-f", "--follow", action="store_true", help="the same, and show the log")
    waiting.add_argument("--timeout", type=seconds("--timeout"), metavar="S",
                         help="stop waiting after S seconds")  # fmt: skip
    waiting.add_argument(
        "--dry-run", action="store_true", help="print the objects as YAML, create nothing"
    )
    parser.add_argument("-o", "--output", choices=["name", "json"], default="name")
    add_cluster_arguments(parser)
    add_debug_argument(parser)
    parser.set_defaults(handler=submit)


def _add_fields(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the run")
    group.add_argument("--image", help="image of all pods of the run")
    group.add_argument("--mode", choices=["local", "static", "ephemeral"],
                       help="if the release allows it")  # fmt: skip
    group.add_argument("--profile", metavar="NAME", help="named settings of the release")
    group.add_argument("--workers", metavar="N|MIN:MAX", help="size of the run's own cluster")
    group.add_argument(
        "--deadline",
        type=whole_seconds("--deadline"),
        metavar="S",
        help="the run may take S seconds",
    )
    group.add_argument(
        "--start-deadline",
        type=whole_seconds("--start-deadline"),
        metavar="S",
        help="it must start within S seconds",
    )
    group.add_argument("--retries", type=count("--retries", 0, MOST_RETRIES), metavar="N",
                       help="new attempts after failures of the flow itself")  # fmt: skip
    group.add_argument("--env", action="append", default=[], metavar="K=V", help="may be repeated")


def submit(args: argparse.Namespace) -> int:
    """Create the FlowRun, then wait or follow if asked to."""
    from dask_flows.cli.arguments import (
        environment,
        flow_or_command,
        parameters_of,
        source_of,
        source_of_command,
        worker_fields,
    )
    from dask_flows.submission import Request

    flow, command = flow_or_command(args.flow, args.command, "submit")
    values = parameters_of(flow, command, args.pairs, args.parameters)
    flow, source = source_of(flow)
    if command is not None:
        command, source = source_of_command(command)
    fields = {
        "image": args.image,
        "mode": args.mode,
        "profile": args.profile,
        "workers": worker_fields(args.workers),
        "deadlineSeconds": args.deadline,
        "startDeadlineSeconds": args.start_deadline,
        "retries": None if args.retries is None else {"limit": args.retries},
        "env": environment(args.env),
    }
    request = Request(
        flow=flow,
        command=command,
        name=args.name,
        parameters=values,
        source=source,
        fields=fields,
    )
    return _dry_run(args, request) if args.dry_run else _create(args, request)


def _dry_run(args: argparse.Namespace, request: Any) -> int:
    from dask_flows.cli.output import to_yaml
    from dask_flows.submission import manifests_for

    objects = manifests_for(request, args.namespace or "")
    for obj in objects:
        if not args.namespace:  # kubectl fills in the context's
            del obj["metadata"]["namespace"]
    write(to_yaml(objects))
    return 0


def _create(args: argparse.Namespace, request: Any) -> int:
    from dask_flows.deadline import Deadline, SystemClock
    from dask_flows.submission import manifests_for
    from dask_flows.submission.following import follow, wait
    from dask_flows.submission.sending import send

    async def work(api: Any, namespace: str) -> int:
        run = await send(api, manifests_for(request, namespace))
        name = run["metadata"]["name"]
        if not (args.wait or args.follow):
            write_json(run) if args.output == "json" else write(f"flowrun.dask-flows.dev/{name}")
            note(f"next: dask-flows logs {name} --follow -n {namespace}")
            return 0
        note(f"flowrun {name}")
        deadline = Deadline(args.timeout, SystemClock())
        watch = follow if args.follow else wait
        status = await watch(api, namespace, name, deadline, log=write, say=note)
        if args.output == "json":
            write_json(status)
        return 0 if status.get("phase") == "Succeeded" else int(status.get("exitCode") or 1)

    return with_cluster(args, work)
