"""The queue, PgQueuer's on our Postgres. A job is put in the transaction that makes it necessary."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from importlib.metadata import version
from typing import Literal

from pgqueuer.queries import Queries

from tessera.db.connection import Connection
from tessera.domain.task import Mode
from tessera.kit import trace

Kind = Literal["task", "task-test", "callback", "callback-test", "cancel"]
"""What a job is about; its payload is the id of a task or of a delivery. A test key's task is a ``task-test``, and
what is told of it is a ``callback-test``."""

CALLBACKS: Mapping[Mode, Kind] = {Mode.LIVE: "callback", Mode.TEST: "callback-test"}

VERSION = version("pgqueuer")
"""The version of the queue's tables is that of the library: it knows best when they change."""


async def install(connection: Connection) -> None:
    """Bring the queue's tables to ``VERSION``."""
    queries = Queries.from_asyncpg_connection(connection)
    if await queries.schema_is_installed():
        await queries.apply_upgrade()
    else:
        await queries.install()
        await queries.optimize_autovacuum()


async def put(
    connection: Connection,
    kind: Kind,
    ids: Sequence[str],
    *,
    after: timedelta | None = None,
    carriers: Sequence[Mapping[str, str] | None] | None = None,
) -> None:
    """Enqueue one job for each id, inside the caller's transaction.

    ``carriers`` tell of the trace that each job belongs to; without them it is the one that we are in.
    """
    if ids:
        count = len(ids)
        if carriers is None:
            carriers = [trace.carrier()] * count
        await Queries.from_asyncpg_connection(connection).enqueue(
            [kind] * count,
            [each.encode() for each in ids],
            [0] * count,
            [after] * count,
            headers=[None if carrier is None else dict(carrier) for carrier in carriers],
        )


async def depth(connection: Connection) -> dict[tuple[str, str], int]:
    """Jobs by kind and status."""
    sizes = await Queries.from_asyncpg_connection(connection).queue_size()
    return {(str(size.entrypoint), str(size.status)): size.count for size in sizes}
