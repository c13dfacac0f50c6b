"""What the runner costs: 10,000 tiny tasks through ``dask-flows run`` and through a plain client.

The same file in both: as a script, whose functions go to the workers by value, and as a module, which they
import. Each time the same kind of LocalCluster (2 workers, 1 thread each) in a process of its own. Pairs run
in turn, first one and then the other first, so that drift of the machine falls on both.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from stats import paired, spread, write

FLOW = """
import json, sys, time
from distributed import Client, LocalCluster, get_client

def inc(x):
    return x + 1

def tiny(tasks: int = 10_000) -> float:
    client = get_client()
    client.gather(client.map(inc, range(100)))  # warm
    begin = time.perf_counter()
    client.gather(client.map(inc, range(tasks)))
    return time.perf_counter() - begin

def plain(tasks):
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster, Client(cluster):
        print(json.dumps({"result": tiny(tasks)}))

if __name__ == "__main__":
    plain(int(sys.argv[1]))
"""
Way = Callable[[Path, int], float]


def as_script(folder: Path, tasks: int) -> float:
    """Time the file as a script with a client of its own."""
    return _seconds(folder, [sys.executable, "flow.py", str(tasks)])


def as_module(folder: Path, tasks: int) -> float:
    """Time the file as a module with a client of its own."""
    return _seconds(folder, [sys.executable, "-c", f"import flow; flow.plain({tasks})"])


def run_file(folder: Path, tasks: int, *more: str) -> float:
    """Time ``dask-flows run flow.py:tiny``; ``more`` are options for it."""
    return _through_us(folder, "flow.py:tiny", tasks, *more)


def run_module(folder: Path, tasks: int) -> float:
    """Time ``dask-flows run flow:tiny``."""
    return _through_us(folder, "flow:tiny", tasks)


def _through_us(folder: Path, flow: str, tasks: int, *more: str) -> float:
    sized = ["--workers", "2", "--threads", "1", "--output", "json"]
    run = [sys.executable, "-m", "dask_flows", "run", flow, "-p", f"tasks={tasks}"]
    return _seconds(folder, [*run, *sized, *more])


def _seconds(folder: Path, command: list[str]) -> float:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")
    records = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return float(next(r["result"] for r in reversed(records) if r.get("result") is not None))


PAIRS: tuple[tuple[str, Way, Way], ...] = (
    ("file", as_script, run_file),
    ("module", as_module, run_module),
)


def main() -> None:
    """Run the pairs and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=10)
    parser.add_argument("--tasks", type=int, default=10_000)
    args, _ = parser.parse_known_args()
    took: dict[Way, list[float]] = {way: [] for _, *ways in PAIRS for way in ways}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "flow.py").write_text(FLOW)
        for turn in range(args.repeat):
            for _, theirs, ours in PAIRS:
                for way in (theirs, ours) if turn % 2 else (ours, theirs):
                    took[way].append(way(folder, args.tasks))
    ratios = []
    for kind, theirs, ours in PAIRS:
        mean, half = paired(took[ours], took[theirs])
        ratios.append(
            f"Paired ratios, as a {kind}: **{mean:.3f} ± {half:.3f}** (95 %, {args.repeat} pairs)."
        )
    write(
        "overhead",
        f"Runner overhead on {args.tasks:,} tiny tasks",
        ["Seconds from `client.map` to the last result, min / **median** / max; pairs in turn.", *ratios],
        ["", "seconds"],
        [
            ["`python flow.py`, its own `LocalCluster`", spread(took[as_script])],
            ["`dask-flows run flow.py:tiny`", spread(took[run_file])],
            ["`import flow`, its own `LocalCluster`", spread(took[as_module])],
            ["`dask-flows run flow:tiny`", spread(took[run_module])],
        ],
    )  # fmt: skip


if __name__ == "__main__":
    main()
