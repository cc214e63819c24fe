"""The pool of connections and the transaction."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias

import asyncpg

from tessera.db.errors import border

Connection: TypeAlias = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy
"""A connection inside a transaction, as repositories take it."""

SESSION = {"application_name": "tessera", "jit": "off", "timezone": "UTC", "idle_in_transaction_session_timeout": "60s"}


class Database:
    """A pool of ``size`` connections to ``url``; entered once for the life of the process."""

    def __init__(self, url: str, *, size: int = 16) -> None:
        self.url = url
        self._size = size
        self._pool: asyncpg.Pool | None = None

    async def open(self) -> None:
        self._pool = await asyncpg.create_pool(
            self.url,
            min_size=min(2, self._size),
            max_size=self._size,
            server_settings=SESSION,
            command_timeout=60,
            reset=_as_it_is,
        )

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    @property
    def pool(self) -> asyncpg.Pool:
        if self._pool is None:
            raise RuntimeError("the database is not open")
        return self._pool

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """One transaction: committed at the end of the block, rolled back on an error.

        Raises Conflict and Invalid for what the database says of its values.
        """
        with border():
            async with self.pool.acquire() as connection, connection.transaction():
                yield connection

    async def check(self) -> None:
        """Ask the database for one row. Raises what asyncpg raises."""
        await self.pool.fetchval("SELECT 1", timeout=5)


async def _as_it_is(connection: asyncpg.Connection) -> None:
    """Nothing is left on a session here that has to be wiped: no settings, no cursors, no session locks.

    A transaction left open is rolled back by the pool all the same. Wiping would be a second round trip for every use.
    """
