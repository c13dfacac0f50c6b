"""What the runner costs: 10,000 tiny tasks through ``dask-flows run`` and through a plain client.

Both use the same kind of LocalCluster (2 workers, 1 thread each, no nanny processes) in a process of its
own. Pairs run in turn, first one and then the other first, so that drift of the machine falls on both.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from stats import paired, spread, write

FLOW = """
import time
from distributed import get_client

def inc(x):
    return x + 1

def tiny(tasks: int = 10_000) -> float:
    client = get_client()
    client.gather(client.map(inc, range(100)))  # warm
    begin = time.perf_counter()
    client.gather(client.map(inc, range(tasks)))
    return time.perf_counter() - begin
"""
PLAIN = """
import json, sys
from distributed import Client, LocalCluster
sys.path.insert(0, sys.argv[1])
import flow
if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster, Client(cluster):
        print(json.dumps({"result": flow.tiny(int(sys.argv[2]))}))
"""


def plain(folder: Path, tasks: int) -> float:
    """Time it with a client of one's own."""
    out = _run([sys.executable, str(folder / "plain.py"), str(folder), str(tasks)])
    return float(json.loads(out.splitlines()[-1])["result"])


def through_us(folder: Path, tasks: int, *more: str) -> float:
    """Time it through the runner; ``more`` are options for it."""
    out = _run(
        [sys.executable, "-m", "dask_flows", "run", f"{folder}/flow.py:tiny", "-p", f"tasks={tasks}",
         "--workers", "2", "--threads", "1", "--output", "json", *more]
    )  # fmt: skip
    records = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    return float(next(r["result"] for r in reversed(records) if r.get("result") is not None))


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def main() -> None:
    """Run the pairs and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=10)
    parser.add_argument("--tasks", type=int, default=10_000)
    args, _ = parser.parse_known_args()
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "flow.py").write_text(FLOW)
        (folder / "plain.py").write_text(PLAIN)
        for turn in range(args.repeat):
            for way in (plain, through_us) if turn % 2 else (through_us, plain):
                (ours if way is through_us else theirs).append(way(folder, args.tasks))
    mean, half = paired(ours, theirs)
    write(
        "overhead",
        f"Runner overhead on {args.tasks:,} tiny tasks",
        ["Seconds from `client.map` to the last result, min / **median** / max; pairs in turn.",
         f"Mean of the paired ratios: **{mean:.3f} ± {half:.3f}** (95 %, {len(ours)} pairs)."],
        ["", "seconds"],
        [["plain `Client.map`", spread(theirs)], ["through `dask-flows run`", spread(ours)]],
    )  # fmt: skip


if __name__ == "__main__":
    main()
