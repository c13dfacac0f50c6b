"""What the agent counts itself."""

import re
import urllib.request
from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True)
class Metrics:
    """The agent's own count of its API requests."""

    port: int

    @property
    def args(self) -> tuple[str, str]:
        """What makes the agent show them."""
        return "--metrics-port", str(self.port)

    def requests(self) -> Counter[tuple[str, str]]:
        """Return the requests since the agent's start, by verb and resource."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        found: Counter[tuple[str, str]] = Counter()
        for labels, value in re.findall(
            r"^dask_flows_api_requests_total{(.*)} (\S+)$", text, re.MULTILINE
        ):
            named = dict(re.findall(r'(\w+)="([^"]*)"', labels))
            found[named["verb"], named["resource"]] += int(float(value))
        return found
