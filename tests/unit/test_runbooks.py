"""Rules of the runbooks: one page per reason, nothing else, and what pages quote is what a real cluster made."""

import ast
import re
from pathlib import Path

import pytest

from dask_flows.agent.verdict import ending_of, why_waiting
from unit import test_recordings as recorded

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "runner" / "src" / "dask_flows"
PAGES = ROOT / "docs" / "runbooks"
WORD = re.compile(r"[A-Z][a-z]+([A-Z][a-z]+)*")
# Calls whose texts are reasons, by the position of the reason.
NAMING = {
    "Diagnosis": 0, "Stop": 0, "intended": 0, "Ending": 1, "Hold": 1, "held": 1, "diagnose_refusal": 0,
}  # fmt: skip
# Words at such places that are no reason of a run: of a base class, a pod's, a condition's, an intent's.
OTHER = {"KubernetesError", "DuplicateStart", "NodeUnreachable", "Suspended"}
QUOTED = {
    "ImagePull": ["image-not-found"],
    "ContainerStart": ["secret-missing", "volume-configmap-missing", "program-missing"],
    "Unschedulable": ["too-much-cpu"],
    "QuotaExceeded": ["quota", "quota-without-limit"],
    "Forbidden": ["limit-range", "account-missing"],
    "OutOfMemory": ["out-of-memory"],
    "Evicted": ["volume-full", "evicted-by-api"],
    "Preempted": ["preempted"],
    "NodeLost": ["node-removed"],
    "JobDeleted": ["job-deleted"],
    "RunnerDeleted": ["pod-deleted"],
    "FlowFailed": ["sigkill"],
}


def reasons() -> set[str]:
    """Return every reason that the package can name."""
    trees = [ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py")]
    found = {word for tree in trees for node in ast.walk(tree) for word in _named(node)}
    return {word for word in found if WORD.fullmatch(word)} - OTHER


def _named(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Call):
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        place = NAMING.get(name)
        values = node.args[place : place + 1] if place is not None else []
        values += [key.value for key in node.keywords if name == "Outcome" and key.arg == "reason"]
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        is_reason = any(getattr(target, "id", "") == "reason" for target in targets)
        values = [node.value] if is_reason and node.value is not None else []
    elif isinstance(node, ast.FunctionDef) and node.name == "refusal_reason":
        values = [part for part in ast.walk(node) if isinstance(part, ast.Constant)]
    else:
        values = []
    return [v.value for v in values if isinstance(v, ast.Constant) and isinstance(v.value, str)]


def message(name: str) -> str:
    """Return what status says for a recording."""
    if name in recorded.ENDS:
        ending = ending_of(recorded.observed(name, "Running"))
        assert ending is not None
        return ending.message
    found = why_waiting(recorded.observed(name, "Starting"))
    assert found is not None
    return found.message


def one_line(text: str) -> str:
    """Return a text without the breaks that make it readable."""
    return " ".join(text.split())


def test_every_reason_has_a_page_and_every_page_a_reason() -> None:
    """Who sees a word finds what to do, and nobody reads about a word that cannot come."""
    pages = {path.stem for path in PAGES.glob("*.md")} - {"README"}

    assert pages == reasons()


@pytest.mark.parametrize("index", ["runbooks/README.md", "reference/flowrun.md"])
def test_the_tables_of_reasons_are_complete(index: str) -> None:
    """The list of runbooks and the reference of the FlowRun name each of them."""
    linked = set(
        re.findall(
            r"\[([A-Z]\w+)\]\((?:\.\./runbooks/)?(\w+)\.md\)", (ROOT / "docs" / index).read_text()
        )
    )

    assert {page for word, page in linked if word == page} == reasons()


def test_the_schema_points_to_the_pages() -> None:
    """``kubectl explain flowrun.status.reason`` says where to look."""
    text = (ROOT / "charts/dask-flows/crds/flowruns.yaml").read_text()

    assert "each has a page in docs/runbooks" in text


@pytest.mark.parametrize(
    "page", sorted(path.stem for path in PAGES.glob("[A-Z]*.md") if path.stem != "README")
)
def test_a_page_says_what_it_means_how_to_look_and_what_to_do(page: str) -> None:
    """In this order, with commands to copy and an example of what is seen."""
    text = (PAGES / f"{page}.md").read_text()
    heads = re.findall(r"^## (.+)$", text, re.MULTILINE)

    assert heads == ["What you see", "What it means", "What to look at", "What to do"]
    assert "kubectl " in text.partition("## What to look at")[2].partition("## What to do")[0]
    assert "`" in text.partition("## What you see")[2].partition("## What it means")[0]


@pytest.mark.parametrize(("page", "name"), [(page, one) for page in QUOTED for one in QUOTED[page]])
def test_what_a_page_quotes_is_what_status_says(page: str, name: str) -> None:
    """Word by word, of a recording of a real cluster."""
    assert one_line(message(name)) in one_line((PAGES / f"{page}.md").read_text())
