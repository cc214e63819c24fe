"""What durability and keeping need: purged files, rotated secrets, redelivered callbacks."""

from tessera.db.migrations import schema

revision = "0002"
down_revision = "0001"
release = "0.1.0"


def upgrade() -> None:
    # The row outlives its file until the record goes, so that an old link can say what happened.
    schema.add_columns("assets", "purged_at timestamptz")
    schema.add_index("assets_kept", "assets (origin, created_at) WHERE purged_at IS NULL")
    schema.drop_index("assets_age")
    # While a secret is rotated, callbacks carry the signature of the old one, too.
    schema.add_columns("accounts", "previous_secret text", "previous_until timestamptz")
    # Attempts made before the last redelivery: the schedule begins anew behind them.
    schema.add_columns("deliveries", "base integer NOT NULL DEFAULT 0")
    schema.add_index("deliveries_account", "deliveries (account_id, created_at DESC)")
    schema.add_index("tasks_ended", "tasks (completed_at) WHERE completed_at IS NOT NULL")
