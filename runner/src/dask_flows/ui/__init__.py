"""What a run writes: lines for people, a progress bar on a terminal, or JSON lines for programs.

Everything goes to standard output, so that ``kubectl logs`` alone tells the story. A program reads
``--output json``: one object per line with ``time`` and ``event``, and nothing else.
"""

import sys
from typing import TextIO

from dask_flows.deadline import Clock
from dask_flows.ui.base import Ui, shorten
from dask_flows.ui.jsonlines import JsonLines
from dask_flows.ui.plain import Plain
from dask_flows.ui.terminal import Terminal

__all__ = ["JsonLines", "Plain", "Terminal", "Ui", "make_ui", "shorten"]


def make_ui(
    output: str, clock: Clock, *, color: bool, dumb: bool = False, stream: TextIO | None = None
) -> Ui:
    """Return what writes in this form: ``json``, or ``text`` as the stream allows.

    A ``dumb`` terminal has no cursor to move.
    """
    stream = stream or sys.stdout
    if output == "json":
        return JsonLines(stream, clock)
    if stream.isatty() and not dumb:
        return Terminal(stream, clock, color=color)
    return Plain(stream, clock)
