"""The soak uses the cluster program, which is one of this repository and not an installed package."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "ci" / "cluster"))
