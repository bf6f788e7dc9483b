"""Alembic's entry: migrations run on the connection that `app.db.engine` hands over."""

from typing import Literal

from alembic import context

from app.db import dismissals, submission_table, tables
from app.db.column_types import Base, EnumText, PlainText, PydanticJson, UtcTime

_PLAIN = {UtcTime: "sa.DateTime(timezone=True)", PlainText: "sa.Text()", PydanticJson: "sa.JSON()"}


def _render(item: object) -> str | Literal[False]:
    """Our own column types as the plain ones that they are in the database; False leaves it to Alembic."""
    if isinstance(item, EnumText):
        return f"sa.String(length={item.length})"
    for kind, name in _PLAIN.items():
        if isinstance(item, kind):
            return name
    return False


assert tables.Base is submission_table.Base is dismissals.Base is Base  # their import defines the tables
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    include_name=lambda name, kind, _: kind != "table" or name in Base.metadata.tables,
    render_item=lambda _kind, item, _: _render(item),
    render_as_batch=True,
    version_table="autopack_version",
)
with context.begin_transaction():
    context.run_migrations()
