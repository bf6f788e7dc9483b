"""What models cost, from genai-prices' table. A local server's model has no known price, whichever name it has."""

from decimal import Decimal
from functools import lru_cache

from app.domain.budget import CACHED_SHARE

_SAMPLE = 1_000
"""Tokens for which a share is computed: below the sizes from which some vendors ask for more."""


def cost_of(model_id: str, *, input_tokens: int, cached: int = 0, output: int = 0) -> Decimal | None:
    """The price in US dollars of tokens of the model `vendor:name`; None where it is not known."""
    from genai_prices import Usage, calc_price

    vendor, _, name = model_id.partition(":")
    if vendor == "local":
        return None
    usage = Usage(input_tokens=input_tokens, cache_read_tokens=cached, output_tokens=output)
    try:
        return calc_price(usage, name, provider_id=vendor).total_price
    except (LookupError, ValueError):
        return None


@lru_cache(maxsize=200)
def cached_share(model_id: str) -> float:
    """What a cached input token of this model costs of a fresh one; a tenth where it is not known."""
    fresh = cost_of(model_id, input_tokens=_SAMPLE)
    cached = cost_of(model_id, input_tokens=_SAMPLE, cached=_SAMPLE)
    return float(cached / fresh) if fresh and cached is not None else CACHED_SHARE
