"""What Builder and Auditor say of a phase, as the pull request tells it."""

from app.domain.frozen import Frozen


class PhaseAccount(Frozen):
    summary: str = ""
    """What the Builder says that its newest commit changes."""
    audit: str = ""
    """What the newest audit says of it."""
