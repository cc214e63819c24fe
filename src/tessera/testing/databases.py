"""Fresh databases for tests: one embedded server, one migrated template, a copy of it for whoever asks."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tessera.db.connection import Database
from tessera.db.embedded import Embedded
from tessera.db.migrate import Queue, migrate
from tessera.engine import queue

TEMPLATE = "tessera_template"


class Databases:
    """``start`` and ``stop`` block. Nothing here survives a power cut, and so a copy costs some twenty milliseconds."""

    def __init__(self, folder: Path) -> None:
        self._embedded = Embedded(folder)
        self._url = ""

    def start(self) -> None:
        self._url = self._embedded.start()

    def stop(self) -> None:
        self._embedded.stop()

    async def prepare(self) -> None:
        """Make the template: once, before the first copy."""
        await self._run(
            "ALTER SYSTEM SET fsync = off",
            "ALTER SYSTEM SET full_page_writes = off",
            "SELECT pg_reload_conf()",
            f"CREATE DATABASE {TEMPLATE}",
        )
        await migrate(self.url(TEMPLATE), Queue(queue.VERSION, queue.install))

    @asynccontextmanager
    async def fresh(self) -> AsyncIterator[str]:
        """The URL of a migrated, empty database that is gone after the block."""
        name = f"test_{secrets.token_hex(6)}"
        await self._run(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY file_copy")
        try:
            yield self.url(name)
        finally:
            await self._run(f"DROP DATABASE {name} WITH (FORCE)")

    def url(self, name: str) -> str:
        return urlsplit(self._url)._replace(path=f"/{name}").geturl()

    async def _run(self, *statements: str) -> None:
        database = Database(self._url, size=2)
        await database.open()
        try:
            for statement in statements:
                await database.pool.execute(statement)
        finally:
            await database.close()
