"""The ``dask-flows`` command: parse arguments, call the application, turn failures into exit codes."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from dask_flows import __version__
from dask_flows.cli.output import complain
from dask_flows.cli.parser import Parser
from dask_flows.errors import DaskFlowsError

# Each module adds its subcommands; imports behind them happen only when one is called, so that
# ``--help`` answers at once.
_COMMANDS = ("run", "submit", "runs", "logs", "service")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    args = None
    try:
        args = build_parser().parse_args(argv)
        handler: Any = args.handler
        return int(handler(args))
    except DaskFlowsError as error:
        if getattr(args, "debug", False):
            raise
        complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as in ``dask-flows ls | head``
        sys.stderr.close()
        return 141


def build_parser() -> argparse.ArgumentParser:
    """Return the parser with every subcommand."""
    parser = Parser(
        prog="dask-flows",
        description="Run ordinary Python programs on Dask: here, on a shared cluster, or on their own.",
    )
    parser.add_argument("--version", action="version", version=f"dask-flows {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in _COMMANDS:
        import_module(f"dask_flows.cli.{name}").add_parser(commands)
    return parser
