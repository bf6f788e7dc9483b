"""A local server that plays recorded model answers over the providers' own HTTP APIs. It is never a model."""

from app.replay.model_server import ModelServer, RecordedRequest
from app.replay.recording import Recording, Turn, load_recordings

__all__ = ["ModelServer", "RecordedRequest", "Recording", "Turn", "load_recordings"]
