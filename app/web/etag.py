"""Entity tags: what a client sends back to learn whether anything has changed."""

import hashlib

from pydantic import BaseModel


def etag_of(shown: BaseModel) -> str:
    """The tag of an answer, made from its content."""
    return f'"{hashlib.sha256(shown.model_dump_json().encode()).hexdigest()[:32]}"'
