"""The command line of a soak."""

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from soak import report, schedule
from soak.soak import Soak

ROOT = Path(__file__).parents[2]
EPILOG = """\
exit codes: 0 nothing is wrong, 1 a rule was broken, 2 wrong use, 3 the soak itself failed, 130 interrupted
"""


def parser() -> argparse.ArgumentParser:
    """Describe the options."""
    top = argparse.ArgumentParser(
        prog="make soak", description=__import__("soak").__doc__, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    top.add_argument("--minutes", type=float, default=3, help="how long runs and faults come")
    top.add_argument("--seed", type=int, default=1, help="the same seed is the same schedule")
    top.add_argument("--dry-run", action="store_true", help="print the schedule and end")
    top.add_argument("--output", choices=["text", "json"], default="text")
    top.add_argument("--folder", type=Path, help="default: build/soak/<seed>-<time>")
    top.add_argument(
        "--without", action="append", default=[], choices=schedule.LANES, metavar="LANE",
        help=f"leave a lane out: {', '.join(schedule.LANES)}",
    )  # fmt: skip
    top.add_argument(
        "--outages", type=int, metavar="N", help="stop components of the cluster N times at most"
    )
    top.add_argument(
        "--announce",
        type=Path,
        metavar="FILE",
        help="this file exists while a component is stopped",
    )
    top.add_argument("--keep", action="store_true", help="leave the namespace for looking around")
    return top


def main(argv: Sequence[str]) -> int:
    """Run a soak; returns its exit code."""
    options = parser().parse_args(argv)
    actions = chosen(options)
    if options.dry_run:
        print(report.plan(actions, options.seed, options.minutes))
        return 0
    if not os.environ.get("KUBECONFIG"):
        print("error: no cluster: set KUBECONFIG, or run make soak", file=sys.stderr)
        return 2
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    folder = options.folder or ROOT / "build" / "soak" / f"{options.seed}-{moment}"
    plan = report.plan(actions, options.seed, options.minutes)
    print(plan, file=sys.stderr)
    # Whoever ends a soak wants its namespace gone, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        # The progress goes to standard error, so that standard output holds the result alone.
        result = Soak(actions, options, folder.absolute()).run(plan)
    except KeyboardInterrupt:
        print(f"error: interrupted; what was seen is in {folder}", file=sys.stderr)
        return 130
    print(json.dumps(result.to_dict()) if options.output == "json" else report.table(result))
    return result.exit_code


def chosen(options: argparse.Namespace) -> list[schedule.Action]:
    """Return the schedule less what is left out."""
    actions = [
        action
        for action in schedule.make(options.seed, options.minutes)
        if action.lane not in options.without
    ]
    outages = [action for action in actions if action.lane == schedule.CONTROL]
    extra = outages[options.outages :] if options.outages is not None else []
    return [action for action in actions if action not in extra]
