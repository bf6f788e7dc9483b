"""pause, skip, and runs that go on with the branch of an ended one"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_RUNS = ("continues", "continued_by", "branch_of")
_TEXTS = {"runs": ("paused_by", "failed_job_url"), "phases": ("skip_by",)}


def upgrade() -> None:
    for name in ("paused_since", "resumed_at"):
        op.add_column("runs", sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    for name in _RUNS:
        op.add_column("runs", sa.Column(name, sa.String(length=100), nullable=True))
    op.add_column("runs", sa.Column("start_sha", sa.String(length=64), nullable=True))
    for table, names in _TEXTS.items():
        for name in names:
            op.add_column(table, sa.Column(name, sa.Text(), nullable=False, server_default=sa.text("''")))
    op.add_column("phases", sa.Column("account", sa.JSON(none_as_null=True), nullable=True))
    op.create_index(op.f("ix_runs_branch_of"), "runs", ["branch_of"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_runs_branch_of"), table_name="runs")
    for table, names in _TEXTS.items():
        with op.batch_alter_table(table, schema=None) as batch_op:
            for name in names:
                batch_op.drop_column(name)
    with op.batch_alter_table("phases", schema=None) as batch_op:
        batch_op.drop_column("account")
    with op.batch_alter_table("runs", schema=None) as batch_op:
        for name in ("paused_since", "resumed_at", *_RUNS, "start_sha"):
            batch_op.drop_column(name)
