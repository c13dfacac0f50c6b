"""Create and remove objects so that a crash in the middle can be repeated, and nobody else's are ever taken."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from dask_flows.agent.attempt import Attempt
from dask_flows.agent.views import attempt_of, controller_of
from dask_flows.errors import UsageError
from dask_flows.kube.api import Api, Object, remove
from dask_flows.kube.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound
from dask_flows.kube.resources import Resource
from dask_flows.plan import Plan

# Hundreds of workers at once would use up the API server's share for this agent, and time out.
AT_ONCE = 20
T = TypeVar("T")


class NameCollision(UsageError):
    """An object of this name belongs to somebody else."""


async def create_or_adopt(api: Api, resource: Resource, plan: Plan, body: Object) -> Object:
    """Create an object of an attempt, or return the one an earlier try has made.

    Raises NameCollision if the name is taken by an object of another owner or attempt, and Conflict if
    the one that is there is being deleted.
    """
    name = body["metadata"]["name"]
    try:
        return await api.create(resource, plan.namespace, body)
    except AlreadyExists:
        found = await api.get(resource, plan.namespace, name)
    if (controller_of(found), attempt_of(found)) != (plan.uid, plan.attempt):
        raise NameCollision(
            f"{resource.kind} {name} exists and belongs to somebody else",
            where=f"namespace {plan.namespace}",
            do="delete it, or create the FlowRun under another name",
        )
    if "deletionTimestamp" in found["metadata"]:
        raise Conflict(f"{resource.kind} {name} is being deleted", where=plan.namespace)
    return found


async def remove_own(api: Api, resource: Resource, attempt: Attempt, name: str) -> None:
    """Delete an object of an attempt if it is there; somebody else's of the same name stays."""
    try:
        found = await api.get(resource, attempt.namespace, name)
    except NotFound:
        return
    if (controller_of(found), attempt_of(found)) != (attempt.uid, attempt.number):
        return
    try:
        await remove(api, resource, attempt.namespace, name, uid=found["metadata"]["uid"])
    except Invalid as error:  # so say admission rules; a deletion breaks no schema
        raise Forbidden(str(error), verb=error.verb, resource=error.resource) from error


async def together(*calls: Coroutine[Any, Any, T]) -> list[T]:
    """Do all, some at once, let all finish, then raise the first failure as it is, or return all results."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(call: Coroutine[Any, Any, T]) -> T:
        async with slots:
            return await call

    try:
        results = await asyncio.gather(*map(one, calls), return_exceptions=True)
    finally:
        for call in calls:  # when cancelled, some have never begun
            call.close()
    done: list[T] = []
    for result in results:
        if isinstance(result, BaseException):
            raise result
        done.append(result)
    return done
