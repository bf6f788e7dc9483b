"""what a delivery is about, so that an event that was found by reading is not acted on again when it comes"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("deliveries", sa.Column("subject", sa.String(length=100), nullable=True))
    op.create_index(op.f("ix_deliveries_subject"), "deliveries", ["subject"], unique=True)


def downgrade() -> None:
    op.drop_index(op.f("ix_deliveries_subject"), table_name="deliveries")
    with op.batch_alter_table("deliveries", schema=None) as batch_op:
        batch_op.drop_column("subject")
