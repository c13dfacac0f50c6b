"""The command line."""

import argparse
import os
import shlex
import signal
import sys
from collections.abc import Sequence

from onenode import images, prerequisites, processes
from onenode.cluster import Cluster
from onenode.errors import ClusterError
from onenode.paths import Paths, from_environ
from onenode.progress import Progress, answer
from onenode.waiting import SystemClock

LONGEST_OUTAGE = 600
EPILOG = """\
environment:
  DASK_FLOWS_CACHE    binaries and state (default: ~/.cache/dask-flows)
  DASK_FLOWS_CLUSTER  state of the cluster (default: $DASK_FLOWS_CACHE/cluster)

exit codes: 0 ok, 1 the cluster failed, 2 wrong use or an unfit machine, 3 status: not all up
"""


def parser() -> argparse.ArgumentParser:
    """Describe the commands."""
    top = argparse.ArgumentParser(
        prog="python3 ci/cluster",
        description=__import__("onenode").__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    up = commands.add_parser("up", help="build what is missing, start what is not running, wait")
    up.add_argument("--empty", action="store_true", help="first forget all objects, keep images")
    down = commands.add_parser("down", help="stop everything `up` started")
    down.add_argument("--wipe", action="store_true", help="also delete the cluster's state")
    build = commands.add_parser("build", help="build all programs, helm and ct included")
    build.add_argument("--install", action="store_true", help="apt-get install what is missing")
    load = commands.add_parser("load", help="copy images from buildah or docker to the node")
    load.add_argument("images", nargs="+", metavar="IMAGE")
    commands.add_parser("status", help="say what runs and what does not")
    logs = commands.add_parser("logs", help="print the end of the components' logs")
    logs.add_argument("name", nargs="?", metavar="NAME")
    logs.add_argument("-n", "--lines", type=int, default=40)
    logs.add_argument("-f", "--follow", action="store_true")
    commands.add_parser("kubeconfig", help="print the path of the kubeconfig")
    restart = commands.add_parser("restart", help="stop and start one component")
    restart.add_argument("name", metavar="NAME")
    kwok = commands.add_parser("kwok", help="start or stop fake nodes beside the real one")
    kwok.add_argument("state", choices=["up", "down"])
    kwok.add_argument("--nodes", type=int, default=5, metavar="N")
    outage = commands.add_parser("outage", help="stop one component for some seconds")
    outage.add_argument("name", metavar="NAME")
    outage.add_argument("seconds", type=_outage_seconds, metavar="SECONDS")
    commands.add_parser("env", help='print shell settings: eval "$(python3 ci/cluster env)"')
    return top


def main(argv: Sequence[str]) -> int:
    """Run one command; errors are one message on standard error."""
    options = parser().parse_args(argv)
    try:
        return _run(options)
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("error: interrupted; `up` again continues, `down` stops", file=sys.stderr)
        return 130


def _run(options: argparse.Namespace) -> int:
    paths = from_environ(os.environ)
    cluster = Cluster(paths, Progress(), SystemClock())
    match options.command:
        case "status":
            return _status(cluster)
        case "logs":
            _logs(cluster, options)
        case "kubeconfig":
            answer(str(paths.kubeconfig))
        case "env":
            answer(exports(paths))
        case _:
            paths.make()
            with cluster.locked():
                _change(cluster, options)
    return 0


def _change(cluster: Cluster, options: argparse.Namespace) -> None:
    match options.command:
        case "up":
            cluster.up(empty=options.empty)
        case "down":
            cluster.down(wipe=options.wipe)
        case "restart":
            cluster.restart(options.name)
        case "outage":
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was stopped starts again
            cluster.outage(options.name, options.seconds)
        case "kwok" if options.state == "up":
            cluster.kwok_up(options.nodes)
        case "kwok":
            cluster.kwok_down()
        case "load":
            images.load(options.images, cluster.paths, cluster.progress)
        case "build":
            if options.install:
                prerequisites.install(cluster.progress)
            cluster.build()


def _status(cluster: Cluster) -> int:
    states = list(cluster.states())
    for name, pid, complaint in states:
        answer(f"{name:<20}{pid:>8}  {complaint or 'ready'}")
    if any(complaint for _, _, complaint in states):
        return 3
    answer(f"kubeconfig: {cluster.paths.kubeconfig}")
    answer(f"images: {' '.join(images.listed(cluster.paths))}")
    return 0


def _logs(cluster: Cluster, options: argparse.Namespace) -> None:
    chosen = [cluster.component(options.name)] if options.name else list(cluster.components)
    files = [processes.log_path(component.name, cluster.paths) for component in chosen]
    if options.follow:
        command = ["tail", "-n", str(options.lines), "-F", *map(str, files)]
        os.execvp(command[0], command)
    for file in files:
        answer(f"--- {file}\n{processes.tail(file, options.lines)}")


def _outage_seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= LONGEST_OUTAGE:
        raise argparse.ArgumentTypeError(f"0 to {LONGEST_OUTAGE} seconds, not {text}")
    return seconds


def exports(paths: Paths) -> str:
    """Return the shell lines that make kubectl, helm and ct use this cluster."""
    kubeconfig, folder = shlex.quote(str(paths.kubeconfig)), shlex.quote(str(paths.bin))
    return f'export KUBECONFIG={kubeconfig}\nexport PATH={folder}:"$PATH"'
