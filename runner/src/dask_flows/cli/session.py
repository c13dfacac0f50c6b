"""What several commands share: arguments, and the cluster that kubectl would talk to."""

import argparse
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def add_cluster_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--context``, ``-n`` and ``--kubeconfig``, which mean what they mean to kubectl."""
    group = parser.add_argument_group("cluster")
    group.add_argument("-n", "--namespace", metavar="NAME", help="default: the context's namespace")
    group.add_argument("--context", metavar="NAME", help="kubeconfig context")
    group.add_argument("--kubeconfig", metavar="FILE", help="default: KUBECONFIG or ~/.kube/config")


def add_flow_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what names a flow or a command, and its parameters."""
    parser.add_argument(
        "flow", nargs="?", metavar="FLOW", help="path/file.py:name or package.module:name"
    )
    parser.add_argument(
        "command", nargs="*", metavar="COMMAND", help="after --: a command line instead"
    )
    parser.add_argument("-p", "--parameter", action="append", default=[], metavar="K=V", dest="pairs",
                        help="a parameter: JSON, else text; may be repeated")  # fmt: skip
    parser.add_argument(
        "--parameters", type=Path, metavar="FILE", help="parameters as JSON or YAML"
    )


def add_debug_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--debug``."""
    parser.add_argument("--debug", action="store_true", help="show our own tracebacks too")


def with_cluster(args: argparse.Namespace, work: Callable[[Any, str], Awaitable[T]]) -> T:
    """Run ``work(api, namespace)`` against the cluster that the arguments name."""
    import asyncio  # half of what --help would take

    from dask_flows.kube.connect import connect

    async def session() -> T:
        client = await connect(file=args.kubeconfig, context=args.context, namespace=args.namespace)
        try:
            return await work(client, client.namespace)
        finally:
            await client.close()

    # With a factory it leaves the thread's event loop alone, whoever called us.
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        return runner.run(session())
