"""Objects on their way into the store: what a worker that died left there can be found, and removed.

Expand only: workers of the schema before this one write no such rows, and go on working.
"""

from alembic import op

revision = "0003"
down_revision = "0002"

STATEMENTS = (
    # Written before the bytes, gone with the transaction that writes their asset. An output has its task and the
    # epoch of the claim that stores it, an upload has neither.
    """
    CREATE TABLE pending_objects (
        key text PRIMARY KEY,
        task_id text,
        epoch integer,
        created_at timestamptz NOT NULL
    )
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
