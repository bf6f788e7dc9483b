"""Alembic's entry: migrations run on the connection that `app.db.engine` hands over."""

from alembic import context

from app.db.tables import Base, UtcTime

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    include_name=lambda name, kind, _: kind != "table" or name in Base.metadata.tables,
    render_item=lambda _kind, item, _: "sa.DateTime(timezone=True)" if isinstance(item, UtcTime) else False,
    render_as_batch=True,
    version_table="autopack_version",
)
with context.begin_transaction():
    context.run_migrations()
