"""The embedded GitHub: the REST, webhooks, git and CI of GitHub that Autopack uses, for tests and trials."""

from app.hub.journal import JournalEntry
from app.hub.server import Hub

__all__ = ["Hub", "JournalEntry"]
