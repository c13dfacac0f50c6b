"""Run a soak: `python tests/soak --minutes 3 --seed 1`."""

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
# As tests/pytest.ini does it; the cluster program is one of this repository, not a package.
sys.path[:0] = [str(TESTS), str(TESTS / "cluster"), str(TESTS.parent / "ci" / "cluster")]

from soak.cli import main  # noqa: E402 - found only with the paths above

sys.exit(main(sys.argv[1:]))
