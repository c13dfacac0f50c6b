"""What the agent does and costs with thousands of runs: real API server, fake nodes, played runners.

- ``ephemeral``: a small burst in which every run has a cluster of its own;
- ``burst``: so many FlowRuns created at once, until all have ended;
- ``steady``: 300 created per minute, with the finished ones of the burst present;
- ``active``: 1,000 runs active at once; the agent is killed and started again; then all end within a minute.

The runners' programs are played (``tests/kwok``): their calls to the agent are real, a flow lasts a second. The
agent runs as a process of this machine with the rights that the chart gives it; its API calls are counted in
the API server's audit log.
"""

import argparse
import asyncio
import sys
import time
from pathlib import Path
from typing import Any

from stats import write

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "cluster"))

from stage import PATIENCE, Bench, Row, Usage, bench_in

from dask_flows.kube.resources import CONFIG_MAPS, FLOWRUNS
from kwok.observer import Seen
from kwok.site import flow_run, start_kwok

PARTS = ("ephemeral", "burst", "steady", "active")
PER_MINUTE = 300
ENDING_SECONDS = 60.0
FLOOR_WRITES = 400
# The limits are not what is measured.
VALUES: dict[str, Any] = {
    "agent": {"maxConcurrentRuns": 1000, "rateLimit": {"createsPerSecond": 1000, "burst": 1000}}
}
NOTES = (
    "A real API server, etcd, controller manager and scheduler on this machine, beside the agent, the fake",
    "nodes (kwok), and the program that creates the runs and plays their runners. The controller manager may send",
    "200 requests per second (`--kube-api-qps=200`, default 20). `agent.maxConcurrentRuns` is 1,000 and the agent's own",
    "rate limit is out of the way. API writes are the agent's, from the audit log; its Events and reads are from its metrics.",
    "Peers: KubeRay 1.1 to 1.8 jobs/s (its own load tests, 1,000 to 10,000 RayJobs), Spark operator 2.2 to 2.6 submissions/s.",
)


async def floor(bench: Bench) -> list[Row]:
    """Measure what the writes of a run cost the same client in a program that does nothing else."""
    namespace = bench.here.namespace
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "floor"}, "data": {"like": "x" * 2000}}  # fmt: skip
    await bench.api.create(CONFIG_MAPS, namespace, body)
    begin = time.process_time()
    for number in range(FLOOR_WRITES):
        await bench.api.patch(CONFIG_MAPS, namespace, "floor", {"data": {"n": str(number)}})
    each = 1000 * (time.process_time() - begin) / FLOOR_WRITES
    return [["floor", "CPU of 8 patches by the client alone", f"{8 * each:.2f} ms ({each:.2f} each)", ""]]  # fmt: skip


async def burst(bench: Bench, part: str, count: int) -> list[Row]:
    """Create everything at once."""
    usage, begin = Usage(bench), time.monotonic()
    names = await bench.create(part, count)
    created = time.monotonic() - begin
    runs = await bench.until_ended(names)
    seconds = max(run.ended or 0 for run in runs) - begin
    starts = max(bench.driver.starts[run.uid, 1] for run in runs)
    title = f"{part} of {count:,}"
    return [
        [title, "runs/s end to end", f"**{count / seconds:.2f}** ({seconds:.0f} s)", "≥ 3"],
        [title, "created within", f"{created:.0f} s", ""],
        [title, "most active at once", str(bench.observer.most_active), "≤ 1,000"],
        [title, "most starts of one attempt", str(starts), "1"],
        *await usage.rows(title, count),
    ]


async def steady(bench: Bench, minutes: float) -> list[Row]:
    """Create one run after the other, evenly."""
    await bench.until_quiet()
    usage = Usage(bench)
    count = round(PER_MINUTE * minutes)
    present = len(bench.observer.runs)
    asked: dict[str, float] = {}
    begin = time.monotonic()
    for n in range(count):
        await asyncio.sleep(max(0.0, begin + n * 60 / PER_MINUTE - time.monotonic()))
        name = f"steady-{n}"
        asked[name] = time.monotonic()
        await bench.api.create(FLOWRUNS, bench.here.namespace, flow_run(name))
    runs = await bench.until_ended(asked)
    claims = [(run.claimed or 0) - asked[run.name] for run in runs]
    title = f"{PER_MINUTE} per minute for {minutes:g} min, {present:,} finished present"
    return [
        [title, "claim latency p50 / p99", _percentiles(claims), "p99 < 2 s"],
        [title, "status lag p50 / p99", _percentiles(_lags(bench, runs)), ""],
        *await usage.rows(title, count),
    ]


async def active(bench: Bench, count: int) -> list[Row]:
    """Hold so many at once, kill the agent, let all end."""
    await bench.until_quiet()
    names = [f"active-{n}" for n in range(count)]
    bench.held.update(names)
    present = len(bench.observer.runs)
    await bench.create("active", count)
    mine = set(names)

    def all_run() -> bool:
        runs = bench.observer.runs
        return all(name in runs and runs[name].phase == "Running" for name in mine)

    await bench.observer.until(all_run, 60 + PATIENCE * count)
    cpu, begin = bench.agent.cpu_seconds(), time.monotonic()
    await asyncio.sleep(20)
    busy = (bench.agent.cpu_seconds() - cpu) / (time.monotonic() - begin)
    ready = await asyncio.to_thread(bench.agent.restart, *bench.metrics.args)
    runners = [runner for runner in bench.driver.runners.values() if runner.run in mine]
    for runner in runners:
        bench.driver.end(runner)
        await asyncio.sleep(ENDING_SECONDS / count)
    runs = await bench.until_ended(names)
    twice = sum(bench.driver.starts[run.uid, 1] > 1 for run in runs)
    title = f"{count:,} active, {present:,} finished present"
    return [
        [title, "status lag p50 / p99, all ending within a minute", _percentiles(_lags(bench, runs)), "p99 < 5 s"],
        [title, "ready after SIGKILL", f"**{ready:.1f} s**", "< 10 s"],
        [title, "agent CPU while nothing but beats happens, of one core", f"{100 * busy:.0f} %", ""],
        [title, "attempts started twice", str(twice), "0"],
        [title, "agent peak RSS", f"**{bench.agent.peak_mib():.0f} MiB**", "≤ 200 MiB"],
    ]  # fmt: skip


def _lags(bench: Bench, runs: list[Seen]) -> list[float]:
    """Return how long after a runner's last word its end was in status."""
    told = {runner.run: runner.finish_told for runner in bench.driver.runners.values()}
    return [(run.ended or 0) - told[run.name] for run in runs]


def _percentiles(values: list[float]) -> str:
    ordered = sorted(values)
    p50, p99 = (ordered[min(len(ordered) - 1, int(len(ordered) * q))] for q in (0.5, 0.99))
    return f"{p50:.2f} / **{p99:.2f} s**"


async def ephemeral(args: argparse.Namespace) -> list[Row]:
    """Carry out the part in which every run has a cluster of its own."""
    async with bench_in("ephemeral", VALUES, args.profile) as bench:
        return _shown(await burst(bench, "ephemeral burst", args.ephemeral))


async def static(args: argparse.Namespace) -> list[Row]:
    """Carry out the parts that were asked for, one after the other with the same agent."""
    async with bench_in("static", VALUES, args.profile) as bench:
        rows = _shown(await floor(bench))
        if "burst" in args.parts:
            rows += _shown(await burst(bench, "burst", args.runs))
        if "steady" in args.parts:
            rows += _shown(await steady(bench, args.minutes))
        if "active" in args.parts:
            rows += _shown(await active(bench, args.active))
    return rows


def _shown(rows: list[Row]) -> list[Row]:
    print(*(" | ".join(row) for row in rows), sep="\n", file=sys.stderr, flush=True)
    return rows


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--active", type=int, default=1_000)
    parser.add_argument("--ephemeral", type=int, default=500)
    parser.add_argument(
        "--profile", default="", metavar="FILE", help="profile the agent: FILE.static"
    )
    args, _ = parser.parse_known_args()
    if not start_kwok():
        print("skipped: bench/agent.py needs fake nodes, see tests/kwok", file=sys.stderr)
        return
    header = ["part", "what", "measured", "target"]
    # First: what the others leave keeps Kubernetes busy with deleting for minutes.
    if "ephemeral" in args.parts:
        title = "The agent with a cluster for each run"
        write("agent-ephemeral", title, NOTES, header, asyncio.run(ephemeral(args)))
    if set(args.parts) - {"ephemeral"}:
        title = "The agent with thousands of runs"
        write("agent", title, NOTES, header, asyncio.run(static(args)))


if __name__ == "__main__":
    main()
