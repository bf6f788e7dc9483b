"""What builds and audits a phase: Autopack's own agents, or results that others post."""

from collections.abc import AsyncIterator
from typing import Protocol

from app.agents.tasks import Feedback
from app.domain.ci import CiState, CiVerdict
from app.domain.findings import Finding
from app.domain.frozen import Frozen
from app.workflows.audit import Audit
from app.workflows.build import AttemptResult, AttemptStart
from app.workflows.run_context import PhaseContext, PushedByHand


class Attempt(Frozen):
    """One attempt at a phase, and where it starts."""

    phase: PhaseContext
    number: int
    start: AttemptStart


class AttemptOutcome(Frozen):
    """How far an attempt came."""

    built: AttemptResult
    head_sha: str | None = None
    """Its commit; None where nothing was pushed."""
    refused: tuple[Finding, ...] = ()
    audit: Audit | None = None
    by_hand: PushedByHand | None = None
    """Someone else's commits on the branch, on top of which nothing was pushed."""
    ci: CiVerdict | None = None
    ci_feedback: Feedback | None = None
    """Logs of the failed jobs, where CI is red."""

    @property
    def red(self) -> bool:
        return self.ci is not None and self.ci.state is CiState.RED

    @property
    def passed(self) -> bool:
        """Its commit is not red, and no audit asks for changes."""
        judged = self.ci is not None and self.ci.state not in {CiState.RED, CiState.WAITING}
        return judged and (self.audit is None or self.audit.accepted)


class PhaseEngine(Protocol):
    """Makes attempts and audits; the playbook of `phase.py` does the rest."""

    def attempts(self) -> AsyncIterator[Attempt]:
        """The attempts to judge, one after the other, until no phase has any left.

        Raises `RunEnded` when the run cannot go on.
        """
        ...

    async def build(self, attempt: Attempt) -> AttemptResult:
        """The patch of the attempt, or its commit where nothing is left to push. Raises `RunEnded`."""
        ...

    async def record_gate(self, attempt: Attempt, built: AttemptResult, refused: tuple[Finding, ...]) -> None:
        """Record what the gate found in the patch."""
        ...

    async def audit_patch(self, attempt: Attempt, built: AttemptResult) -> Audit | None:
        """The audit before the push; None where the phase needs none, or has it."""
        ...

    async def record_push(self, attempt: Attempt, built: AttemptResult, head_sha: str) -> None:
        """Record that CI judges the attempt's commit."""
        ...

    async def audit_commit(self, attempt: Attempt, head_sha: str, early: Audit | None) -> Audit | None:
        """The audit of the commit, `early` where the patch was audited; None where it comes after CI's verdict."""
        ...

    async def reread(self, attempt: Attempt, audit: Audit) -> Audit:
        """The audit after CI's verdict, by what people said of it meanwhile."""
        ...

    async def superseded(self, attempt: Attempt) -> bool:
        """Whether the verdict on this attempt is obsolete."""
        ...

    async def send_back(self, attempt: Attempt, outcome: AttemptOutcome) -> None:
        """The attempt did not pass."""
        ...

    async def complete(self, attempt: Attempt, outcome: AttemptOutcome, cause: str) -> bool:
        """The attempt passed: complete the phase, if nothing is missing; whether it is complete."""
        ...
