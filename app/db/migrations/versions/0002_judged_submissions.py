"""an audit names the result that it judged; what a phase waits for is derived"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("submissions", sa.Column("judged", sa.Boolean(), nullable=True))
    op.add_column("submissions", sa.Column("judged_submission_id", sa.Integer(), nullable=True))
    op.execute(
        "UPDATE submissions SET judged = NOT EXISTS (SELECT 1 FROM phases WHERE phases.run_id = submissions.run_id"
        " AND phases.phase_id = submissions.phase_id AND phases.state = 'GATE' AND phases.awaiting = 'work')"
    )
    op.execute(
        "UPDATE submissions SET judged_submission_id = (SELECT max(result.id) FROM submissions AS result"
        " WHERE result.run_id = submissions.run_id AND result.phase_id = submissions.phase_id"
        " AND result.role = 'builder' AND result.id < submissions.id) WHERE role = 'auditor'"
    )
    with op.batch_alter_table("submissions", schema=None) as batch_op:
        batch_op.alter_column("judged", existing_type=sa.Boolean(), nullable=False)
    with op.batch_alter_table("phases", schema=None) as batch_op:
        batch_op.drop_column("awaiting")


def downgrade() -> None:
    with op.batch_alter_table("phases", schema=None) as batch_op:
        batch_op.add_column(sa.Column("awaiting", sa.String(length=20), nullable=False, server_default=""))
    with op.batch_alter_table("submissions", schema=None) as batch_op:
        batch_op.drop_column("judged_submission_id")
        batch_op.drop_column("judged")
