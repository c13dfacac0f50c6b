"""Draw the tables of a report: names, slowest tasks, failures, workers."""

from collections.abc import Sequence

from dask_flows.report import charts
from dask_flows.report.model import Record
from dask_flows.report.numbers import count, moment, percent, seconds, size, text

Column = tuple[str, str]  # heading and class; n is a number
SHOWN_NAMES, SHOWN_WORKERS = 60, 100
SHORT = 24  # characters that need no second line


def names(record: Record, colors: dict[str, str]) -> str:
    """Draw what is known of each name."""
    failed = any(name.failed for name in record.names)
    again = any(name.rerun or name.retried for name in record.names)
    disk = any(name.disk for name in record.names)
    columns = [
        ("Name", ""), ("Tasks", "n"), ("Failed", "n" if failed else "-"), ("Again", "n" if again else "-"),
        ("Computing", "n"), ("Share", "n"), ("Mean", "n"), ("Longest", "n"), ("Durations", ""),
        ("Transfer", "n"), ("Disk", "n" if disk else "-"), ("Results", "n"),
    ]  # fmt: skip
    whole = record.computing
    rows = [
        [
            _cell(
                _key(colors.get(name.name, charts.REST)) + text(name.name),
                name.name,
                _name(name.name),
            ),
            _number(name.count, count(name.count)),
            _number(name.failed, count(name.failed)),
            _number(name.rerun + name.retried, count(name.rerun + name.retried)),
            _number(name.seconds, seconds(name.seconds)),
            _number(name.seconds, percent(name.seconds, whole) + charts.share(name.seconds, whole)),
            _number(name.mean, seconds(name.mean)),
            _number(name.longest, seconds(name.longest)),
            _cell(charts.histogram(name.histogram), f"{name.mean:.9f}"),
            _number(name.transfer, seconds(name.transfer)),
            _number(name.disk, seconds(name.disk)),
            _number(name.result_bytes, size(name.result_bytes)),
        ]
        for name in record.names[:SHOWN_NAMES]
    ]
    return _table("Tasks by name", columns, rows) + _more(len(record.names), SHOWN_NAMES, "names")


def slowest(record: Record, most: int) -> str:
    """Draw the slowest tasks."""
    columns = [("Duration", "n"), ("Name", ""), ("Key", ""), ("Worker", ""), ("Began", "n")]
    rows = [
        [
            _number(task.seconds, seconds(task.seconds)),
            _cell(text(task.name), task.name, _name(task.name)),
            _cell(f"<code>{text(task.key)}</code>", task.key, "key"),
            _cell(text(task.worker), task.worker),
            _number(task.start, f"at {moment(round(max(0.0, task.start), 1))}"),
        ]
        for task in record.slowest[:most]
    ]
    return _table("Slowest tasks", columns, rows)


def failures(record: Record) -> str:
    """Draw the first tasks that failed."""
    columns = [("Task", ""), ("Worker", ""), ("At", "n"), ("Error", "")]
    rows = [
        [
            _cell(f"<code>{text(one.key)}</code>", one.key, "key"),
            _cell(text(one.worker), one.worker),
            _number(one.at, moment(round(max(0.0, one.at), 1))),
            _cell(f"<code>{text(one.message)}</code>", one.message, "said"),
        ]
        for one in record.failures
    ]
    return _table("Failed tasks", columns, rows) + _more(record.failed, len(rows), "failed tasks")


def workers(record: Record) -> str:
    """Draw what each worker did, with how busy it was over time."""
    end = record.run.seconds
    spilled = any(worker.spilled for worker in record.workers)
    came = any(worker.joined is not None or worker.left is not None for worker in record.workers)
    tasks = "" if record.by_worker.series else "-"
    columns = [
        ("Worker", ""), ("Busy", tasks), ("", "n" if not tasks else "-"), ("Tasks", "n" if not tasks else "-"),
        ("Threads", "n"), ("Most memory", "n"), ("Spilled", "n" if spilled else "-"),
        ("Came and went", "" if came else "-"),
    ]  # fmt: skip
    rows = []
    for worker in record.workers[:SHOWN_WORKERS]:
        row = record.by_worker.series.get(worker.name, ())
        strip = charts.strip(row, record.by_worker, worker.threads, end, worker.name)
        most = f"{size(worker.peak)}" + (f" of {size(worker.limit)}" if worker.limit else "")
        joined = "" if worker.joined is None else f"came at {moment(round(worker.joined, 1))} "
        left = "" if worker.left is None else f"went at {moment(round(worker.left, 1))}"
        rows.append([
            _cell(text(worker.name), worker.name, _name(worker.name)),
            _cell(strip, f"{worker.seconds:.6f}", "stretch"),
            _number(worker.seconds, seconds(worker.seconds)),
            _number(worker.tasks, count(worker.tasks)),
            _number(worker.threads, count(worker.threads)),
            _number(worker.peak, most),
            _number(worker.spilled, size(worker.spilled)),
            _cell(joined + left, str(worker.left or worker.joined or 0)),
        ])  # fmt: skip
    return _table("Workers", columns, rows) + _more(len(record.workers), SHOWN_WORKERS, "workers")


def _table(caption: str, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> str:
    """Write a table; a column with the class ``-`` is left out."""
    kept = [n for n, (_, kind) in enumerate(columns) if kind != "-"]
    heads = "".join(
        f'<th scope="col"{_class(columns[n][1])}>{text(columns[n][0])}</th>' for n in kept
    )
    body = "".join(f"<tr>{''.join(row[n] for n in kept)}</tr>" for row in rows)
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{text(caption)}"><table class="sort">'
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(inside: str, value: str, kind: str = "") -> str:
    return f'<td{_class(kind)} data-value="{text(value)}">{inside}</td>'


def _number(value: float, inside: str) -> str:
    kind = "n" if value else "n zero"
    return f'<td class="{kind}" data-value="{value:.9g}">{inside}</td>'


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


def _name(name: str) -> str:
    return "name short" if len(name) <= SHORT else "name"


def _key(kind: str) -> str:
    return (
        '<svg class="key" width="10" height="10" aria-hidden="true">'
        f'<rect class="{kind}" width="10" height="10" rx="2"/></svg>'
    )


def _more(number: int, shown: int, what: str) -> str:
    if number <= shown:
        return ""
    return f'<p class="note">The first {count(shown)} of {count(number)} {what}; run.json has more.</p>'
