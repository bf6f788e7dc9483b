"""What a client is answered to what it posted; stored with the posted result, so that a repeat is answered the same."""

from pydantic import ConfigDict, Field

from app.domain.findings import Recommendation
from app.domain.frozen import Frozen
from app.domain.states import PhaseState


class _Receipt(Frozen):
    message: str
    phase_state: PhaseState
    """The phase's status after its gate."""


class BuilderReceipt(_Receipt):
    model_config = ConfigDict(
        frozen=True,
        json_schema_extra={
            "examples": [{"message": "Attempt 1 of P1.1 passed", "commit_sha": None, "phase_state": "COMPLETE"}]
        },
    )

    commit_sha: str | None = None
    """The commit that the patch became; None for a run without a repository, and until it is pushed."""


class AuditReceipt(_Receipt):
    model_config = ConfigDict(
        frozen=True,
        json_schema_extra={
            "examples": [
                {
                    "message": "Audit 1 of P1.1 is recorded",
                    "recommendation": "approve",
                    "patches_applied": 0,
                    "commit_shas": [],
                    "phase_state": "COMPLETE",
                }
            ]
        },
    )

    recommendation: Recommendation
    patches_applied: int = 0
    """Suggested patches that went through the governed path."""
    commit_shas: list[str] = Field(default_factory=list[str])


class AuditRequestReceipt(_Receipt):
    model_config = ConfigDict(
        frozen=True,
        json_schema_extra={
            "examples": [
                {
                    "message": "An audit of P1.1 is requested; post it to auditor_result",
                    "review_focus": "general",
                    "auditor_profile": "security_review",
                    "phase_state": "GATE",
                }
            ]
        },
    )

    review_focus: str
    auditor_profile: str | None
