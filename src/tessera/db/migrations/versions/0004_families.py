"""What the families need: tasks that go on from others, that pass through stages, and that make more than files."""

from tessera.db.migrations import schema

revision = "0004"
down_revision = "0003"
release = "0.1.0"


def upgrade() -> None:
    schema.add_columns("tasks", "parent text", "stage text", "pieces text")
    schema.add_index("tasks_parent", "tasks (parent) WHERE parent IS NOT NULL")
