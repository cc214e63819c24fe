"""Keep, and then no longer: files go first, then records, in steps small enough to be stopped after any of them.

A step that was interrupted is done again by the next one: a file without its row is never left behind, because a row
is marked only after its file is gone. What a crash left in the store before there was a row is known by its note.
"""

from dataclasses import dataclass
from datetime import timedelta

import structlog

from tessera.db import assets, idempotency, journal, pending, tasks
from tessera.db.connection import Database
from tessera.domain.asset import Origin
from tessera.engine import faults
from tessera.engine.intake import REPLAY
from tessera.kit.clock import Clock
from tessera.storage.base import Store

log = structlog.get_logger(__name__)

STEP = 200
JOURNAL = timedelta(days=1)
ORPHANS = timedelta(days=1)
"""How long bytes without a row are left alone: whoever stores them may still be about to write it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How long files of tasks, uploaded files and records are kept."""

    outputs: timedelta
    uploads: timedelta
    records: timedelta


class Retention:
    def __init__(self, database: Database, store: Store, terms: Terms, *, clock: Clock) -> None:
        self._database = database
        self._store = store
        self._terms = terms
        self._clock = clock

    async def sweep(self) -> dict[str, int]:
        """Remove all whose time is over; answers how many of each kind. Safe to stop and to run twice at a time."""
        # What needs no store comes first: a store that fails for days must not make these tables grow.
        async with self._database.transaction() as connection:
            await idempotency.forget(connection, self._clock() - REPLAY)
            await journal.trim(connection, self._clock() - JOURNAL)
        counts = {
            "outputs": await self._files(Origin.OUTPUT, self._terms.outputs),
            "uploads": await self._files(Origin.UPLOAD, self._terms.uploads),
            "orphans": await self._orphans(),
            "records": await self._records(),
        }
        if any(counts.values()):
            log.info("retention", **counts)
        return counts

    async def _files(self, origin: Origin, kept: timedelta) -> int:
        total = 0
        while count := await self._some_files(origin, kept):
            total += count
        return total

    async def _some_files(self, origin: Origin, kept: timedelta) -> int:
        now = self._clock()
        async with self._database.transaction() as connection:
            keys = await assets.expired(connection, origin, now - kept, limit=STEP)
            if keys:
                await self._store.delete(keys)
                await faults.reach("retention")
                await assets.purged(connection, keys, now)
        return len(keys)

    async def _orphans(self) -> int:
        total = 0
        while count := await self._some_orphans():
            total += count
        return total

    async def _some_orphans(self) -> int:
        async with self._database.transaction() as connection:
            keys = await pending.orphans(connection, self._clock() - ORPHANS, limit=STEP)
            if keys:
                await self._store.delete(keys)
                await faults.reach("retention")
                await pending.forget(connection, keys)
        return len(keys)

    async def _records(self) -> int:
        total = 0
        while True:
            before = self._clock() - self._terms.records
            async with self._database.transaction() as connection:
                count = await tasks.forget(connection, before, limit=STEP)
                count += await assets.forget(connection, before, limit=STEP)
            total += count
            if count == 0:
                return total
