"""Rule of the engines: every supported Helm makes the same of this chart."""

import pytest

from chart.render import Engine, RenderError, ci_values, programs, render, values


@pytest.fixture(params=["helm3", "helm4"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each supported Helm, as far as it is there; compared with the library."""
    if request.param not in programs():
        pytest.skip(f"{request.param} is not installed (make cluster builds it)")
    return programs()[request.param]


@pytest.mark.parametrize("name", ci_values())
def test_all_engines_render_alike(engine: Engine, name: str) -> None:
    """Helm 3 and 4, program and library: the same objects."""
    given = ci_values()[name]

    assert render(given, engine=engine).objects == render(given).objects


def test_all_engines_refuse_alike(engine: Engine) -> None:
    """By schema, and by the chart's own checks with the whole message."""
    with pytest.raises(RenderError, match="'mod' not allowed"):
        render(values(mod="static"), engine=engine)
    with pytest.raises(RenderError, match=r"(?s)no image is set.*minikube image load"):
        render({}, engine=engine)


def test_null_takes_a_default_away_everywhere(engine: Engine) -> None:
    """What ``--set key=null`` means differs between Helm versions in subcharts, not here."""
    given = values(
        runs={"ttlSecondsAfterFinished": None}, dask={"worker": {"resources": {"limits": None}}}
    )
    rendered = render(given, engine=engine)

    assert rendered.config["runs"]["ttlSecondsAfterFinished"] is None
    assert rendered.objects == render(given).objects
