"""A local server that plays recorded model answers over the providers' own HTTP APIs. It is never a model."""

from app.replay.recording import Recording, Turn, load_recordings
from app.replay.server import ModelServer, RecordedRequest

__all__ = ["ModelServer", "RecordedRequest", "Recording", "Turn", "load_recordings"]
