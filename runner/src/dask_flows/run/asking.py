"""From what somebody asks, on the command line or in Python, to a request and to the cluster that it wants."""

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from dask_flows.clusters import Asked, Wanted, choose
from dask_flows.clusters.client_options import check_client_kwargs
from dask_flows.config import Environment
from dask_flows.names import run_tag
from dask_flows.run.finding import factory_of, name_of
from dask_flows.run.request import Request


def ask(
    asked: Asked,
    environment: Environment,
    *,
    client_kwargs: Mapping[str, Any] | None = None,
    **rest: Any,
) -> Request:
    """Decide about the cluster; ``rest`` are other fields of the request. Raises UsageError."""
    choice = choose(asked, environment)
    options = dict(client_kwargs or {})
    check_client_kwargs(options, mode=choice.mode)
    return Request(
        mode=choice.mode,
        origin=choice.origin,
        address=choice.address,
        dashboard=choice.dashboard,
        minimum=choice.minimum,
        maximum=choice.minimum,
        workers=asked.workers,
        threads=asked.threads,
        memory=asked.memory,
        cluster_class=asked.cluster_class,
        cluster_kwargs=dict(asked.cluster_kwargs or {}),
        adapt=asked.adapt,
        client_kwargs=options,
        **rest,
    )


@contextmanager
def wanted_by(request: Request) -> Iterator[Wanted]:
    """Give what the request wants of a cluster; raises UsageError for a wrong cluster class."""
    attempt = request.attempt
    uid, number = (attempt.uid, attempt.attempt) if attempt else (str(uuid.uuid4()), 1)
    with factory_of(request) as factory:
        name = _class_name(request.cluster_class)
        if factory is not None:
            from dask_flows.clusters.custom import check_arguments

            check_arguments(name, factory, request.cluster_kwargs)
        yield Wanted(
            mode=request.mode,
            tag=run_tag(uid, number),
            origin=request.origin,
            address=request.address,
            dashboard=request.dashboard,
            minimum=request.minimum,
            maximum=request.maximum,
            workers=request.workers,
            threads=request.threads,
            memory=request.memory,
            factory=factory,
            cluster_class=name,
            cluster_kwargs=request.cluster_kwargs,
            adapt=request.adapt,
            client_kwargs=request.client_kwargs,
            show_dashboard=request.show_dashboard,
            equip=attempt is None,
            scheduler_timeout=request.scheduler_timeout,
            workers_timeout=request.workers_timeout,
        )


def _class_name(cluster_class: str | Callable[..., Any] | None) -> str:
    if cluster_class is None:
        return ""
    return cluster_class if isinstance(cluster_class, str) else name_of(cluster_class)
