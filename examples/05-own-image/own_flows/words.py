"""Count words; the module is installed in the image, so runner and workers import it."""

import socket
from collections import Counter
from typing import Any

from distributed import get_client

TEXT = """the quick brown fox jumps over the lazy dog
the dog sleeps and the fox runs
a dog is a dog and a fox is a fox"""


def count_line(line: str) -> tuple[Counter[str], str]:
    """Count one line's words."""
    return Counter(line.split()), socket.gethostname()


def count(top: int = 3) -> dict[str, Any]:
    """Return the most frequent words, and who counted."""
    counted = get_client().gather(get_client().map(count_line, TEXT.splitlines()))
    total = sum((words for words, _ in counted), Counter())
    return {"top": total.most_common(top), "workers": sorted({host for _, host in counted})}
