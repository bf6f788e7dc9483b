"""What is shown of a run: one frozen picture, made from the database, from which every text on GitHub is written."""

from datetime import datetime
from enum import StrEnum

from app.domain.budget import Cap, Exhausted, ModelUse, Role, Usage
from app.domain.findings import Finding
from app.domain.frozen import Frozen
from app.domain.phase_account import PhaseAccount
from app.domain.plan import Complexity, TaskCategory
from app.domain.states import PhaseState, RunState, TierState
from app.domain.strategy import Strategy


class Headline(StrEnum):
    """The closed list of things a status comment can say."""

    PLANNING = "planning"
    BUILDING = "building"
    AUDITING = "auditing"
    WAITING_FOR_CI = "waiting for CI"
    WAITING_FOR_YOU = "waiting for you"
    PAUSED = "paused"
    BUDGET = "budget"
    PROVIDER_DOWN = "provider down"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PLANNED = "planned"


class PhaseView(Frozen):
    phase_id: str
    name: str
    state: PhaseState
    task_category: TaskCategory
    complexity: Complexity
    builder_attempts: int = 0
    auditor_attempts: int = 0
    tokens: int = 0
    token_cap: int = 0
    head_sha: str | None = None
    """The phase's newest commit on the run's branch."""
    snapshot: bool = False
    minor_issues: int = 0
    major_issues: int = 0
    note: str = ""
    """The reason for its state in one line, such as the failed job's name."""
    account: PhaseAccount = PhaseAccount()
    criteria: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    """The files that its commits changed."""
    builders: tuple[str, ...] = ()
    auditors: tuple[str, ...] = ()
    """The models that answered for it."""
    skipped_by: str = ""
    """The person who had it left out."""


class TierView(Frozen):
    tier_id: str
    name: str
    state: TierState
    phases: tuple[PhaseView, ...]
    minor_issues: int = 0
    """Distinct ones that are open: in two phases of the tier, an issue counts once."""
    major_issues: int = 0


class FindingView(Frozen):
    """A finding with its place in the ledger."""

    finding: Finding
    phase_id: str
    open: bool
    resolution: str = ""
    """How it ended, such as `fixed in 1a2b3c4`; empty while open."""


class LinkedRun(Frozen):
    """The run before or after this one, where a plan was too large for one."""

    run_id: str
    pull_number: int | None = None


UNJUDGED = "No CI judged"
"""How a notice begins that says so, with the commits and the cause."""
COMMENT_REFUSED = "GitHub refuses a comment"
"""How a notice begins that says so: the issue is locked, for example."""


class RunView(Frozen):
    """Everything the status comment, check run, PR body and summaries say."""

    run_id: str
    repository: str
    issue_number: int
    issue_title: str
    requester: str
    plan_only: bool = False
    """Whether it was only to post a plan."""
    state: RunState
    headline: Headline
    reason: str = ""
    """Why it waits, failed or was cancelled; empty otherwise."""
    next_action: str
    """What happens next, or what a person can do."""
    since: datetime
    """When the headline last changed."""
    deadline: datetime | None = None
    """When the state is over at the latest."""
    after_deadline: str = ""
    """What the run does then."""
    branch: str
    base_branch: str
    pull_number: int | None = None
    head_sha: str | None = None
    tiers: tuple[TierView, ...] = ()
    strategy: Strategy | None = None
    """The rules that govern the run; None before there is a plan."""
    run_cap: Cap
    caps: tuple[Cap, ...] = ()
    """Every cap: the run's, its issue's, those of its tiers and phases that have not ended well."""
    failed_job_url: str = ""
    """Of the job that failed last."""
    exhausted: Exhausted | None = None
    """The cap that ended the run."""
    part: int = 1
    """Which of `parts` linked runs this is."""
    parts: int = 1
    before: LinkedRun | None = None
    after: LinkedRun | None = None
    """The next part's run, once there is one."""
    usage: dict[Role, Usage]
    model_uses: tuple[ModelUse, ...] = ()
    findings: tuple[FindingView, ...] = ()
    promotion_blockers: tuple[str, ...] = ()
    """Why the run may not be promoted; empty when it may."""
    promoted: bool = False
    continued_by: str | None = None
    """The run that goes on with this one's branch and pull request."""
    server_url: str
    """GitHub's web address, for links."""
    notices: tuple[str, ...] = ()
    """Remarks for the reader: no CI found, resumed after a crash, the auditor is of the builder's vendor."""

    @property
    def ci_judged(self) -> bool:
        """Whether CI judged every commit that it was asked about."""
        return not any(notice.startswith(UNJUDGED) for notice in self.notices)

    @property
    def followed(self) -> bool:
        """Whether a status comment says at every step what the open run does: then other pages need not."""
        refused = any(notice.startswith(COMMENT_REFUSED) for notice in self.notices)
        return bool(self.issue_number) and not refused and not self.state.terminal

    @property
    def by_ended_phases(self) -> "RunView":
        """The same view, changed only when a phase has ended: one that has not is shown as waiting."""
        waiting = {"state": PhaseState.QUEUED, "builder_attempts": 0, "auditor_attempts": 0, "tokens": 0}
        waiting |= {"head_sha": None, "minor_issues": 0, "major_issues": 0, "note": ""}
        tiers = [
            tier.model_copy(
                update={
                    "state": tier.state if all(phase.state.ended for phase in tier.phases) else TierState.PENDING,
                    "phases": tuple(
                        phase if phase.state.ended else phase.model_copy(update=waiting) for phase in tier.phases
                    ),
                }
            )
            for tier in self.tiers
        ]
        return self.model_copy(update={"tiers": tuple(tiers), "model_uses": (), "findings": (), "head_sha": None})
