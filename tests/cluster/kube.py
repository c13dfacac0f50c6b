"""A small view of the API for tests: JSON over ``kubectl proxy``, so every kind of kubeconfig works."""

import json
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Object = dict[str, Any]
PATHS = {
    "pods": "/api/v1", "services": "/api/v1", "configmaps": "/api/v1", "secrets": "/api/v1",
    "namespaces": "/api/v1", "events": "/api/v1", "jobs": "/apis/batch/v1",
    "deployments": "/apis/apps/v1", "leases": "/apis/coordination.k8s.io/v1",
    "networkpolicies": "/apis/networking.k8s.io/v1",
    "flowruns": "/apis/dask-flows.dev/v1alpha1", "roles": "/apis/rbac.authorization.k8s.io/v1",
}  # fmt: skip

# Said of FlowRuns for a moment after another test has installed their definition for the first time.
CRD_IS_NEW = "storage is (re)initializing"
CRD_TRIES = 20


class Kube:
    """Read and write objects of one namespace."""

    def __init__(self, url: str, namespace: str) -> None:
        self.url = url
        self.namespace = namespace

    def in_namespace(self, namespace: str) -> "Kube":
        """Return the same for another namespace."""
        return Kube(self.url, namespace)

    def request(self, method: str, path: str, body: Object | None = None, kind: str = "") -> Object:
        """Send one request; raises HTTPError with the server's message."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": kind or "application/json"}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        for last in (*[False] * CRD_TRIES, True):
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                error.msg = f"{error.msg}: {error.read().decode()[:500]}"
                if last or CRD_IS_NEW not in error.msg:
                    raise
            time.sleep(1)
        raise AssertionError("the last try returns or raises")

    def path(self, kind: str, name: str = "") -> str:
        """Return the URL path of a collection or an object."""
        collection = f"{PATHS[kind]}/namespaces/{self.namespace}/{kind}"
        return f"{collection}/{name}" if name else collection

    def list(self, kind: str, selector: str = "") -> list[Object]:
        """List objects, optionally by label."""
        query = f"?labelSelector={selector}" if selector else ""
        return self.request("GET", self.path(kind) + query)["items"]

    def get(self, kind: str, name: str) -> Object | None:
        """Read an object; None if it is not there."""
        try:
            return self.request("GET", self.path(kind, name))
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise

    def create(self, kind: str, body: Object) -> Object:
        """Create an object."""
        return self.request("POST", self.path(kind), body)

    def patch(self, kind: str, name: str, body: Object, sub: str = "") -> Object:
        """Merge into an object."""
        path = self.path(kind, name) + (f"/{sub}" if sub else "")
        return self.request("PATCH", path, body, "application/merge-patch+json")

    def delete(self, kind: str, name: str, grace: int | None = None) -> None:
        """Delete an object; one that is gone is fine."""
        body: Object = {"propagationPolicy": "Background"}
        if grace is not None:
            body["gracePeriodSeconds"] = grace
        try:
            self.request("DELETE", self.path(kind, name), body)
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise

    def logs(self, *args: str) -> str:
        """Return what ``kubectl logs`` prints."""
        return kubectl("logs", "-n", self.namespace, *args)

    def run_status(self, name: str) -> Object:
        """Return a FlowRun's status; empty before the agent has seen it."""
        run = self.get("flowruns", name)
        assert run is not None, f"FlowRun {name} is gone"
        return run.get("status") or {}

    def wait_run(self, name: str, *phases: str, timeout: float = 120) -> Object:
        """Wait for one of these phases, by default the end; returns the status."""
        wanted = phases or ("Succeeded", "Failed", "Cancelled")

        def reached() -> Object | None:
            status = self.run_status(name)
            return status if status.get("phase") in wanted else None

        return eventually(reached, timeout, lambda: f"{name}: {self.run_status(name)}")


def eventually(
    check: Callable[[], Any], timeout: float, explain: Callable[[], str] = lambda: ""
) -> Any:
    """Return the first true answer; fails after ``timeout`` seconds with the explanation."""
    end = time.monotonic() + timeout
    pause = threading.Event()
    while True:
        answer = check()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"not so within {timeout:g} s: {explain()}")
        pause.wait(0.2)


def kubectl(*args: str, check: bool = True, stdin: str | None = None, timeout: float = 180) -> str:
    """Run kubectl; returns its output; a failure shows both streams."""
    return run("kubectl", *args, check=check, stdin=stdin, timeout=timeout)


def run(*args: str, check: bool = True, stdin: str | None = None, timeout: float = 300) -> str:
    """Run a program; returns both streams together."""
    done = subprocess.run(
        args, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=timeout, check=False,
    )  # fmt: skip
    assert not check or done.returncode == 0, f"{' '.join(args)}\n{done.stdout}"
    return done.stdout


@contextmanager
def proxy() -> Iterator[str]:
    """Start ``kubectl proxy`` on a free port; yields its URL."""
    process = subprocess.Popen(
        ["kubectl", "proxy", "--port=0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        assert process.stdout is not None
        line = process.stdout.readline()  # Starting to serve on 127.0.0.1:41234
        try:
            yield f"http://{line.rsplit(' ', 1)[1].strip()}"
        finally:
            process.terminate()
