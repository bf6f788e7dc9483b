"""Tokens of the REST API. Of each only the digest is stored; it has enough random bits that none can be guessed."""

import hashlib
import secrets
from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa

from app.db.engine import Database
from app.db.tables import ApiToken
from app.domain.api_scopes import ApiScope
from app.domain.frozen import Frozen

PREFIX = "autopack_"
"""How a token begins, so that scanners know one."""
_BYTES = 32


class KnownToken(Frozen):
    """A token as it is listed."""

    name: str
    scopes: tuple[ApiScope, ...]
    made_at: datetime
    made_by_start: bool = False


def make(
    db: Database, name: str, scopes: Collection[ApiScope], now: datetime, *, made_by_start: bool = False
) -> str | None:
    """Make a token and return it, this once; None where there is one of this name."""
    token = PREFIX + secrets.token_urlsafe(_BYTES)
    with db.writing() as session:
        if session.get(ApiToken, name) is not None:
            return None
        digest = _digest(token)
        session.add(ApiToken(name=name, scopes=sorted(scopes), digest=digest, made_at=now, made_by_start=made_by_start))
    return token


def rotate(db: Database, name: str, now: datetime) -> str | None:
    """Put another token in the place of one, which is refused from now on; None where there is none of this name."""
    token = PREFIX + secrets.token_urlsafe(_BYTES)
    with db.writing() as session:
        row = session.get(ApiToken, name)
        if row is None:
            return None
        row.digest, row.made_at, row.made_by_start = _digest(token), now, False
    return token


def revoke(db: Database, name: str) -> bool:
    """Refuse a token from now on; False where there is none of this name."""
    with db.writing() as session:
        row = session.get(ApiToken, name)
        if row is not None:
            session.delete(row)
        return row is not None


def find(db: Database, token: str) -> KnownToken | None:
    """The token that was sent. Digests are compared: the time that it takes says nothing of one that exists."""
    with db.reading() as session:
        row = session.scalar(sa.select(ApiToken).where(ApiToken.digest == _digest(token)))
        return None if row is None else _known(row)


def list_all(db: Database) -> list[KnownToken]:
    """All tokens, by name."""
    with db.reading() as session:
        return [_known(row) for row in session.scalars(sa.select(ApiToken).order_by(ApiToken.name))]


def is_needed(db: Database) -> bool:
    """Whether a person has made a token: then no one may do without."""
    return any(not one.made_by_start for one in list_all(db))


def _known(row: ApiToken) -> KnownToken:
    return KnownToken(name=row.name, scopes=tuple(row.scopes), made_at=row.made_at, made_by_start=row.made_by_start)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
