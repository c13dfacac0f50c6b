"""Limits with real pods: never more runs than places, the oldest first, the others Queued with their place."""

import json
import re
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

import flows
from kube import Kube
from release import Release

FLOW = "dask_flows.selftest:diamond"
SMALL = {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}}
PLACE = re.compile(r"place (\d+) of (\d+): (.+)")


@pytest.fixture(scope="module")
def limited(shared: Kube) -> Kube:
    """One release with two places, one of them at most for the profile ``single``."""
    Release(shared).install(
        "local",
        agent={"maxConcurrentRuns": 2},
        runner={"resources": SMALL},
        profiles={"single": {"maxConcurrentRuns": 1}},
    )
    return shared


@dataclass
class Seen:
    """What a watch of the FlowRuns has told."""

    active: dict[str, bool] = field(default_factory=dict)
    most: int = 0
    most_of_profile: Counter[str] = field(default_factory=Counter)
    started: list[str] = field(default_factory=list)
    messages: dict[str, str] = field(default_factory=dict)
    profiles: dict[str, str] = field(default_factory=dict)

    def see(self, run: dict[str, Any]) -> None:
        """Take one copy of a FlowRun."""
        name, status = run["metadata"]["name"], run.get("status") or {}
        done = any(c["type"] == "CleanedUp" for c in status.get("conditions") or [])
        self.profiles[name] = run["spec"].get("profile", "")
        self.active[name] = bool(status.get("attempt")) and not done
        if self.active[name] and name not in self.started:
            self.started.append(name)
        if status.get("reason") == "Queued":
            self.messages.setdefault(name, status["message"])
        now = [name for name, active in self.active.items() if active]
        self.most = max(self.most, len(now))
        for profile, count in Counter(self.profiles[name] for name in now).items():
            self.most_of_profile[profile] = max(self.most_of_profile[profile], count)


@contextmanager
def watching(kube: Kube) -> Iterator[Seen]:
    """Follow the FlowRuns from now on: every change, not a sample; afterwards all have been seen."""
    version = kube.request("GET", kube.path("flowruns"))["metadata"]["resourceVersion"]
    url = f"{kube.url}{kube.path('flowruns')}?watch=1&timeoutSeconds=600&resourceVersion={version}"
    seen, end = Seen(), f"watch-{version}"
    with urllib.request.urlopen(url, timeout=600) as answer:

        def follow() -> None:
            for line in answer:
                run = json.loads(line)["object"]
                if end in (run["metadata"].get("annotations") or {}):
                    return
                seen.see(run)

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield seen
        finally:
            last = kube.list("flowruns")[0]["metadata"]["name"]
            kube.patch("flowruns", last, {"metadata": {"annotations": {end: ""}}})
            thread.join(60)
        assert not thread.is_alive(), "the watch has not told everything"


def run_all(kube: Kube, *names: str, **spec: Any) -> None:
    """Create runs, one after the other."""
    for name in names:
        kube.create("flowruns", flows.flow_run(name, flow=FLOW, **spec))


def test_eight_runs_with_two_places(limited: Kube) -> None:
    """Never three at once, pods included; all end, in order; who waits says at which place and why."""
    names = [f"run-{number}" for number in range(8)]
    with watching(limited) as seen:
        run_all(limited, *names)
        statuses = [limited.wait_run(name, timeout=240) for name in names]

    assert {status["phase"] for status in statuses} == {"Succeeded"}
    assert seen.most == 2
    # Two that get their places at the same moment may be written in either order.
    positions = {name: seen.started.index(name) for name in names}
    assert all(abs(positions[name] - number) <= 1 for number, name in enumerate(names))
    places = {name: PLACE.fullmatch(text) for name, text in seen.messages.items()}
    assert {"run-4", "run-5", "run-6", "run-7"} <= places.keys() <= set(names[2:])
    for found in places.values():
        assert found is not None
        assert int(found[1]) <= int(found[2]) <= 6
        assert found[3] == "at most 2 runs at a time (agent.maxConcurrentRuns)"


def test_a_profile_with_one_place(limited: Kube) -> None:
    """Its runs follow each other; a run without it takes the other place meanwhile."""
    with watching(limited) as seen:
        run_all(limited, "single-0", "single-1", profile="single")
        run_all(limited, "plain")
        for name in ("single-0", "single-1", "plain"):
            assert limited.wait_run(name, timeout=240)["phase"] == "Succeeded"

    assert seen.most_of_profile["single"] == 1
    assert seen.started.index("plain") <= 1
    assert "profiles.single.maxConcurrentRuns" in seen.messages["single-1"]
