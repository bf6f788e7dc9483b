"""the processes that serve a PostgreSQL database"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "workers",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("executor_id", sa.String(length=100), nullable=False),
        sa.Column("version", sa.String(length=50), nullable=False),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("number"),
    )
    if op.get_bind().dialect.name == "postgresql":  # the one process of an earlier release left work under this name
        op.execute("INSERT INTO workers (executor_id, version, begun_at) VALUES ('local', '', now())")


def downgrade() -> None:
    op.drop_table("workers")
