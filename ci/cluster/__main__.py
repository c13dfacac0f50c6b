"""Run the one-node cluster program: `python3 ci/cluster COMMAND`."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - said before any import that needs it
    sys.exit("ci/cluster needs Python 3.11 or newer: apt-get install python3")

from onenode.cli import main

sys.exit(main(sys.argv[1:]))
