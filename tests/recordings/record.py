"""Record what a real cluster says of every way in which a pod cannot start, or ends.

    python tests/recordings/record.py [CASE…]

Runs against the cluster that KUBECONFIG names, with rights to make namespaces, nodes, priority classes and
to advertise a resource on a node; all of it is removed at the end. ``IMAGE`` names an image with Python and
tini that the nodes have (default registry.local/dask-flows:dev). Takes about four minutes; the slowest case
waits until a node counts as lost. Each moment of a case becomes ``MOMENT.json`` in this folder: Job, pods,
their events and nodes as the API server gave them, less what no diagnosis reads (``masking.py``); names of
nodes, addresses, UIDs and times are replaced by ones that stay the same. Never edit a recording: change
``cases.py`` and record again.
"""

import json
import os
import secrets
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "cluster"), str(HERE.parents[1] / "runner/src")]

from kube import Kube, proxy  # noqa: E402 - the path is set above
from recordings.cases import CASES  # noqa: E402
from recordings.lab import Lab  # noqa: E402
from recordings.masking import mask  # noqa: E402
from recordings.plan import Case  # noqa: E402
from recordings.watching import Seen, Watching  # noqa: E402

AT_ONCE = 6
IMAGE = os.environ.get("IMAGE", "registry.local/dask-flows:dev")


def main(names: list[str]) -> int:
    """Record the named cases, or all; returns how many moments were not seen."""
    chosen = [case for case in CASES if not names or case.name in names]
    prefix = f"rec-{secrets.token_hex(3)}"
    with proxy() as url:
        lab = Lab(Kube(url, prefix), Kube(url, f"{prefix}-strict"), IMAGE)
        try:
            lab.build()
            with ThreadPoolExecutor(AT_ONCE) as pool:
                missed = list(pool.map(lambda case: _record(lab, case), chosen))
        finally:
            lab.clear()
    return sum(missed)


def _record(lab: Lab, case: Case) -> int:
    kube = lab.strict if case.strict else lab.kube
    wanted = dict(case.moments)
    acted = case.act is None
    with Watching(kube, lab.key(case)) as watching:
        lab.make(case)
        end = time.monotonic() + case.timeout
        for seen in watching.snapshots(lambda: end - time.monotonic()):
            if not acted and case.when(seen):
                acted = True
                assert case.act is not None
                case.act(lab, seen)
            for moment in [name for name, reached in wanted.items() if reached(seen)]:
                del wanted[moment]
                _save(lab, case, moment, seen)
                if moment in case.after:
                    case.after[moment](lab, seen)
            if acted and not wanted:
                break
    for moment in wanted:
        sys.stdout.write(f"NOT SEEN {moment} of {case.name}\n")
    lab.remove(case)
    return len(wanted)


def _save(lab: Lab, case: Case, moment: str, seen: Seen) -> None:
    kept = mask(seen.document(lab.nodes(seen)), lab.texts(case, seen))
    text = json.dumps({"about": case.about, "kubernetes": lab.version, **kept}, indent=1)
    (HERE / f"{moment}.json").write_text(f"{text}\n")
    sys.stdout.write(f"recorded {moment}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
