"""What Builder and Auditor say of a phase, as the pull request tells it, and what the Auditor was shown."""

from app.domain.frozen import Frozen


class ShownDiff(Frozen):
    """The diff that an audit was shown."""

    against: tuple[str, ...]
    """The commit that it is against, or the two whose merge, with its conflicts' markers, it is against."""
    digest: str
    """Of all lines that were added or removed, by file, as they stood in the requests to the Auditor."""


class PhaseAccount(Frozen):
    summary: str = ""
    """What the Builder says that its newest commit changes."""
    audit: str = ""
    """What the newest audit says of it."""
    shown: ShownDiff | None = None
    """What that audit was shown, of phases that are complete and of Autopack's own Auditor."""
