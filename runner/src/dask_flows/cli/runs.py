"""``dask-flows ls``, ``describe`` and ``cancel``: what kubectl shows, in a person's words."""

import argparse
from datetime import UTC, datetime
from typing import Any

from dask_flows.cli.output import write, write_json, write_table
from dask_flows.cli.session import add_cluster_arguments, add_debug_argument, with_cluster


def add_parser(commands: Any) -> None:
    """Add the subcommands."""
    for name, handler, text in (
        ("ls", _list, "list the runs"),
        ("describe", _describe, "tell everything about a run, and what to do next"),
        ("cancel", _cancel, "end a run; its log stays"),
    ):
        parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        if name != "ls":
            parser.add_argument("name", metavar="NAME", help="name of the FlowRun")
        if name != "cancel":
            parser.add_argument("-o", "--output", choices=["table", "json"], default="table")
        add_cluster_arguments(parser)
        add_debug_argument(parser)
        parser.set_defaults(handler=handler)


def _list(args: argparse.Namespace) -> int:
    from dask_flows.kube.api import list_all
    from dask_flows.kube.resources import FLOWRUNS

    async def work(api: Any, namespace: str) -> int:
        runs = (await list_all(api, FLOWRUNS, namespace)).items
        if args.output == "json":
            write_json(runs)
        elif not runs:
            write(f"No runs found in {namespace} namespace.")
        else:
            now = datetime.now(UTC)
            runs.sort(key=lambda run: run["metadata"]["creationTimestamp"])
            header = ("NAME", "PHASE", "MODE", "ATTEMPT", "WORKERS", "AGE", "REASON")
            write_table(header, (row(run, now) for run in runs))
        return 0

    return with_cluster(args, work)


def row(run: dict[str, Any], now: datetime) -> tuple[str, ...]:
    """Return a run's cells, as ``kubectl get flowruns`` prints them."""
    from dask_flows.deadline import parse_timestamp

    status = run.get("status") or {}
    seconds = (now - parse_timestamp(run["metadata"]["creationTimestamp"])).total_seconds()
    cells = (status.get(key) for key in ("mode", "attempt", "workers"))
    return (
        run["metadata"]["name"],
        status.get("phase") or "Pending",
        *("" if cell is None else str(cell) for cell in cells),
        age(seconds),
        status.get("reason") or "",
    )


def age(seconds: float) -> str:
    """Write a time span as kubectl does: its two largest units at most."""
    units = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
    left = max(0, int(seconds))
    parts: list[tuple[str, int]] = []
    for unit, size in units:
        count, left = divmod(left, size)
        if count or parts:
            parts.append((unit, count))
    shown = [f"{count}{unit}" for unit, count in parts[:2] if count]
    return "".join(shown) or "0s"


def _describe(args: argparse.Namespace) -> int:
    from dask_flows.kube.resources import FLOWRUNS

    async def work(api: Any, namespace: str) -> int:
        run = await api.get(FLOWRUNS, namespace, args.name)
        if args.output == "json":
            write_json(run)
            return 0
        for label, value in facts(run):
            write(f"{label + ':':<12}{value}")
        return 0

    return with_cluster(args, work)


def facts(run: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what to say about a run, in the order a person asks."""
    spec, status, meta = run["spec"], run.get("status") or {}, run["metadata"]
    attempt = status.get("attempt") or 0
    name, namespace = meta["name"], meta["namespace"]
    lines = [
        ("Name", f"{namespace}/{name}"),
        ("Runs", spec.get("flow") or " ".join(spec.get("command") or [])),
        ("Phase", status.get("phase") or "Pending"),
        ("Reason", status.get("reason")),
        ("Message", status.get("message")),
        ("Mode", status.get("mode")),
        ("Attempt", str(attempt) if attempt else None),
        *_ended(status.get("attempts") or []),
        ("Workers", str(status["workers"]) if "workers" in status else None),
        ("Dashboard", status.get("dashboardAddress")),
        ("Created", meta.get("creationTimestamp")),
        ("Claimed", status.get("startTime")),
        ("Running", status.get("runningTime")),
        ("Finished", status.get("finishTime")),
        ("Result", str(status["result"]) if "result" in status else None),
    ]
    for condition in status.get("conditions") or []:
        text = f"{condition['type']}={condition['status']} {condition.get('message') or ''}"
        lines.append(("Condition", text.strip()))
    if attempt:
        lines.append(("Next", f"kubectl logs -n {namespace} job/{status.get('jobName')}"))
    return [(label, value) for label, value in lines if value]


def _ended(attempts: list[dict[str, Any]]) -> list[tuple[str, str | None]]:
    """Return a line for each ended attempt of several."""
    many = len(attempts) > 1 or bool(attempts and attempts[0].get("attempt", 1) > 1)
    return [
        (f"Attempt {one.get('attempt')}", f"{one['reason']} (job/{one.get('jobName')})")
        for one in attempts
        if many and one.get("reason")
    ]


def _cancel(args: argparse.Namespace) -> int:
    from dask_flows.kube.resources import FLOWRUNS

    async def work(api: Any, namespace: str) -> int:
        run = await api.patch(FLOWRUNS, namespace, args.name, {"spec": {"cancel": True}})
        phase = (run.get("status") or {}).get("phase") or "Pending"
        over = phase in ("Succeeded", "Failed", "Cancelled")
        write(
            f"{args.name} is over already: {phase}" if over else f"{args.name} is being cancelled"
        )
        return 0

    return with_cluster(args, work)
