"""What ``--save`` costs: 10,000 tiny tasks with and without it, on the same kind of local cluster.

The ratio is of the flow's own seconds, from ``client.map`` to the last result: that is what recording slows
down. Writing the report comes after the flow and does not grow with it; it is told beside, in seconds.
Pairs run in turn, first one and then the other first, so that drift of the machine falls on both.
"""

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

from overhead import FLOW, run_file
from stats import paired, spread, write

LIMIT = 1.03


def once(folder: Path, tasks: int, *, save: bool) -> tuple[float, float]:
    """Return the seconds of the flow and those of the whole process."""
    begin = time.perf_counter()
    more = ("--save", str(folder / "report")) if save else ()
    flow = run_file(folder, tasks, *more)
    return flow, time.perf_counter() - begin


def main() -> None:
    """Run the pairs and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=10)
    parser.add_argument("--tasks", type=int, default=10_000)
    args, _ = parser.parse_known_args()
    times: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "flow.py").write_text(FLOW)
        for turn in range(args.repeat):
            for save in (False, True) if turn % 2 else (True, False):
                times[save].append(once(folder, args.tasks, save=save))
    bare, saved = times[False], times[True]
    mean, half = paired([flow for flow, _ in saved], [flow for flow, _ in bare])
    after = median(whole - flow for flow, whole in saved) - median(
        whole - flow for flow, whole in bare
    )
    write(
        "recording",
        f"Recording {args.tasks:,} tiny tasks",
        ["Seconds from `client.map` to the last result, min / **median** / max; pairs in turn.",
         f"Mean of the paired ratios: **{mean:.3f} ± {half:.3f}** (95 %, {args.repeat} pairs); the limit is {LIMIT}.",
         f"Preparing and writing the reports, Dask's own included: {after:.2f} s a run, outside of the flow."],
        ["", "seconds"],
        [["without `--save`", spread([flow for flow, _ in bare])],
         ["with `--save`", spread([flow for flow, _ in saved])]],
    )  # fmt: skip


if __name__ == "__main__":
    main()
