"""The release after it takes that column away."""

from tessera.db.migrations import schema

revision = "9002"
down_revision = "9001"
release = "9.1.0"


def upgrade() -> None:
    schema.contract(needs="9001")
    schema.drop_columns("tasks", "sample")
