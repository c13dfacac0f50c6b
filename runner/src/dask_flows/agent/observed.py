"""One run as the agent sees it at one moment: what the API said, and what the agent remembers."""

from dataclasses import dataclass

from dask_flows.agent.conditions import CLEANED_UP, STOPPING, Condition, condition
from dask_flows.agent.views import JobView, PodView
from dask_flows.diagnose import Diagnosis
from dask_flows.flowrun import STARTING, FlowRun
from dask_flows.plan import Plan
from dask_flows.told import Told


@dataclass(frozen=True)
class Beat:
    """The last beat of a runner that changed something."""

    phase: str
    workers: int | None = None


@dataclass(frozen=True)
class Observed:
    """Everything a decision about a run may depend on."""

    run: FlowRun
    invalid: str = ""
    job: JobView | None = None
    runners: tuple[PodView, ...] = ()
    dask: tuple[PodView, ...] = ()
    plan: Plan | None = None
    start_deadline: int = 600
    default_deadline: int | None = None
    told: tuple[Told, ...] = ()
    # From here on the agent's memory, which a restart may lose.
    job_seen: bool = False
    has_inputs: bool = False
    runner_seen: bool = False
    refusal: Diagnosis | None = None
    probed_at: float | None = None
    beat: Beat | None = None
    workers_written: float | None = None

    @property
    def started_by(self) -> str:
        """UID of the pod that has leave to run this attempt; empty before that."""
        return str(self.run.status.get("startedBy") or "")

    @property
    def stopping(self) -> Condition | None:
        """The recorded intent to end this attempt."""
        return condition(self.run, STOPPING)

    @property
    def cleaned_up(self) -> bool:
        """Whether nothing is left to do."""
        return condition(self.run, CLEANED_UP) is not None

    @property
    def deadline(self) -> int | None:
        """Seconds the run may take; the spec may change, else the pinned value holds."""
        if self.run.spec.deadline is not None:
            return self.run.spec.deadline
        return self.plan.deadline if self.plan else self.default_deadline

    @property
    def workers_shown(self) -> int:
        """The number of workers in status; none is the same as 0."""
        return int(self.run.status.get("workers") or 0)

    @property
    def starting(self) -> bool:
        """Whether the flow has not begun to run."""
        return self.run.phase == STARTING

    @property
    def begun(self) -> bool:
        """Whether everything has been made for the attempt's runner, as far as anybody knows."""
        if self.started_by:
            return True
        made = self.job is not None or self.job_seen
        # A new agent does not know whether the one before it came to make the Job's Secret.
        return made and (self.has_inputs or self.job is None or self.job.finished)

    @property
    def runner(self) -> PodView | None:
        """The pod that has leave to run, else the newest one."""
        if self.started_by:
            return next((p for p in self.runners if p.uid == self.started_by), None)
        return max(self.runners, key=lambda p: p.created, default=None)

    @property
    def scheduler(self) -> PodView | None:
        """The attempt's own scheduler."""
        return next((p for p in self.dask if p.component == "scheduler"), None)

    @property
    def workers(self) -> list[PodView]:
        """The attempt's own workers, oldest first."""
        return [p for p in self.dask if p.component == "worker"]
