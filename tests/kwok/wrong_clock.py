"""Run the agent with a wrong time of day: FILE -m MODULE ARGUMENTS…; FILE says by how many seconds, at every look."""

import runpy
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dask_flows.deadline import SystemClock


def main() -> None:
    """Give the module a clock that is off; its monotonic one stays right, as on any machine."""
    file, _, module, *rest = sys.argv[1:]

    def now(_: SystemClock) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=float(Path(file).read_text()))

    SystemClock.now = now  # type: ignore[method-assign] - nothing else of the agent tells the time
    sys.argv = [module, *rest]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
