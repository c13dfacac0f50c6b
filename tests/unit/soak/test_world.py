"""The soak asks until it is answered: an outage is what it makes, not what it fails of."""

import http.client
from typing import Any

import pytest

from kube import Kube
from soak import world

HALF = http.client.IncompleteRead(b"half")


@pytest.mark.parametrize(
    "trouble", [HALF, ConnectionRefusedError(), http.client.RemoteDisconnected()], ids=repr
)
def test_what_an_outage_cuts_off_is_asked_again(
    trouble: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also an answer that ends in its middle."""
    answers: list[Any] = [trouble, trouble, {"items": []}]

    def request(*_: Any) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(Kube, "request", request)
    monkeypatch.setattr(world.time, "sleep", lambda _: None)

    assert world.PatientKube("http://127.0.0.1:1", "ns").list("pods") == []


def test_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """What never comes back is an error."""

    def request(*_: Any) -> Any:
        raise HALF

    monkeypatch.setattr(Kube, "request", request)
    monkeypatch.setattr(world, "PATIENCE", -1.0)

    with pytest.raises(http.client.IncompleteRead):
        world.PatientKube("http://127.0.0.1:1", "ns").list("pods")
