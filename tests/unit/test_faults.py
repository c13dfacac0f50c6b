"""Rules of the table of faults: each row is tried on every tier it wants, or says why not; tests and table agree."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TABLE: dict[int, dict[str, Any]] = yaml.safe_load((ROOT / "tests" / "faults.yaml").read_text())


def load() -> Any:
    """Return the program that writes the table."""
    spec = importlib.util.spec_from_file_location("faults", ROOT / "tools" / "faults.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


FAULTS = load()


def test_there_are_forty_rows() -> None:
    """None is forgotten, none is made up."""
    assert list(TABLE) == list(range(1, 41))


def test_the_table_is_as_the_program_writes_it() -> None:
    """Every tier has its tests or a reason; a test that is renamed, removed, moved or new is seen here."""
    found = FAULTS.rows_in_tests()

    assert FAULTS.wrong(TABLE, found) == []
    text = (ROOT / "tests" / "faults.yaml").read_text()
    assert text == FAULTS.text_of(FAULTS.filled(TABLE, found)), FAULTS.AGAIN


# What the table of one row, whose tests are those of ENTRY, must not be.
ENTRY: dict[str, Any] = {
    "fault": "it rains",
    "tiers": ["unit", "kwok", "pods"],
    "partly": {"kwok": "drizzle alone"},
    "left_out": {"pods": "no roof"},
    "tests": {"unit": ["unit/test_a.py::test_a"], "kwok": ["cluster/test_b.py::test_b"]},
}
FOUND: dict[str, Any] = ENTRY["tests"]
NEW = {**FOUND, "unit": [*FOUND["unit"], "unit/test_c.py::test_c"]}
Wrong = tuple[str, dict[str, Any], dict[str, Any], str]
WRONG: list[Wrong] = [
    ("a tier without test and reason", {"left_out": {}}, FOUND,
     "pods has no test, and left_out has no reason"),
    ("a wanted tier whose tests went", {"tests": {"unit": FOUND["unit"]}, "partly": {}}, {"unit": FOUND["unit"]},
     "kwok has no test, and left_out has no reason"),
    ("partly is no excuse for a tier without tests",
     {"left_out": {}, "partly": {"pods": "no roof"}}, FOUND,
     "pods is partly there and has no test: say in left_out why"),
    ("an empty reason", {"left_out": {"pods": ""}}, FOUND, "left_out says nothing of pods"),
    ("one reason for all", {"left_out": "no roof"}, FOUND, "left_out says nothing by tier"),
    ("an excuse for what is tested", {"left_out": {"pods": "no roof", "kwok": "no nodes"}}, FOUND,
     "kwok is left out and has tests: say in partly what they do not show"),
    ("an excuse for what nobody wants", {"left_out": {"pods": "no roof", "nodes": "one"}}, FOUND,
     "nodes is left out, and nobody wants it"),
    ("an unknown tier", {"tiers": ["unit", "moon"]}, FOUND, "unknown tier in tiers: moon"),
    ("an unknown tier with a reason", {"left_out": {"moon": "far"}}, FOUND, "unknown tier in left_out: moon"),
    ("no tier", {"tiers": []}, FOUND, "tiers is missing"),
    ("no fault", {"fault": ""}, FOUND, "fault is missing"),
    ("an unknown key", {"reason": "none"}, FOUND, "unknown key: reason"),
    ("a test that names the row and is in no list", {}, NEW,
     f"unit/test_c.py::test_c names it and is not in the list of unit: {FAULTS.AGAIN}"),
    ("a test that is gone", {}, {"unit": FOUND["unit"]},
     f"cluster/test_b.py::test_b is in the list of kwok and does not name it there: {FAULTS.AGAIN}"),
    ("a test in the list of another tier", {}, {"unit": FOUND["unit"], "pods": FOUND["kwok"]},
     f"cluster/test_b.py::test_b names it and is not in the list of pods: {FAULTS.AGAIN}"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "found", "line"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG]
)
def test_what_is_wrong_is_said(change: dict[str, Any], found: dict[str, Any], line: str) -> None:
    """Each mistake has its line; without one there is none."""
    assert FAULTS.wrong({7: ENTRY}, {7: FOUND}) == []

    assert f"row 7: {line}" in FAULTS.wrong({7: {**ENTRY, **change}}, {7: found})


def test_a_row_that_is_not_in_the_table_is_said() -> None:
    """A test cannot make one up."""
    lines = FAULTS.wrong({7: ENTRY}, {7: FOUND, 8: FOUND})

    assert lines == ["row 8: a test names it, and it is not there"]


SITE = "from kwok.site import site\n"
RELEASE = "from release import Release\n"
CONFTEST = f"{RELEASE}\ndef release(kube): return Release(kube)\ndef kube(): pass\n"
FIXTURE = "def installed(kube): return Release(kube)\ndef ended(installed): pass\n"
NAMED = '    """Row 7: it rains."""\n'
PLACES = {
    "in tests/unit": ("unit", "def test_x(anything):\n" + NAMED, "unit"),
    "itself sets up a site": ("cluster", f"{SITE}def test_x():\n{NAMED}    with site('x'): pass\n", "kwok"),
    "a function of its module does": (
        "cluster", f"{SITE}def up():\n    return site('x')\ndef test_x():\n{NAMED}    up()\n", "kwok"
    ),
    "a fixture of a fixture does": (
        "cluster", f"{RELEASE}{FIXTURE}def test_x(ended):\n{NAMED}", "pods"
    ),
    "a fixture of conftest does": ("cluster", "def test_x(release):\n" + NAMED, "pods"),
    "a site under another name": (
        "cluster", f"from kwok.site import site as made\ndef test_x():\n{NAMED}    made('x')\n", "kwok"
    ),
    "its neighbour's setting is not its own": (
        "cluster", f"{SITE}def test_y():\n    site('x')\nasync def test_x(release):\n{NAMED}", "pods"
    ),
}  # fmt: skip


def write(folder: Path, kind: str, code: str) -> Path:
    """Make a folder of tests with one test; returns the folder."""
    (folder / kind).mkdir(parents=True)
    (folder / kind / "conftest.py").write_text(CONFTEST)
    (folder / kind / "test_it.py").write_text(code)
    return folder


@pytest.mark.parametrize(("kind", "code", "tier"), PLACES.values(), ids=PLACES)
def test_the_tier_of_a_test(tmp_path: Path, kind: str, code: str, tier: str) -> None:
    """It follows from where the test is and what it sets up, itself or through what it uses."""
    found = FAULTS.rows_in_tests(write(tmp_path, kind, code))

    assert found == {7: {tier: [f"{kind}/test_it.py::test_x"]}}


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        pytest.param("cluster", f"def test_x(kube):\n{NAMED}", id="neither"),
        pytest.param("cluster", f"{SITE}def test_x(release):\n{NAMED}    site('x')\n", id="both"),
        pytest.param("chart", f"def test_x():\n{NAMED}", id="a folder without a tier"),
    ],
)
def test_a_test_whose_tier_nobody_can_tell(tmp_path: Path, kind: str, code: str) -> None:
    """It is refused and not guessed."""
    with pytest.raises(ValueError, match=f"{kind}/test_it.py::test_x: uses .*: use exactly one"):
        FAULTS.rows_in_tests(write(tmp_path, kind, code))
