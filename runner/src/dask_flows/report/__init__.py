"""The report of a run: ``run.json`` for programs and ``report.html`` for people.

``model`` says what is kept, ``reading`` makes it of what the scheduler has recorded, ``findings`` puts it
into words, ``page`` draws it, ``writing`` writes it. Nothing here knows Dask, and nothing asks the clock.
"""

from dask_flows.report.masking import mask, mask_words
from dask_flows.report.model import Mark, Record, Run
from dask_flows.report.reading import read
from dask_flows.report.writing import DASK_REPORT, PAGE, prepare, save

__all__ = [
    "DASK_REPORT",
    "PAGE",
    "Mark",
    "Record",
    "Run",
    "mask",
    "mask_words",
    "prepare",
    "read",
    "save",
]
