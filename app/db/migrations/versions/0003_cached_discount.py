"""by how much cached input of a model call counts less against token caps, and whether its usage is an estimate"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("model_calls", sa.Column("discount", sa.Integer(), nullable=True))
    op.add_column("model_calls", sa.Column("estimated", sa.Boolean(), nullable=True))
    op.add_column("model_calls", sa.Column("reserved_usd", sa.Numeric(precision=18, scale=8), nullable=True))
    # Cached input counts at its share of the price; of calls before this release no share is known, so at a tenth.
    op.execute("UPDATE model_calls SET discount = cached - (cached + 9) / 10, estimated = false")
    with op.batch_alter_table("model_calls", schema=None) as batch_op:
        batch_op.alter_column("discount", existing_type=sa.Integer(), nullable=False)
        batch_op.alter_column("estimated", existing_type=sa.Boolean(), nullable=False)
        batch_op.create_index(batch_op.f("ix_model_calls_at"), ["at"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("model_calls", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_model_calls_at"))
        batch_op.drop_column("estimated")
        batch_op.drop_column("discount")
        batch_op.drop_column("reserved_usd")
