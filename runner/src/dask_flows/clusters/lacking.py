"""Say in one line what a run goes without, because this package is not all over its cluster."""

from dask_flows.clusters.base import Say

SCHEDULER, WORKERS = "the scheduler", "some workers"


class Lacking:
    """Collects what is missing and why, until it is told."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._whats: list[str] = []
        self._whys: list[str] = []

    def note(self, what: str, who: str, error: BaseException) -> None:
        """Remember what cannot be had, whose fault it is, and how that showed."""
        has = "have" if who == WORKERS else "has"
        why = f"{who} {has} no dask_flows" if lacks_package(error) else f"{who}: {_named(error)}"
        for noted, new in ((self._whats, what), (self._whys, why)):
            if new not in noted:
                noted.append(new)

    def tell(self, say: Say) -> None:
        """Say it, if there is anything to say."""
        if self._whats:
            what, why = ", ".join(self._whats), ", ".join(self._whys)
            do = "install dask-flows there, or see the workers' own logs"
            say(f"{what} ({self._address}: {why}): {do}", event="environment")


def lacks_package(error: BaseException) -> bool:
    """Whether somebody could not import this package."""
    return isinstance(error, ImportError) and "'dask_flows" in str(error)


def _named(error: BaseException) -> str:
    first = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
