"""How often a run that fails is tried again: what the release grants, and what a FlowRun asks."""

from dataclasses import dataclass
from typing import Self

from dask_flows.reading import Reader


@dataclass(frozen=True)
class Asked:
    """What a FlowRun says of new attempts; None means that the release's value holds."""

    limit: int | None = None
    backoff: int | None = None
    infrastructure: int | None = None

    @classmethod
    def read(cls, data: Reader) -> Self:
        """Read the section."""
        fields = ("limit", "backoffSeconds", "infrastructure")
        return cls(*(data.maybe(field, int) for field in fields))


@dataclass(frozen=True)
class Budget:
    """New attempts after failures of the flow, and of the platform; ``backoff`` in seconds."""

    limit: int = 0
    backoff: int = 10
    infrastructure: int = 3

    @classmethod
    def read(cls, data: Reader) -> Self:
        """Read the section."""
        return cls().with_(Asked.read(data))

    def with_(self, asked: Asked) -> Self:
        """Return the budget with what is asked in it, field by field."""
        return type(self)(
            self.limit if asked.limit is None else asked.limit,
            self.backoff if asked.backoff is None else asked.backoff,
            self.infrastructure if asked.infrastructure is None else asked.infrastructure,
        )
