"""What the runner costs: tiny tasks through ``dask-flows run`` and through a plain client.

The same file in both: as a script, whose functions go to the workers by value, and as a module, which they
import. Each time the same kind of LocalCluster: 2 workers, 1 thread each.
"""

import argparse
import tempfile
from pathlib import Path

from batches import MODULE, SCRIPT, seconds_of, through_us
from stats import paired, spread, write

WAYS = {
    "`python flow.py`, its own `LocalCluster`": SCRIPT,
    "`dask-flows run flow.py:serve`": through_us("flow.py:serve"),
    "`import flow`, its own `LocalCluster`": MODULE,
    "`dask-flows run flow:serve`": through_us("flow:serve"),
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
    script, file, imported, module = took
    notes = [f"{what}; {args.rounds} rounds, {args.rounds * args.tasks:,} tasks each."]
    for kind, ours, theirs in (("file", file, script), ("module", module, imported)):
        mean, half = paired(took[ours], took[theirs])
        notes.append(f"Paired ratios, as a {kind}: **{mean:.3f} ± {half:.3f}** (95 %).")
    rows = [[name, spread(seconds)] for name, seconds in took.items()]
    write("overhead", "Runner overhead on tiny tasks", notes, ["", "seconds"], rows)


if __name__ == "__main__":
    main()
