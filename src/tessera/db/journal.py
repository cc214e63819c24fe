"""The queue's own journal of finished jobs, kept short."""

from datetime import datetime

from tessera.db.connection import Connection


async def trim(connection: Connection, before: datetime) -> None:
    """Remove lines that the queue has counted already."""
    await connection.execute("DELETE FROM pgqueuer_log WHERE aggregated AND created < $1", before)
