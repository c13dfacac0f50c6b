"""Names and labels of what belongs to a run.

Names hold the FlowRun's UID, so a FlowRun that is deleted and made again never meets the objects of the
first one; they are valid DNS-1035 labels (Services need that) and at most 53 characters long, which
leaves room for every suffix Kubernetes adds.
"""

import hashlib
import re

_ATTEMPT = re.compile(r"f-[a-z0-9-]{1,30}-[0-9a-f]{8}-[0-9]+(?![^-])")
GROUP = "dask-flows.dev"
MANAGER = "dask-flows-agent"

LABEL_INSTANCE = "app.kubernetes.io/instance"
LABEL_COMPONENT = "app.kubernetes.io/component"
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
LABEL_RUN = f"{GROUP}/run"
LABEL_RUN_UID = f"{GROUP}/run-uid"
LABEL_ATTEMPT = f"{GROUP}/attempt"
LABEL_CLUSTER = f"{GROUP}/cluster"
LABEL_OVER = f"{GROUP}/over"  # on the Job of an attempt whose end is recorded: nobody waits for it

ANNOTATION_TOKEN = f"{GROUP}/token-sha256"
ANNOTATION_PLAN = f"{GROUP}/plan"
ANNOTATION_POD_HASH = f"{GROUP}/pod-hash"
ANNOTATION_TARGET = f"{GROUP}/target-config"


def slug(text: str, limit: int) -> str:
    """Return lower-case letters, digits and single dashes, at most ``limit`` long, no dash at either end."""
    cleaned = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return cleaned[:limit].rstrip("-") or "x"


def attempt_name(run: str, uid: str, attempt: int) -> str:
    """Name an attempt: readable, unique for (UID, attempt), the same every time it is asked for."""
    digest = hashlib.sha256(uid.encode()).hexdigest()[:8]
    return f"f-{slug(run, 30)}-{digest}-{attempt}"


def attempt_of(name: str) -> str:
    """Return the attempt's name that an object's name begins with, or an empty text."""
    found = _ATTEMPT.match(name)
    return found[0] if found else ""


def scheduler_name(base: str) -> str:
    """Name the scheduler's pod and Service of an attempt."""
    return f"{base}-scheduler"


def worker_name(base: str, number: int) -> str:
    """Name a worker pod; numbers start at 0 and are never used twice within an attempt."""
    return f"{base}-worker-{number}"


def worker_number(base: str, name: str) -> int | None:
    """Return the number in a worker's name, or None if it is not a worker of this attempt."""
    prefix, number = f"{base}-worker-", name.removeprefix(f"{base}-worker-")
    return int(number) if name.startswith(prefix) and number.isdecimal() else None


def run_tag(uid: str, attempt: int) -> str:
    """Return the tag that an attempt's tasks carry in Dask."""
    return f"dask-flows:{uid}:{attempt}"


def attempt_labels(run: str, uid: str, attempt: int, component: str) -> dict[str, str]:
    """Return the labels that every object of an attempt carries."""
    return {
        LABEL_MANAGED_BY: MANAGER,
        LABEL_COMPONENT: component,
        LABEL_RUN: run,
        LABEL_RUN_UID: uid,
        LABEL_ATTEMPT: str(attempt),
    }
