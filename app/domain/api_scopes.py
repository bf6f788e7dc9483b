"""What a token of the REST API may do."""

from collections.abc import Collection
from enum import StrEnum


class ApiScope(StrEnum):
    READ = "read"
    """Everything that changes nothing."""
    OPERATE = "operate"
    """Start runs and steer them, and read."""
    SUBMIT = "submit"
    """Post results, audits, issues and states of phases, as external agents do, and read."""


_SUBMITTED = ("builder_result", "auditor_request", "auditor_result", "record_issue", "update_status")
"""How the paths end to which external agents post."""


def needed_scope(method: str, path: str) -> ApiScope:
    """The scope that a request needs."""
    if method in {"GET", "HEAD", "OPTIONS"}:
        return ApiScope.READ
    return ApiScope.SUBMIT if path.rstrip("/").endswith(_SUBMITTED) else ApiScope.OPERATE


def allows(scopes: Collection[ApiScope], needed: ApiScope) -> bool:
    """Whether a token with these scopes may do it: who may change something may also read."""
    return needed in scopes or (needed is ApiScope.READ and bool(scopes))
