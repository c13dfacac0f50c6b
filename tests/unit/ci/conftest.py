"""Make the cluster program importable: it is a program of this repository, not a package."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "ci" / "cluster"))
