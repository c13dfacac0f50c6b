"""A watch that tells nothing for a while."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from dask_flows.kube.informer import Informer


@contextmanager
def deaf(informer: Informer[Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let a watch be silent for a while, and tell everything at once afterwards."""
    see, missed = informer._see, []
    with monkeypatch.context() as patch:
        patch.setattr(informer, "_see", missed.append)
        yield
    for event in missed:
        see(event)
