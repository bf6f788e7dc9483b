"""What a run works on: read once at its start from the base branch, recorded, and the same ever after."""

from app.agents.tasks import IssueText
from app.domain.budget import Exhausted
from app.domain.frozen import Frozen
from app.domain.plan import PlannedPhase
from app.domain.repository_rules import RepositorySettings
from app.domain.states import RunState
from app.domain.strategy import PhaseStrategy, RunOptions, Strategy


class RunContext(Frozen):
    """A run's frozen surroundings. Holds no secret, since it is stored."""

    run_id: str
    repository: str
    installation_id: int
    intent: str
    issue: IssueText
    requester: str
    requester_id: int
    options: RunOptions
    base_branch: str
    target_branch: str
    """The branch that the work will be merged into: the base, also of the run that this one builds on."""
    base_sha: str
    branch: str
    """The branch that the run writes to."""
    start_sha: str
    """The commit on which its first phase builds: the base, or the head of the branch with which it goes on."""
    unread_since: str | None = None
    """The commit after which that branch holds something that no audit saw."""
    settings: RepositorySettings
    notes: str
    """The repository's own instructions, untrusted."""
    outline: str
    """The files of the base commit, one a line, shortened."""
    provider_pauses_minutes: tuple[float, ...]
    commands_refused: str | None
    """Why the Builder may not run commands, or None when it may."""

    earlier: str = ""
    """Why the run ended with which this one goes on; empty for others."""

    @property
    def issue_number(self) -> int:
        return self.issue.number or 0


class PhaseContext(Frozen):
    """A phase and what governs it."""

    context: RunContext
    strategy: Strategy
    phase: PlannedPhase

    @property
    def run_id(self) -> str:
        return self.context.run_id

    @property
    def phase_id(self) -> str:
        return self.phase.phase_id

    @property
    def rules(self) -> PhaseStrategy:
        return self.strategy.of_phase(self.phase_id)


class PhaseDeclined(Exception):
    """The Builder leaves everything undone that people requested in the phase, and gives its reasons."""


class PushedByHand(Frozen):
    """Someone else's commits on top of the run's branch."""

    head_sha: str
    paths: tuple[str, ...]
    """The files that they change."""


class RunEnded(Exception):
    """The run is over: raised where that is found out, handled in one place. `exhausted` is the cap that ended it."""

    def __init__(self, state: RunState, reason: str, exhausted: Exhausted | None = None) -> None:
        super().__init__(state, reason, exhausted)
        self.state = state
        self.reason = reason
        self.exhausted = exhausted


class ForeignCommits(RunEnded):
    """Someone else's commits are on top of the branch; where they are not taken in, the run ends for a person."""

    def __init__(self, pushed: PushedByHand) -> None:
        reason = f"someone else wrote to the run's branch, which is at {pushed.head_sha[:7]}"
        super().__init__(RunState.DONE_FAILED_REQUIRES_HUMAN_REVIEW, reason)
        self.pushed = pushed

    def __reduce__(self) -> tuple[type["ForeignCommits"], tuple[PushedByHand]]:
        return ForeignCommits, (self.pushed,)
