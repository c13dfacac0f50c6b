"""From Kubernetes resources to Dask's ``--nthreads`` and ``--memory-limit``.

The chart applies the same rule in ``templates/dask/_sizing.tpl``; both are tested with one table,
``tests/data/sizing.yaml``. Dask must always be told: left alone it counts the node's cores, and takes
only a share of the container's memory (``memory limit x threads / cores``).
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from dask_flows.errors import UsageError

_SUFFIXES = {
    "m": Decimal("0.001"),
    "": Decimal(1),
    **{unit: Decimal(1000) ** n for n, unit in enumerate("kMGTPE", start=1)},
    **{unit: Decimal(1024) ** n for n, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)},
}
_QUANTITY = re.compile(
    r"(?P<number>\d+(\.\d*)?|\.\d+)(?P<exponent>[eE][+-]?\d+)?(?P<suffix>[A-Za-z]*)"
)


def quantity(value: str | float) -> Decimal:
    """Read a Kubernetes quantity such as ``500m``, ``1.5``, ``4Gi`` or ``1e9``; raises UsageError."""
    match = _QUANTITY.fullmatch(str(value).strip())
    if match is None or match["suffix"] not in _SUFFIXES:
        raise UsageError(
            f"{value!r} is not a Kubernetes quantity", do="write it like 500m, 2, 512Mi or 4Gi"
        )
    number = Decimal(match["number"] + (match["exponent"] or ""))
    return number * _SUFFIXES[match["suffix"]]


def nthreads(resources: Mapping[str, Any], threads: int | None = None) -> int:
    """Return ``threads``, else the CPU limit (else the request) rounded up, else 1."""
    if threads is not None:
        return threads
    cpu = _first(resources, "cpu")
    return 1 if cpu is None else max(1, int(cpu.to_integral_value(rounding="ROUND_CEILING")))


def memory_limit(resources: Mapping[str, Any]) -> int:
    """Return the memory limit (else the request) in bytes, else 0, which means no limit to Dask."""
    memory = _first(resources, "memory")
    return 0 if memory is None else int(memory)


def _first(resources: Mapping[str, Any], name: str) -> Decimal | None:
    for kind in ("limits", "requests"):
        value = (resources.get(kind) or {}).get(name)
        if value is not None:
            return quantity(value)
    return None
