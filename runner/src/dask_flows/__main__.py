"""Let ``python -m dask_flows`` do what the ``dask-flows`` command does."""

import sys

from dask_flows.cli import main

if __name__ == "__main__":
    sys.exit(main())
