"""Text of a model in a field of bounded length: what is too long is shortened, and the work behind it is not lost."""

from pydantic import BeforeValidator


def shortened(limit: int) -> BeforeValidator:
    """Cut a text over `limit` characters, with an ellipsis at its end. The field still tells the model its bound."""
    return BeforeValidator(
        lambda text: f"{text[: limit - 1]}…" if isinstance(text, str) and len(text) > limit else text
    )
