"""Draw ``report.html``: one file that asks the network for nothing and says everything without a script."""

import json
import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from hashlib import sha256
from importlib.resources import files

from dask_flows.report import charts, tables
from dask_flows.report.findings import BAD, GOOD, INFO, WARN, Finding
from dask_flows.report.model import Record
from dask_flows.report.numbers import count, counted, percent, seconds, size, text

SLOWEST = 15
MARKS = {BAD: ("!", "problem"), WARN: ("!", "warning"), INFO: ("i", "note"), GOOD: ("✓", "good")}
PHASES = {
    "prepare": "flow found and checked",
    "scheduler": "waiting for the scheduler",
    "workers": "waiting for workers",
    "running": "flow running",
}
WHERE = {
    "local": "on this machine",
    "static": "on a shared cluster",
    "ephemeral": "on a cluster of its own",
    "class": "on a cluster of its own",
}
_CODE = re.compile("`([^`]+)`")


def render(record: Record, findings: Sequence[Finding], *, dask_report: str | None = None) -> str:
    """Return the page; ``dask_report`` is the file name of Dask's own report beside it."""
    css, js = _resource("page.css"), _resource("page.js")
    policy = (
        f"default-src 'none'; style-src '{_hash(css)}'; script-src '{_hash(js)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    parts = [part for part in _sections(record, findings) if part]
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="dask-flows">
<title>{text(record.run.name)} · {text(record.run.outcome)}</title>
<link rel="icon" href="data:,">
<style>{css}</style>
</head>
<body>
{_header(record)}
<main>
{_stats(record)}
{"".join(parts)}
</main>
{_footer(record, dask_report)}
<script>{js}</script>
</body>
</html>
"""


def _sections(record: Record, findings: Sequence[Finding]) -> Iterator[str]:
    yield _section("Findings", _findings(findings) + _missing(record))
    yield _section("Where the time went", _phases(record))
    yield _section("What ran when", _work(record))
    yield _section("Workers and memory", _cluster(record))
    yield _section("Tasks by name", tables.names(record, _colors(record)) if record.names else "")
    yield _section("Failed tasks", tables.failures(record) if record.failures else "")
    yield _section("Slowest tasks", tables.slowest(record, SLOWEST) if record.slowest else "")
    yield _section("Transfers and disk", _moved(record))
    yield _section("Run", _facts(record))


def _header(record: Record) -> str:
    run = record.run
    told = f"{run.reason}: {run.message}" if run.message else run.reason
    trace = f"<pre>{text(run.traceback)}</pre>" if run.traceback else ""
    failure = (
        f'<div class="failure {text(run.outcome)}"><p>{text(told)}</p>{trace}</div>' if told else ""
    )
    return f"""<header>
<div class="top"><h1 class="mono">{text(run.name)}</h1><span class="pill {text(run.outcome)}">{text(run.outcome)}</span></div>
<p class="sub"><time datetime="{text(run.start)}">{text(run.start)}</time> · {seconds(run.seconds)} · \
{text(WHERE.get(run.mode, run.mode))}</p>
{failure}
</header>"""


def _stats(record: Record) -> str:
    moved, running = record.moved, record.running
    tiles = [("Run time", seconds(record.run.seconds), _started(record))]
    if record.names:
        failed = f"{count(record.failed)} failed" if record.failed else "none failed"
        tiles.append(("Tasks", count(record.tasks), failed))
    if record.computing:
        tiles.append(("Computing", seconds(record.computing), "summed over the threads"))
    if record.capacity and record.names:
        own = "by this run" if record.run.shared else f"of {seconds(record.capacity)} possible"
        tiles.append(("Workers busy", percent(record.computing, record.capacity), own))
    elif running is None:
        tiles.append(("The flow", "did not start", ""))
    if record.workers:
        threads = max((sample.threads for sample in record.samples), default=0)
        tiles.append(("Workers", count(record.most_workers), f"with {counted(threads, 'thread')}"))
    if record.peak_memory:
        limit = sum(worker.limit for worker in record.workers if worker.left is None)
        tiles.append(
            ("Most memory", size(record.peak_memory), f"of {size(limit)}" if limit else "")
        )
    if moved.sent_bytes:
        tiles.append(("Transferred", size(moved.sent_bytes), "between workers and to the flow"))
    if record.peak_spilled:
        tiles.append(("Spilled", size(record.peak_spilled), "on disk at the worst moment"))
    cells = (
        f"<div><dt>{name}</dt><dd>{value}<small>{more}</small></dd></div>"
        for name, value, more in tiles
    )
    return f'<dl class="stats">{"".join(cells)}</dl>'


def _started(record: Record) -> str:
    running = record.running
    return "" if running is None else f"flow running for {seconds(running.seconds)}"


def _findings(findings: Sequence[Finding]) -> str:
    if not findings:
        return ""
    items = "".join(
        f'<li class="{one.level}"><span class="mark" role="img" aria-label="{MARKS[one.level][1]}">'
        f"{MARKS[one.level][0]}</span><span>{_worded(one.text)}</span></li>"
        for one in findings
    )
    return f'<ul class="findings">{items}</ul>'


def _worded(said: str) -> str:
    """Escape a sentence; what stands in backticks is code."""
    return _CODE.sub(r"<code>\1</code>", text(said))


def _missing(record: Record) -> str:
    return "".join(f'<p class="note">{text(one)}</p>' for one in record.missing)


def _phases(record: Record) -> str:
    bar = charts.phases(record.phases, record.run.seconds, PHASES)
    entries = [
        (f"p-{text(one.name)}", f"{PHASES.get(one.name, one.name)} {seconds(one.seconds)}")
        for one in record.phases
    ]
    return bar + charts.legend(entries) if bar else ""


def _order(record: Record) -> list[str]:
    """Return the names as drawn: the most time first, small ones without a colour of their own."""
    line = record.by_name.series
    return sorted(line, key=lambda name: (-sum(line[name]), name))


def _colors(record: Record) -> dict[str, str]:
    return {name: charts.color(index) for index, name in enumerate(_order(record))}


def _work(record: Record) -> str:
    order = _order(record)
    threads = max((sample.threads for sample in record.samples), default=0)
    drawn = charts.stacked(record.by_name, order, threads, record.run.seconds)
    if not drawn:
        return ""
    entries = [(charts.color(index), name) for index, name in enumerate(order[: charts.COLORS])]
    if len(order) > charts.COLORS:
        entries.append((charts.REST, counted(len(order) - charts.COLORS, "other name")))
    note = f'<p class="note">Threads at work over time, by task name; the dashed line is all {threads:,} of them.</p>'
    return drawn + charts.legend(entries) + note


def _cluster(record: Record) -> str:
    if not record.workers:
        return ""
    end, limit = record.run.seconds, sum(one.limit for one in record.workers if one.left is None)
    fields = [("memory", "processes", "c0"), ("managed", "results in memory", "c2")]
    if record.peak_spilled:
        fields.append(("spilled", "results on disk", "c4"))
    near = limit if record.peak_memory > 0.5 * limit else 0.0  # a far limit would flatten the curve
    memory = charts.curves(record.samples, fields, end, "Memory over time", show=size, limit=near)
    counted_ = [("workers", "workers", "c0")]
    workers = charts.curves(
        record.samples, counted_, end, "Workers over time", show=lambda n: f"{n:g}", step=True
    )
    key = charts.legend((kind, name) for _, name, kind in fields)
    drawn = _pair(("Memory", memory + key), ("Workers", workers)) if memory else ""
    return f"{drawn}<h3>Each worker</h3>{tables.workers(record)}"


def _pair(*sides: tuple[str, str]) -> str:
    each = (f'<div><h3 class="first">{title}</h3>{inside}</div>' for title, inside in sides)
    return f'<div class="pair">{"".join(each)}</div>'


def _moved(record: Record) -> str:
    moved = record.moved
    facts = [
        ("Sent by workers", size(moved.sent_bytes), moved.sent_bytes),
        ("On the network", seconds(moved.network_seconds), moved.network_seconds),
        ("Packing and unpacking", seconds(moved.serialize_seconds), moved.serialize_seconds),
        ("Written to disk", size(moved.spilled_bytes), moved.spilled_bytes),
        ("Read from disk", size(moved.restored_bytes), moved.restored_bytes),
        ("Reading and writing", seconds(moved.disk_seconds), moved.disk_seconds),
    ]
    if not any(value for _, _, value in facts):
        return ""
    rows = "".join(f"<dt>{name}</dt><dd>{said}</dd>" for name, said, value in facts if value)
    note = "Times are summed over all workers."
    if record.run.shared:
        note += " They hold for the whole cluster, other runs at the same time included."
    return f'<dl class="facts">{rows}</dl><p class="note">{note}</p>'


def _facts(record: Record) -> str:
    run = record.run
    versions = ", ".join(f"{name} {version}" for name, version in run.versions.items())
    facts = [
        (run.kind.capitalize(), run.name),
        ("Scheduler", run.address),
        ("Versions", versions),
        ("Tag", run.tag),
        ("Exit code", str(run.exit_code)),
    ]
    rows = "".join(f"<dt>{text(name)}</dt><dd>{text(value)}</dd>" for name, value in facts if value)
    for name, value in (("Parameters", run.parameters or None), ("Result", run.result)):
        if value is not None:
            shown = json.dumps(value, ensure_ascii=False, indent=2, default=str)
            rows += f"<dt>{name}</dt><dd><pre>{text(shown)}</pre></dd>"
    return f'<dl class="facts">{rows}</dl>'


def _section(title: str, inside: str) -> str:
    return f"<section><h2>{title}</h2>{inside}</section>\n" if inside else ""


def _footer(record: Record, dask_report: str | None) -> str:
    links = ['<a href="run.json">run.json</a> has all these numbers']
    if dask_report is not None:
        links.append(
            f'<a href="{dask_report}">The performance report of Dask</a> has every task and the profiles'
        )
    version = text(record.run.versions.get("dask-flows", ""))
    return f"<footer><p>{' · '.join(links)}</p><p>Made by dask-flows {version}.</p></footer>"


def _resource(name: str) -> str:
    return files("dask_flows.report").joinpath(name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    return f"sha256-{b64encode(sha256(content.encode()).digest()).decode()}"
