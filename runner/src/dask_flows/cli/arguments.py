"""Turn what people type into typed values, all mistakes with the argument's name."""

import ast
import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dask_flows.errors import ConfigError, UsageError
from dask_flows.flowrun import LARGEST_PARAMETERS, parameters_size
from dask_flows.submission import Source, pack

if TYPE_CHECKING:
    from dask_flows.config import AttemptSpec

LONGEST_NUMBER = 6  # digits of a number of workers


def flow_or_command(
    flow: str | None, rest: Sequence[str], verb: str = "run"
) -> tuple[str | None, list[str] | None]:
    """Return the flow or the command: the first word is a flow if it looks like one and is alone."""
    words = [*([flow] if flow else []), *rest]
    if not words:
        raise UsageError(
            "nothing to run",
            where="FLOW",
            do="name a flow like flow.py:main, or a command after --",
        )
    if len(words) == 1 and ":" in words[0]:
        return words[0], None
    if flow and ":" in flow and not flow.startswith("-"):
        raise UsageError(
            f"{' '.join(rest)!r} follows the flow",
            where="FLOW",
            do="pass parameters with -p name=value",
        )
    _refuse_file(words, verb)
    return None, words


def _refuse_file(words: Sequence[str], verb: str) -> None:
    """Raise UsageError for a Python file instead of a flow or a command; with what to paste."""
    file = Path(words[0])
    if file.suffix != ".py" or not file.is_file() or shutil.which(words[0]) is not None:
        return
    script = f"dask-flows {verb} -- {shlex.join(['python', *words])}"
    from dask_flows.flows.names import functions_in

    found = functions_in(file)
    likely = ["main"] if "main" in found else found
    if not likely:
        raise UsageError(
            f"{file} has no function that is a flow", where="FLOW", do=f"as a script: {script}"
        )
    flow = f"dask-flows {verb} {shlex.quote(f'{file}:{likely[0]}')}"
    if len(likely) > 1:
        raise UsageError(
            f"{file} has several functions: {', '.join(found)}",
            where="FLOW",
            do=f"name one, like {flow}; as a script: {script}",
        )
    raise UsageError(
        f"{file} is a file, not a flow", where="FLOW", do=f"{flow}; as a script: {script}"
    )


def source_of(flow: str | None) -> tuple[str | None, Source | None]:
    """Pack a flow that is a file here; its name in the cluster has no folder."""
    if flow is None or not flow.rpartition(":")[0].endswith(".py"):
        return flow, None
    path, _, name = flow.rpartition(":")
    return f"{Path(path).name}:{name}", pack(Path(path))


def source_of_command(words: list[str]) -> tuple[list[str], Source | None]:
    """Pack the first word that is a Python file here; in the cluster it lies in the start directory."""
    for n, word in enumerate(words):
        path = Path(word)
        if path.suffix == ".py" and path.is_file():
            return [*words[:n], path.name, *words[n + 1 :]], pack(path)
    return words, None


def parameters(pairs: Sequence[str], file: Path | None) -> dict[str, Any]:
    """Merge a file's parameters with ``k=v`` pairs, which win; values are JSON, else text."""
    from dask_flows.cli.parameter_file import read_parameters

    merged = read_parameters(file) if file else {}
    return merged | {name: _value(name, text) for name, text in texts(pairs).items()}


def parameters_of(
    flow: str | None, command: Sequence[str] | None, pairs: Sequence[str], file: Path | None
) -> dict[str, Any]:
    """Return what a FlowRun holds; raises UsageError for a command, which takes none, and above 64 KiB.

    What a flow in a file annotates as ``str`` stays as it was typed; of others nothing is known here.
    """
    values = parameters(pairs, file)
    if command is not None and values:
        raise UsageError(
            "a command takes no parameters", where=shlex.join(command), do="write them behind it"
        )
    wanted = text_parameters(flow) if flow else frozenset()
    values |= {name: text for name, text in texts(pairs).items() if _is_other(values, name, wanted)}
    size = parameters_size(values, "-p, --parameters")
    if size > LARGEST_PARAMETERS:  # the schema admits more, and the agent would refuse the run
        raise UsageError(
            f"the parameters have {size} bytes, more than {LARGEST_PARAMETERS}",
            where="-p, --parameters",
            do="write the data to storage and pass its address",
        )
    return values


def text_parameters(flow: str) -> frozenset[str]:
    """Name the parameters that a flow in a file here annotates as ``str``; it is read, not run."""
    from dask_flows.flows.syntax import parsed

    path, _, name = flow.rpartition(":")
    try:
        tree = parsed(Path(path).read_bytes()) if path.endswith(".py") else ast.Module([], [])
    except (OSError, ValueError, SyntaxError):
        return frozenset()
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    found = (node.args for node in tree.body if isinstance(node, kinds) and node.name == name)
    each = (one for arguments in found for one in [*arguments.args, *arguments.kwonlyargs])
    return frozenset(one.arg for one in each if one.annotation and _is_text(one.annotation))


def _is_text(annotation: ast.expr) -> bool:
    return ast.unparse(annotation).strip("'\"") in ("str", "str | None", "Optional[str]")


def _is_other(values: Mapping[str, Any], name: str, wanted: frozenset[str]) -> bool:
    return name in wanted and values[name] is not None and not isinstance(values[name], str)


def texts(pairs: Sequence[str]) -> dict[str, str]:
    """Return the pairs' values as they were typed: a flow that wants text gets ``01234``, not a number."""
    return dict(split_pair(pair, "-p") for pair in pairs)


def _value(name: str, text: str) -> Any:
    from dask_flows.cli.parameter_file import parse_json

    try:
        return parse_json(text)
    except RecursionError:
        raise UsageError("it is nested too deeply", where=f"-p {name}", do="use a file") from None
    except ValueError:
        return text


def environment(pairs: Sequence[str]) -> list[dict[str, str]] | None:
    """Return the run's environment variables."""
    entries = [split_pair(pair, "--env") for pair in pairs]
    return [{"name": key, "value": value} for key, value in entries] or None


def split_pair(pair: str, option: str) -> tuple[str, str]:
    """Split ``k=v`` at the first ``=``; raises UsageError."""
    key, equals, value = pair.partition("=")
    if not equals or not key:
        raise UsageError(
            f"{pair!r} is not name=value", where=option, do=f"write {option} name=value"
        )
    try:
        pair.encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"the value of {key!a} is not UTF-8", where=option, do="give text"
        ) from None
    return key, value


def worker_fields(text: str | None) -> dict[str, int] | None:
    """Read ``N`` or ``MIN:MAX``."""
    if text is None:
        return None
    low, colon, high = text.partition(":")
    sizes = [low, high] if colon else [low]
    if not all(part.isdecimal() and len(part) <= LONGEST_NUMBER for part in sizes):
        raise UsageError(
            f"{text!r} is not a number of workers", where="--workers", do="write 4 or 1:8"
        )
    if colon and int(low) > int(high):
        raise UsageError(
            f"the minimum {low} is more than the maximum {high}",
            where="--workers",
            do=f"write {high}:{low}",
        )
    return {"minimum": int(low), "maximum": int(high)} if colon else {"replicas": int(low)}


def attempt_in(folder: Path) -> "AttemptSpec":
    """Read the attempt that is mounted at a folder; raises ConfigError."""
    from dask_flows.config import load_attempt

    try:
        return load_attempt(folder)
    except ConfigError as error:
        raise ConfigError(
            error.found,
            where=error.where or str(folder),
            do=error.do or "only the agent writes this folder; use the image that fits the agent",
        ) from None
