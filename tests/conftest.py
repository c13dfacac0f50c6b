"""Rules for every test: nothing is skipped where it counts."""

import os

import pytest


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run under ``CI=true`` that skipped a test: what did not run has not passed."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") == "true" and reporter is not None and reporter.stats.get("skipped"):
        reporter.write_line("tests were skipped, which CI does not accept", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
