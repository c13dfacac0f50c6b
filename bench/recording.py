"""What ``--save`` costs: tiny tasks with and without it, on the same kind of local cluster.

The ratio is of the flow's own seconds, from ``client.map`` to the last result: that is what recording slows
down. Writing the report comes after the flow and does not grow with it.
"""

import argparse
import tempfile
from pathlib import Path

from batches import seconds_of, through_us
from stats import paired, spread, write

LIMIT = 1.03
WAYS = {
    "without `--save`": through_us("flow.py:serve"),
    "with `--save`": through_us("flow.py:serve", "--save", "report"),
}


def main() -> None:
    """Run the rounds and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--tasks", type=int, default=1_000)
    args, _ = parser.parse_known_args()
    what = f"Seconds for {args.tasks:,} tasks, from `client.map` to the last result: min / **median** / max"
    with tempfile.TemporaryDirectory() as name:
        took = seconds_of(Path(name), WAYS, tasks=args.tasks, rounds=args.rounds)
    bare, saved = took.values()
    mean, half = paired(saved, bare)
    write(
        "recording",
        "Recording tiny tasks",
        [f"{what}; {args.rounds} rounds, {args.rounds * args.tasks:,} tasks each.",
         f"Paired ratios: **{mean:.3f} ± {half:.3f}** (95 %); the limit is {LIMIT}."],
        ["", "seconds"],
        [[name, spread(seconds)] for name, seconds in took.items()],
    )  # fmt: skip


if __name__ == "__main__":
    main()
