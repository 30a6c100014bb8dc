"""The table of documents."""

import sqlalchemy as sa
from alembic import op

import indiaai_db

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "documents",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("media_type", sa.String(length=100), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column(
            "state",
            sa.Enum("receiving", "pending", "completed", "failed", name="documentstate", native_enum=False, length=64),
            nullable=False,
        ),
        sa.Column("job_id", sa.String(length=200), nullable=True),
        sa.Column("task_id", sa.String(length=200), nullable=True),
        sa.Column("facts", indiaai_db.PortableJson(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", indiaai_db.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_documents")),
    )
    op.create_index(op.f("ix_documents_created_at_id"), "documents", ["created_at", "id"])
    op.create_index(op.f("ix_documents_job_id"), "documents", ["job_id"])
    op.create_index(op.f("ix_documents_state"), "documents", ["state"])


def downgrade() -> None:
    op.drop_table("documents")
