"""The chart cannot start an agent with a failpoint: what it is started with is not up to values."""

from typing import Any

import pytest

from chart.pods import containers, pod_templates
from chart.render import RenderError, ci_values, render, values

EVERY = {**ci_values(), "local": values(mode="local")}
KNOWN = {"--config", "--log-level", "--log-format", "--metrics-port"}


@pytest.mark.parametrize("case", EVERY)
def test_the_agent_gets_these_arguments_and_no_others(case: str) -> None:
    """Whatever the values are."""
    pods = pod_templates(render(EVERY[case]))
    (agent,) = (pod for where, pod in pods.items() if where.endswith("-agent"))
    (container,) = containers(agent)

    assert container["args"][0] == "agent"
    assert set(container["args"][1::2]) == KNOWN
    assert len(container["args"]) == 1 + 2 * len(KNOWN)
    assert "failpoint" not in str(container)


@pytest.mark.parametrize(
    "agent",
    [
        {"args": ["--failpoint", "job:after"]},
        {"extraArgs": ["--failpoint", "job:after"]},
        {"command": ["dask-flows", "agent", "--failpoint", "job:after"]},
        {"failpoint": "job:after"},
        {"logLevel": "info --failpoint job:after"},
    ],
    ids=lambda agent: next(iter(agent)),
)
def test_no_value_adds_an_argument(agent: dict[str, Any]) -> None:
    """The schema has no such value."""
    with pytest.raises(RenderError):
        render(values(agent=agent))
