"""A release that adds a column, a table and an index, and no longer uses a column."""

from tessera.db.migrate import head
from tessera.db.migrations import schema

revision = "9001"
down_revision = head()
release = "9.0.0"
unused = ("tasks.sample",)


def upgrade() -> None:
    schema.add_columns("tasks", "sample text", "weight integer NOT NULL DEFAULT 1")
    schema.add_table("samples", "id text PRIMARY KEY, task_id text NOT NULL")
    schema.add_index("tasks_sample", "tasks (account_id, created_at) WHERE sample IS NULL")
