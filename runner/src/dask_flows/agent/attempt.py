"""Which attempt: the identity that names, labels and memory hang on."""

from dataclasses import dataclass

from dask_flows import names
from dask_flows.flowrun import FlowRun


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of one FlowRun."""

    namespace: str
    run: str
    uid: str
    number: int

    @classmethod
    def of(cls, run: FlowRun) -> "Attempt":
        """Return the run's present attempt."""
        return cls(run.namespace, run.name, run.uid, run.attempt)

    @property
    def base(self) -> str:
        """The name that all names of the attempt start with."""
        return names.attempt_name(self.run, self.uid, self.number)
