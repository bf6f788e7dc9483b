"""audits that are shown on the pull request, the failing job's log by phase, findings that people called wrong"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_FLAGS = ("own", "shown")
_TEXTS = ("last_log", "failed_job_url")


def upgrade() -> None:
    op.add_column("submissions", sa.Column("found", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("submissions", sa.Column("show_on", sa.String(length=64), nullable=True))
    for name in _FLAGS:
        op.add_column("submissions", sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false()))
    for name in _TEXTS:
        op.add_column("phases", sa.Column(name, sa.Text(), nullable=False, server_default=sa.text("''")))

    op.add_column("runs", sa.Column("issue_body", sa.Text(), nullable=True))
    op.add_column("runs", sa.Column("integrity", sa.JSON(none_as_null=True), nullable=True))
    op.create_table(
        "dismissals",
        sa.Column("project_id", sa.String(length=200), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("login", sa.String(length=100), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("run_id", sa.String(length=100), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "fingerprint"),
    )


def downgrade() -> None:
    op.drop_table("dismissals")
    with op.batch_alter_table("runs", schema=None) as batch_op:
        batch_op.drop_column("integrity")
        batch_op.drop_column("issue_body")
    with op.batch_alter_table("phases", schema=None) as batch_op:
        for name in _TEXTS:
            batch_op.drop_column(name)
    with op.batch_alter_table("submissions", schema=None) as batch_op:
        for name in ("found", "show_on", *_FLAGS):
            batch_op.drop_column(name)
