"""Which packages must be the same in runner, scheduler and workers, and how a difference is shown."""

import pytest

from dask_flows.compatibility import (
    COMPRESSION,
    FATAL,
    RULED,
    RULES,
    WARNING,
    Needs,
    fatal,
    grouped,
    read_versions,
    table,
)

BASE: dict[str, str | None] = {
    "python": "3.11.2", "dask": "2026.8.0", "distributed": "2026.8.0", "cloudpickle": "3.1.2",
    "msgpack": "1.2.4", "tornado": "6.6.1", "lz4": "4.4.5", "python-snappy": None, "zstandard": None,
    "numpy": "2.4.6", "toolz": "1.1.0",
}  # fmt: skip
SAME, DEAD, WARNED = None, FATAL, WARNING


def needs(**changes):
    return Needs(**{"runner": BASE, "imported": {"numpy": "numpy"}, **changes})


def without(package):
    return {name: version for name, version in BASE.items() if name != package}


@pytest.mark.parametrize(
    ("package", "other", "level", "strict"),
    [
        ("python", "3.11.9", SAME, DEAD),
        ("python", "3.12.2", DEAD, DEAD),
        ("dask", "2026.8.1", DEAD, DEAD),
        ("dask", "2026.8.0+12.gabc", DEAD, DEAD),
        ("dask", None, DEAD, DEAD),
        ("distributed", "2026.7.0", DEAD, DEAD),
        ("cloudpickle", "3.0.0", SAME, DEAD),
        ("cloudpickle", "2.2.1", DEAD, DEAD),
        ("msgpack", "1.0.0", SAME, DEAD),
        ("msgpack", "0.6.2", DEAD, DEAD),
        ("tornado", "6.4", SAME, DEAD),
        ("tornado", "5.1", DEAD, DEAD),
        ("lz4", "3.0.0", SAME, DEAD),
        ("lz4", None, WARNED, DEAD),
        ("zstandard", "0.23.0", WARNED, DEAD),
        ("numpy", "2.4.7", WARNED, DEAD),
        ("numpy", "1.26.0", WARNED, DEAD),
        ("numpy", None, DEAD, DEAD),
        ("toolz", "0.12.0", SAME, DEAD),
        ("a-package-that-one-side-names", "1", SAME, DEAD),
    ],
)
def test_a_worker_with_another_version(package, other, level, strict):
    """Each package has the rule of the table; --strict-environment makes every difference fatal."""
    workers = {"pod-1": BASE, "pod-2": {**BASE, package: other}}
    found = needs().compare(BASE, workers)
    assert [(row.package, row.level) for row in found] == ([(package, level)] if level else [])
    found = needs(strict=True).compare(BASE, workers)
    assert [row.package for row in fatal(found)] == ([package] if strict else [])


@pytest.mark.parametrize(
    ("package", "other", "level"),
    [
        ("python", "3.12.2", DEAD), ("dask", "2026.7.0", DEAD), ("lz4", None, WARNED),
        ("numpy", "2.3.0", WARNED), ("numpy", None, WARNED),
    ],
)  # fmt: skip
def test_a_scheduler_with_another_version(package, other, level):
    """The same rules hold for the scheduler, but what the flow imports is only a warning there."""
    found = needs().compare({**BASE, package: other}, {"pod-1": BASE})
    assert [(row.package, row.level) for row in found] == [(package, level)]


@pytest.mark.parametrize("package", ["lz4", "zstandard", "python-snappy"])
def test_compression_that_is_in_use(package):
    """A compression library that only one side has is fatal where Dask compresses what it sends."""
    other = {**BASE, package: None if BASE[package] else "1"}
    found = needs(compresses=True).compare(BASE, {"pod-1": other})
    assert [(row.package, row.level) for row in found] == [(package, FATAL)]


@pytest.mark.parametrize(
    ("package", "level"),
    [("python", WARNED), ("dask", WARNED), ("msgpack", WARNED), ("lz4", SAME), ("numpy", WARNED)],
)
def test_what_nobody_has_said(package, level):
    """An unknown version is shown as "?" and is a warning; a library that may be absent is not worth one."""
    for scheduler, workers in [
        (without(package), {"pod-1": BASE}),
        (BASE, {"pod-1": without(package)}),
    ]:
        found = needs().compare(scheduler, workers)
        assert [(row.package, row.level) for row in found] == ([(package, level)] if level else [])
        assert all("?" in table([row]) for row in found)


def test_unknown_does_not_hide_a_difference():
    """One worker that says nothing does not make another's wrong version harmless."""
    workers = {"pod-1": {}, "pod-2": {**BASE, "dask": "2025.1.0"}}
    assert [row.package for row in fatal(needs().compare(BASE, workers))] == ["dask"]


def test_all_the_same():
    """A cluster of one image has nothing to tell, however strict."""
    workers = {f"pod-{n}": BASE for n in range(100)}
    assert needs(strict=True, compresses=True).compare(BASE, workers) == []


def test_a_cluster_without_workers_or_scheduler():
    """A scheduler that is left out is not compared, and no workers cannot differ."""
    assert needs(strict=True).compare(None, {"pod-1": BASE}) == []
    assert needs(strict=True).compare(BASE, {}) == []


def test_the_table():
    """The table has a row for each package that differs, fatal ones first, and groups the workers by value."""
    workers = {f"pod-{n}": BASE for n in range(6)}
    workers["pod-4"] = workers["pod-5"] = {**BASE, "numpy": "2.3.0", "python": "3.12.1"}
    found = needs().compare({**BASE, "numpy": "2.3.0"}, workers)
    lines = [
        [cell.strip() for cell in line.split("   ") if cell] for line in table(found).splitlines()
    ]
    assert lines == [
        ["PACKAGE", "RUNNER", "SCHEDULER", "WORKERS", "WHY"],
        [
            "python", "3.11.2", "3.11.2", "3.11.2 (4 workers), 3.12.1 (pod-4, pod-5)",
            "functions travel as bytecode, which each minor version changes",
        ],
        [
            "numpy", "2.4.6", "2.3.0", "2.3.0 (pod-4, pod-5), 2.4.6 (4 workers)",
            "the flow imports it, and tasks need it on the workers",
        ],
    ]  # fmt: skip
    starts = {
        line.index(cell)
        for line, cell in zip(
            table(found).splitlines(), ("WHY", "functions", "the flow"), strict=True
        )
    }
    assert len(starts) == 1, "columns are aligned"


@pytest.mark.parametrize(
    ("workers", "text"),
    [
        ({}, "none"),
        ({"a": "1"}, "1 (a)"),
        ({"a": "1", "b": "1"}, "1"),
        ({"a": "1", "b": "2"}, "1 (a), 2 (b)"),
        ({"d": "1", "c": "1", "b": "1", "a": "2"}, "1 (b, c, d), 2 (a)"),
        ({"e": "1", "d": "1", "c": "1", "b": "1", "a": "missing"}, "1 (4 workers), missing (a)"),
    ],
)
def test_grouped_workers(workers, text):
    """Few workers are named, many are counted; if all are alike, none is."""
    assert grouped(workers) == text


@pytest.mark.parametrize(
    ("answer", "read"),
    [
        ({"packages": {"dask": "1", "lz4": None}}, {"dask": "1", "lz4": None}),
        ({"packages": [("dask", "1"), ["lz4", None]]}, {"dask": "1", "lz4": None}),
        ({"packages": {"python": "3.11.2.final.0"}}, {"python": "3.11.2"}),
        ({"packages": {"dask": 1}}, {"dask": "1"}),
        ({"packages": 7}, {}),
        ({"packages": [1, 2]}, {}),
        ({"packages": None}, {}),
        ({}, {}),
        (None, {}),
        ("error", {}),
        (ValueError("no"), {}),
    ],
)
def test_answers_of_other_releases(answer, read):
    """Whatever a release of Dask answers is read as far as it goes, and never raises."""
    assert read_versions(answer) == read


def test_rules_are_complete():
    """Each package has one rule, with a reason in a sentence."""
    assert len(set(RULED)) == len(RULED)
    assert all(len(rule.reason.split()) >= 4 for rule in (*RULES, *COMPRESSION))
