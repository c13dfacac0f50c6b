"""Read JSON however deep it is nested: the API server takes 10,000 levels, Python fewer than 1,000.

Otherwise one FlowRun with parameters like that, which anybody may create, would stop the agent for all others.
"""

import json
import re
from typing import Any

DEEPEST = 520  # levels; a FlowRun may have 500 in its parameters, which are within others
# Possessive: else it remembers a way back for each character of a text, a hundred times its size.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[{\]}]', re.DOTALL)


def loads(data: bytes) -> Any:
    """Return what JSON says; what is nested too deep for Python is cut off there, with null in its place.

    Raises ValueError for what is no JSON.
    """
    try:
        return json.loads(data)
    except RecursionError:
        pass
    try:
        return json.loads(_shallow(data))
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def _shallow(data: bytes) -> bytes:
    kept: list[bytes] = []
    depth = begin = 0
    for token in _TOKEN.finditer(data):
        if token[0] in b"[{":
            depth += 1
            if depth == DEEPEST + 1:
                kept += data[begin : token.start()], b"null"
        elif token[0] in b"]}":
            if depth == DEEPEST + 1:
                begin = token.end()
            depth -= 1
    # Without its end what is cut off is no JSON: neither is the rest.
    return b"".join((*kept, data[begin:] if depth <= DEEPEST else b""))
