"""Rules of parameters in the agent: what no attempt can take is refused before anything is made for it."""

import json
from typing import Any

import pytest

from dask_flows.agent.views import RunView
from dask_flows.flowrun import DEEPEST_PARAMETERS, LARGEST_PARAMETERS
from dask_flows.kube.resources import SECRETS
from fakes.stage import playing
from samples import flow_run_data

SPARE = len(json.dumps({"x": ""}))
TOO_LARGE = {"x": "y" * (LARGEST_PARAMETERS - SPARE + 1)}
STORAGE = "put the data into storage and pass its address"


def nested(levels: int) -> dict[str, Any]:
    """Return parameters of so many levels, their own included."""
    inner: Any = None
    for _ in range(levels - 1):
        inner = [inner]
    return {"x": inner}


FIT = {
    "exactly 64 KiB": {"x": "y" * (LARGEST_PARAMETERS - SPARE)},
    "exactly 64 KiB of two bytes each": {"x": "ß" * ((LARGEST_PARAMETERS - SPARE) // 2)},
    "nulls": {"x": None, "y": [None, {"z": None}]},
    "as deep as they may be": nested(DEEPEST_PARAMETERS),
}
REFUSED = {
    "one byte more": (TOO_LARGE, "parameters are 65 KiB, at most 64 are possible"),
    "two bytes each": ({"x": "ß" * 36_000}, "parameters are 71 KiB, at most 64 are possible"),
    "1.3 MiB": ({"x": "y" * 1_363_149}, "parameters are 1332 KiB, at most 64 are possible"),
    "one level more": (nested(DEEPEST_PARAMETERS + 1), "nested more than 500 levels deep"),
    "far too deep": (nested(900), "nested more than 500 levels deep"),
}


@pytest.mark.looptime
@pytest.mark.parametrize("parameters", FIT.values(), ids=FIT)
async def test_what_fits_reaches_the_runner(parameters: dict[str, Any]) -> None:
    """Row 29: as it was given, and no byte of it is lost."""
    async with playing("static") as stage:
        stage.submit(parameters=parameters)
        await stage.started()
        (secret,) = stage.api.names(SECRETS)
        held = stage.api.read(SECRETS, secret)["stringData"]["parameters.json"]

        assert json.loads(held) == parameters
        assert len(held.encode()) <= LARGEST_PARAMETERS


@pytest.mark.looptime
@pytest.mark.parametrize("mode", ["static", "ephemeral"])
async def test_what_does_not_fit_ends_the_run_and_the_others_go_on(
    mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Row 29: each ends with InvalidSpec and what to do; nothing is made for it, not even an attempt."""
    async with playing(mode) as stage:
        for number, (parameters, _) in enumerate(REFUSED.values()):
            stage.submit(f"refused-{number}", parameters=parameters)
        for number, (_, found) in enumerate(REFUSED.values()):
            name = f"refused-{number}"
            await stage.until(lambda name=name: stage.status(name).get("finishTime"))  # type: ignore[misc]
            message = stage.status(name)["message"]

            assert stage.phase(name) == "Failed/InvalidSpec"
            assert found in message
            assert "(spec.parameters): " in message
            assert message.endswith(STORAGE)
            assert "attempt" not in stage.status(name)
        made = {kind for verb, kind, _ in stage.api.writes if verb == "create"}
        assert made <= {"events"}

        stage.submit("plain")
        await (await stage.started("plain")).finish(stage.channel)
        await stage.cleaned("plain")

        assert stage.phase("plain") == "Succeeded"
        assert not [r for r in caplog.records if r.exc_info]


@pytest.mark.looptime
async def test_a_suspended_run_is_told_at_once() -> None:
    """Nobody waits for a run that will not begin."""
    async with playing("static") as stage:
        stage.submit(parameters=TOO_LARGE, suspend=True)
        await stage.until(lambda: stage.phase() == "Failed/InvalidSpec")


@pytest.mark.parametrize(
    ("phase", "refused"),
    [
        (None, True),
        ("Pending", True),
        ("Suspended", True),
        ("Starting", False),
        ("Running", False),
        ("Succeeded", False),
    ],
)
def test_an_attempt_that_has_begun_goes_on(phase: str | None, refused: bool) -> None:
    """It has its parameters, from an agent without this rule; its user can still cancel it."""
    obj = flow_run_data(flow="a.b:c", parameters=TOO_LARGE, cancel=True)
    view = RunView.of({**obj, "status": {"phase": phase, "attempt": 1} if phase else None})

    assert bool(view.invalid) is refused
    assert view.run.spec.cancel
    assert view.run.spec.parameters == {}
