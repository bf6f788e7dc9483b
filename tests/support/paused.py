"""Importing this pauses garbage collection: what is imported after it stays, and is not looked through again."""

from app import collection

collection.pause()
