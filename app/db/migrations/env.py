"""Alembic's entry: migrations run on the connection that `app.db.engine` hands over."""

from alembic import context

from app.db.tables import Base, PlainText, UtcTime

_PLAIN = {UtcTime: "sa.DateTime(timezone=True)", PlainText: "sa.Text()"}

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    include_name=lambda name, kind, _: kind != "table" or name in Base.metadata.tables,
    render_item=lambda _kind, item, _: next((name for kind, name in _PLAIN.items() if isinstance(item, kind)), False),
    render_as_batch=True,
    version_table="autopack_version",
)
with context.begin_transaction():
    context.run_migrations()
