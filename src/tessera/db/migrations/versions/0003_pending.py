"""Objects on their way into the store: what a worker that died left there can be found, and removed."""

from tessera.db.migrations import schema

revision = "0003"
down_revision = "0002"
release = "0.1.0"


def upgrade() -> None:
    # Written before the bytes, gone with the transaction that writes their asset. An output has its task and the
    # epoch of the claim that stores it, an upload has neither.
    schema.add_table(
        "pending_objects",
        """
        key text PRIMARY KEY,
        task_id text,
        epoch integer,
        created_at timestamptz NOT NULL
        """,
    )
