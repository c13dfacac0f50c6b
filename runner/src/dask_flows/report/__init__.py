"""The report of a run: ``run.json`` for programs and ``report.html`` for people.

``model`` says what is kept, ``reading`` makes it of what the scheduler has recorded, ``findings`` puts it
into words, ``masking`` takes secrets out, ``page`` draws it, ``writing`` writes it. Nothing here knows Dask, and nothing asks the clock.
"""

from dask_flows.report.masking import WITHHELD, hide, reveals
from dask_flows.report.model import Mark, Record, Run
from dask_flows.report.reading import read
from dask_flows.report.writing import DASK_REPORT, PAGE, prepare, save

__all__ = [
    "DASK_REPORT",
    "PAGE",
    "WITHHELD",
    "Mark",
    "Record",
    "Run",
    "hide",
    "prepare",
    "read",
    "reveals",
    "save",
]
