"""Load the scheduler's dashboard when somebody opens it.

Half of the CPU time that a scheduler takes to start goes into Bokeh, and most runs are over before anyone
looks. So the scheduler starts with ``--no-dashboard`` and serves health, metrics and its API at once; the first
request for a page loads the rest, which takes half a second.
"""

import logging
from typing import Any

from tornado import web

log = logging.getLogger("distributed.scheduler")


class LateDashboard(web.Application):
    """Has no pages; asked for what no other route answers, it brings the application that has."""

    def __init__(self, scheduler: Any) -> None:
        super().__init__()
        self._scheduler = scheduler
        self._tried = False

    def find_handler(self, request: Any, **kwargs: Any) -> Any:
        """Return an error page; the scheduler goes on to ask what was added meanwhile."""
        if not self._tried and request.method == "GET":
            self._tried = True
            self._load()
        return super().find_handler(request, **kwargs)

    def _load(self) -> None:
        try:
            from distributed.dashboard.scheduler import connect
        except ImportError as error:
            log.info("no dashboard: %s", error)
            return
        build: Any = connect  # distributed is typed in part
        build(self._scheduler.http_application, self._scheduler.http_server, self._scheduler)


def offer(scheduler: Any) -> None:
    """Offer the dashboard of a scheduler that was started without; else do nothing."""
    application = scheduler.http_application
    if not application.applications:
        application.add_application(LateDashboard(scheduler))
