"""`autopack token`: make, list, rotate and revoke tokens of the REST API, in the service's database."""

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from app.db.engine import Database

tokens = typer.Typer(help="Tokens of the REST API (DATABASE_URL).", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="Who has it, such as ci or dashboard.")]


@tokens.command()
def new(
    name: Name,
    scope: Annotated[str, typer.Option(help="read, operate, submit; several with commas.")] = "read",
) -> None:
    """Make a token and print it, this once. From then on everyone needs one, also on this machine."""
    from app.domain.api_scopes import ApiScope
    from app.runs import api_tokens
    from app.workflows.steps import utcnow

    try:
        scopes = [ApiScope(one.strip()) for one in scope.split(",")]
    except ValueError:
        sys.exit(f"--scope {scope}: name read, operate or submit, several with commas")
    if not name.strip() or len(name) > 100:
        sys.exit("a name has 1 to 100 characters")
    with _database() as db:
        made = api_tokens.make(db, name, scopes, utcnow())
    print(made) if made else sys.exit(f"There is a token {name}: rotate it, or take another name")


@tokens.command("list")
def list_tokens() -> None:
    """List the tokens: name, scopes, when they were made."""
    from app.runs import api_tokens

    with _database() as db:
        for one in api_tokens.list_all(db):
            by = "  made by the first start" if one.made_by_start else ""
            print(f"{one.name}  {','.join(one.scopes)}  {one.made_at:%Y-%m-%d %H:%M} UTC{by}")


@tokens.command()
def rotate(name: Name) -> None:
    """Print another token in the place of one, which is refused from now on."""
    from app.runs import api_tokens
    from app.workflows.steps import utcnow

    with _database() as db:
        made = api_tokens.rotate(db, name, utcnow())
    print(made) if made else sys.exit(f"There is no token {name}")


@tokens.command()
def revoke(name: Name) -> None:
    """Refuse a token from now on."""
    from app.runs import api_tokens

    with _database() as db:
        if not api_tokens.revoke(db, name):
            sys.exit(f"There is no token {name}")
    print(f"Revoked: {name}")


@contextmanager
def _database() -> "Generator[Database]":
    """The service's database; the service may be at work meanwhile. Ends the program where it cannot be used."""
    from sqlalchemy.exc import SQLAlchemyError

    from app.db.engine import Database, DatabaseUnusable
    from app.settings import Settings

    os.umask(0o077)
    try:
        db = Database(Settings().database)
        try:
            db.migrate()
            yield db
        finally:
            db.close()
    except (DatabaseUnusable, SQLAlchemyError, OSError) as trouble:
        sys.exit(f"The tokens cannot be read: {trouble}")
