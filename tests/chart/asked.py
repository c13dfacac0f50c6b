"""What modules ask of the Kubernetes API, read from their code: verbs by resource, as a Role names them."""

import ast
from collections.abc import Iterable, Iterator
from importlib import import_module
from inspect import getsource
from types import ModuleType

from dask_flows.kube.resources import Resource

# A method of the client, or what stands for some of them; an argument is the resource.
METHODS = ("get", "list", "create", "patch", "delete", "watch")
OTHERS = {
    "remove": {"delete"},
    "list_all": {"list"},
    "pages": {"list"},
    "create_or_adopt": {"create", "get"},
    "Informer": {"list", "watch"},
}
# They pass on what others name.
PASSING = {"dask_flows.agent.ownership", "dask_flows.agent.pace"}

Loops = dict[str, list[Resource]]


def asked(names: Iterable[str]) -> dict[str, set[str]]:
    """Return the verbs that these modules use; fails for a call whose resource it cannot tell."""
    found: dict[str, set[str]] = {}
    for name in sorted(set(names) - PASSING):
        module = import_module(name)
        tree = ast.parse(getsource(module))
        loops = dict(_loops(tree, module))
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            if verbs := _verbs(call):
                resources = list(_resources(call, module, loops))
                assert resources, f"{name}:{call.lineno}: which resource?"
                for resource in resources:
                    found.setdefault(resource, set()).update(verbs)
    return found


def _loops(tree: ast.Module, module: ModuleType) -> Iterator[tuple[str, list[Resource]]]:
    """Yield the variables that go through a constant of the module, with what they are."""
    for node in ast.walk(tree):
        if isinstance(node, ast.For) and isinstance(node.target, ast.Name):
            values = getattr(module, node.iter.id, ()) if isinstance(node.iter, ast.Name) else ()
            if resources := [value for value in values if isinstance(value, Resource)]:
                yield node.target.id, resources


def _verbs(call: ast.Call) -> set[str]:
    if isinstance(call.func, ast.Name):
        return OTHERS.get(call.func.id, set())
    if not isinstance(call.func, ast.Attribute) or call.func.attr not in METHODS:
        return set()
    owner = ast.unparse(call.func.value)
    return {call.func.attr} if owner == "api" or owner.endswith((".api", "._api")) else set()


def _resources(call: ast.Call, module: ModuleType, loops: Loops) -> Iterator[str]:
    words = {word.arg: word.value for word in call.keywords}
    suffix = f"/{ast.literal_eval(words['subresource'])}" if "subresource" in words else ""
    for name in (arg.id for arg in call.args if isinstance(arg, ast.Name)):
        one = getattr(module, name, None)
        known = [one] if isinstance(one, Resource) else loops.get(name, [])
        yield from (resource.plural + suffix for resource in known)
