"""Say in words what the numbers of a run mean, and what to do about it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from dask_flows.report.model import Record, Worker
from dask_flows.report.numbers import count, counted, percent, seconds, size

BAD, WARN, INFO, GOOD = "bad", "warn", "info", "good"
_ORDER = (BAD, WARN, INFO, GOOD)

# A second or two is not worth anybody's time; what counts is above it and a good part of the whole.
LEAST_SECONDS = 2.0
# Dask spends some hundred microseconds to a millisecond on each task.
TINY_SECONDS, TINY_COUNT = 0.01, 500
FULL = 0.8
SHOWN = 3  # names in one sentence


@dataclass(frozen=True)
class Finding:
    """One sentence or two; the level says how bad it is."""

    level: str
    text: str


def find(record: Record) -> list[Finding]:
    """Return what is worth saying, the worst first."""
    found = [finding for rule in _RULES for finding in rule(record)]
    if not any(finding.level in (BAD, WARN) for finding in found) and record.tasks:
        found.append(
            Finding(GOOD, "Nothing stands out: no failed task, no lost worker, no spilling.")
        )
    return sorted(found, key=lambda finding: _ORDER.index(finding.level))


Found = Iterator[Finding]


def _failed(record: Record) -> Found:
    for name in record.names:
        if name.failed:
            first = next((one for one in record.failures if one.name == name.name), None)
            why = f": {first.message}" if first is not None else ""
            yield Finding(BAD, f"{counted(name.failed, 'task')} of `{name.name}` failed{why}")


def _rerun(record: Record) -> Found:
    total = sum(name.rerun for name in record.names)
    if not total:
        return
    lost = [worker.name for worker in record.workers if worker.rerun]
    was, what = ("was", "its result was") if total == 1 else ("were", "their results were")
    why = f"{_list(lost)} went away" if lost else f"{what} lost"
    yield Finding(WARN, f"{counted(total, 'task')} {was} run again because {why}.")


def _retried(record: Record) -> Found:
    total = sum(name.retried for name in record.names)
    if total:
        yield Finding(
            WARN, f"{counted(total, 'task')} failed and ran again, as their `retries` allow."
        )


def _start_up(record: Record) -> Found:
    running = record.running
    if running is None or record.run.seconds <= 0:
        return
    if running.start >= LEAST_SECONDS and running.start >= 0.25 * record.run.seconds:
        longest = max(record.phases[: record.phases.index(running)], key=lambda one: one.seconds)
        share = percent(running.start, record.run.seconds)
        yield Finding(
            INFO,
            f"Start-up took {share} of the run ({seconds(running.start)}), "
            f"most of it {PHASES.get(longest.name, longest.name)} ({seconds(longest.seconds)}).",
        )


def _no_tasks(record: Record) -> Found:
    if record.running is not None and not record.tasks and not record.missing:
        yield Finding(
            INFO, "The flow gave Dask no task: all its work was done in the runner itself."
        )


def _waited(record: Record) -> Found:
    running, capacity = record.running, record.capacity
    if running is None or record.run.shared or not record.tasks or capacity <= 0:
        return
    busy = record.computing / capacity
    if running.seconds < LEAST_SECONDS:
        return
    if busy >= FULL:
        yield Finding(GOOD, f"The workers computed {percent(busy, 1)} of the time.")
    elif busy < 0.6:  # noqa: PLR2004
        waited = (1 - busy) * running.seconds
        yield Finding(
            WARN,
            f"Workers waited {seconds(waited)} of {seconds(running.seconds)} for tasks: fewer threads "
            "would do, or the flow could give them more to do at once.",
        )


def _tail(record: Record) -> Found:
    line, running = record.by_name, record.running
    threads = max((sample.threads for sample in record.samples), default=0)
    if running is None or threads < 2 or record.run.shared:  # noqa: PLR2004
        return
    length = max((len(row) for row in line.series.values()), default=0)
    sums = [sum(row[n] for row in line.series.values() if n < len(row)) for n in range(length)]
    alone = 0
    while alone < length and 0 < sums[length - 1 - alone] <= 1.05 * line.width:
        alone += 1
    # The last bucket is not full, so it says nothing alone.
    took = (alone - 1) * line.width
    if took >= LEAST_SECONDS and took >= 0.1 * running.seconds:
        last = max(line.series, key=lambda name: sum(line.series[name][length - alone :]))
        yield Finding(
            WARN,
            f"For the last {seconds(took)} one thread of {threads} worked, on `{last}`: the others had "
            "nothing left to do.",
        )


def _tiny(record: Record) -> Found:
    for name in record.names:
        if name.count >= TINY_COUNT and name.mean < TINY_SECONDS:
            yield Finding(
                WARN,
                f"`{name.name}`: {count(name.count)} tasks of {seconds(name.mean)} each. Dask needs up to "
                "1 ms for a task of its own: they are too small, batch them.",
            )


def _heavy(record: Record) -> Found:
    if len(record.names) < 2 or record.computing < LEAST_SECONDS:  # noqa: PLR2004
        return
    first = record.names[0]
    if first.seconds >= 0.5 * record.computing:
        yield Finding(
            INFO,
            f"{percent(first.seconds, record.computing)} of the computing time is `{first.name}`: "
            f"{counted(first.count, 'task')} of {seconds(first.mean)} on average.",
        )


def _uneven(record: Record) -> Found:
    for name in record.names:
        if name.count >= 10 and name.longest >= 10 * name.mean and name.longest >= LEAST_SECONDS:  # noqa: PLR2004
            yield Finding(
                INFO,
                f"The longest task of `{name.name}` took {seconds(name.longest)}, the average one "
                f"{seconds(name.mean)}: the work is divided unevenly.",
            )


def _waiting_tasks(record: Record) -> Found:
    waiting = [
        f"`{name.name}` ({percent(name.processor, name.seconds)})"
        for name in record.names
        if name.processor is not None
        and name.seconds >= 2 * LEAST_SECONDS
        and name.processor < 0.2 * name.seconds
    ]
    if waiting and not record.run.shared:
        yield Finding(
            INFO,
            f"Little of their time on the processor: {_list(waiting)}. They wait, for data from outside or for "
            "a free core; if it is data, more threads per worker let more of them wait at once.",
        )


def _moving(record: Record) -> Found:
    took = sum(name.transfer for name in record.names)
    if took >= LEAST_SECONDS and took >= 0.3 * record.computing:
        more = "longer than" if took > record.computing else "beside"
        yield Finding(
            WARN,
            f"Tasks waited {seconds(took)} for data of other workers, {more} {seconds(record.computing)} of "
            "computing: fewer, larger pieces travel less.",
        )


def _spilled(record: Record) -> Found:
    workers = [worker for worker in record.workers if worker.spilled]
    if workers:
        each = _list([f"{one.name} ({size(one.spilled)})" for one in _most(workers, "spilled")])
        yield Finding(
            WARN, f"Memory was short, results went to disk on {each}: give workers more memory, or smaller pieces."
        )  # fmt: skip
        return
    full = [one for one in record.workers if one.limit and one.peak >= FULL * one.limit]
    if full:
        each = _list(
            [f"{one.name} ({percent(one.peak, one.limit)})" for one in _most(full, "peak")]
        )
        yield Finding(WARN, f"Memory was nearly full on {each}.")


def _disk(record: Record) -> Found:
    took = sum(name.disk for name in record.names)
    if took >= LEAST_SECONDS and took >= 0.1 * record.computing:
        yield Finding(
            WARN, f"Tasks waited {seconds(took)} for results to come from the disk or go there."
        )


def _imbalance(record: Record) -> Found:
    stayed = [one for one in record.workers if one.joined is None and one.left is None]
    if len(stayed) < 2 or record.run.shared or not record.tasks:  # noqa: PLR2004
        return
    idle = [worker.name for worker in stayed if not worker.tasks]
    if idle and record.computing >= LEAST_SECONDS:
        yield Finding(WARN, f"{_list(idle)} did no task at all.")
        return
    most, least = (
        max(stayed, key=lambda one: one.seconds / max(1, one.threads)),
        min(stayed, key=lambda one: one.seconds / max(1, one.threads)),
    )
    if most.seconds >= LEAST_SECONDS and most.seconds >= 2 * least.seconds:
        yield Finding(
            INFO,
            f"{most.name} computed {seconds(most.seconds)}, {least.name} {seconds(least.seconds)}: the work "
            "was not spread evenly.",
        )


def _left(record: Record) -> Found:
    lost = [one.name for one in record.workers if one.left is not None and not one.rerun]
    if lost and not record.run.elastic:
        yield Finding(INFO, f"{_list(lost)} went away during the run; no task had to be run again.")


PHASES = {
    "prepare": "finding the flow and checking its parameters",
    "scheduler": "waiting for the scheduler",
    "workers": "waiting for workers",
}  # fmt: skip
_RULES: tuple[Callable[[Record], Found], ...] = (
    _failed, _rerun, _retried, _spilled, _disk, _tiny, _moving, _tail, _waited, _imbalance, _start_up,
    _heavy, _uneven, _waiting_tasks, _left, _no_tasks,
)  # fmt: skip


def _most(workers: list[Worker], field: str) -> list[Worker]:
    return sorted(workers, key=lambda worker: -int(getattr(worker, field)))


def _list(names: list[str]) -> str:
    """Write ``a``, ``a and b`` or ``a, b, c and 4 others``."""
    unique = list(dict.fromkeys(names))
    if len(unique) > SHOWN + 1:
        unique = [*unique[:SHOWN], f"{len(unique) - SHOWN} others"]
    *first, last = unique
    return f"{', '.join(first)} and {last}" if first else last
