"""texts that GitHub did not take when they were due, and repositories by their id"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "owed_texts",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("run_id", sa.String(length=100), nullable=False),
        sa.Column("name", sa.String(length=50), nullable=False),
        sa.Column("arguments", sa.JSON(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_owed_texts_run_id"), "owed_texts", ["run_id"], unique=False)
    op.add_column("runs", sa.Column("repository_id", sa.BigInteger(), nullable=True))
    op.create_index(op.f("ix_runs_repository_id"), "runs", ["repository_id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_runs_repository_id"), table_name="runs")
    with op.batch_alter_table("runs", schema=None) as batch_op:
        batch_op.drop_column("repository_id")
    op.drop_table("owed_texts")
