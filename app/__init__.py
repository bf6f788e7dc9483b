"""Autopack: a self-hosted GitHub App that takes a labeled issue to a promotable pull request."""

__version__ = "0.1.0"
