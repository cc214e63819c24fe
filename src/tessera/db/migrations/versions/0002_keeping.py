"""What durability and keeping need: purged files, rotated secrets, redelivered callbacks.

Expand only: every column is new and may be left out, so workers of the schema before this one go on working.
"""

from alembic import op

revision = "0002"
down_revision = "0001"

STATEMENTS = (
    # The row outlives its file until the record goes, so that an old link can say what happened.
    "ALTER TABLE assets ADD COLUMN purged_at timestamptz",
    "CREATE INDEX assets_kept ON assets (origin, created_at) WHERE purged_at IS NULL",
    "DROP INDEX assets_age",
    # While a secret is rotated, callbacks carry the signature of the old one, too.
    "ALTER TABLE accounts ADD COLUMN previous_secret text",
    "ALTER TABLE accounts ADD COLUMN previous_until timestamptz",
    # Attempts made before the last redelivery: the schedule begins anew behind them.
    "ALTER TABLE deliveries ADD COLUMN base integer NOT NULL DEFAULT 0",
    "CREATE INDEX deliveries_account ON deliveries (account_id, created_at DESC)",
    "CREATE INDEX tasks_ended ON tasks (completed_at) WHERE completed_at IS NOT NULL",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
