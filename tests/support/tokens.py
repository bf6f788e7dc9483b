"""The App's JSON web tokens, signed without proving the key's primes each time."""

import time
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from app.hub import Hub


def app_jwt(hub: Hub, **claims: Any) -> str:
    """A token of the hub's App that is valid for five minutes, unless the claims say otherwise."""
    now = int(time.time())
    values = {"iat": now - 10, "exp": now + 300, "iss": str(hub.app_id)} | claims
    return jwt.encode(values, _key(hub.private_key_pem), "RS256")


@cache
def _key(pem: str) -> RSAPrivateKey:
    key = load_pem_private_key(pem.encode(), None, unsafe_skip_rsa_key_validation=True)
    assert isinstance(key, RSAPrivateKey)
    return key
