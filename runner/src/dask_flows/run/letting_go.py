"""Let go of what an interrupted step has left half made."""

import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from dask_flows.run.cause import Stopped


def let_go(raised: BaseException) -> None:
    """Close what the frames of an exception hold: contexts that were entered and never registered.

    What complains of not being closed or awaited, because the interruption came in the middle of its
    making, is no news; nor is the error of an object's ``__del__`` that misses what its ``__init__`` has not
    come to.
    """
    with warnings.catch_warnings(), _no_word_of_half_made(raised):
        warnings.simplefilter("ignore")
        traceback.clear_frames(raised.__traceback__)


@contextmanager
def _no_word_of_half_made(raised: BaseException) -> Iterator[None]:
    """Say nothing of errors in ``__del__``; those of a flow that nobody has interrupted are its own."""
    before, here = sys.unraisablehook, threading.get_ident()
    if isinstance(raised, Stopped):
        sys.unraisablehook = lambda one: None if threading.get_ident() == here else before(one)
    try:
        yield
    finally:
        sys.unraisablehook = before
