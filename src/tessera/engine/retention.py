"""Keep, and then no longer: files go first, then records, in steps small enough to be stopped after any of them.

A step that was interrupted is done again by the next one: a file without its row is never left behind, because a row
is marked only after its file is gone. What a crash left in the store before there was a row is known by its note.
A file that cannot be removed waits for the next sweep; nothing waits for it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from typing import Protocol

import structlog

from tessera.db import assets, idempotency, journal, pending, tasks
from tessera.db.assets import FIRST, Mark, Page
from tessera.db.connection import Connection, Database
from tessera.domain.asset import Origin
from tessera.domain.errors import NotFound, StorageError
from tessera.engine import faults
from tessera.engine.intake import REPLAY
from tessera.kit.clock import Clock
from tessera.storage.base import Store, Undeleted

log = structlog.get_logger(__name__)

STEP = 200
ROWS = 2000
"""Rows of a step that has no files to remove: it holds their locks for milliseconds."""
JOURNAL = timedelta(days=1)
ORPHANS = timedelta(days=1)
"""How long bytes without a row are left alone: whoever stores them may still be about to write it."""
DOUBT = timedelta(minutes=15)
"""How long an upload may need to take its place, before it is looked whether it did."""

Steps = AsyncIterator[int]
"""One kind of thing, step by step; each says how many it removed."""


class Forget(Protocol):
    async def __call__(self, connection: Connection, before: datetime, /, *, limit: int) -> int: ...


class Find(Protocol):
    async def __call__(self, connection: Connection, before: datetime, /, *, after: Mark, limit: int) -> Page: ...


Done = Callable[[Connection, Sequence[str]], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How long files of tasks, uploaded files and records are kept.

    ``late`` is how long a result is still taken after the deadline of its task: until then its bytes are nobody's
    orphans.
    """

    outputs: timedelta
    uploads: timedelta
    records: timedelta
    late: timedelta


class Retention:
    def __init__(self, database: Database, store: Store, terms: Terms, *, clock: Clock) -> None:
        self._database = database
        self._store = store
        self._terms = terms
        self._clock = clock

    async def sweep(self) -> dict[str, int]:
        """Remove all whose time is over; answers how many of each kind. Safe to stop and to run twice at a time.

        What fails is logged and left for the next sweep.
        """
        now, terms, counts = self._clock(), self._terms, dict.fromkeys(("outputs", "uploads", "orphans", "records"), 0)
        # What needs no store comes first: a store that fails for days must not make these tables grow.
        await self._stage("idempotency keys", self._rows(idempotency.forget, now - REPLAY, ROWS))
        await self._stage("journal", self._rows(journal.trim, now - JOURNAL, ROWS))
        await self._stage("statistics", self._rows(journal.forget, now - JOURNAL, ROWS))
        for origin, kept in ((Origin.OUTPUT, terms.outputs), (Origin.UPLOAD, terms.uploads)):
            files = self._files(partial(_expired, origin), now - kept, partial(_purged, now))
            counts[f"{origin}s"] = await self._stage(f"{origin}s", files)
        await self._stage("doubts", self._doubts(now - DOUBT))
        orphans = self._files(partial(pending.orphans, late=now - terms.late), now - ORPHANS, pending.forget)
        counts["orphans"] = await self._stage("orphans", orphans)
        for forget in (tasks.forget, assets.forget):
            counts["records"] += await self._stage("records", self._rows(forget, now - terms.records, STEP))
        if any(counts.values()):
            log.info("retention", **counts)
        return counts

    async def _stage(self, name: str, steps: Steps) -> int:
        """Do the steps of one stage; answers how many they removed in all."""
        total = 0
        try:
            async for count in steps:
                total += count
        except Exception as error:  # noqa: BLE001 - the other stages do not wait for this one; the next sweep does it again
            log.error("retention stage failed", stage=name, error=str(error) or type(error).__name__)
        return total

    async def _rows(self, forget: Forget, before: datetime, limit: int) -> Steps:
        count = limit
        while count >= limit:
            async with self._database.transaction() as connection:
                count = await forget(connection, before, limit=limit)
            yield count

    async def _files(self, find: Find, before: datetime, done: Done) -> Steps:
        """Page by page, each behind the last one: what cannot be removed is passed by, and not met again."""
        after: Mark | None = FIRST
        while after is not None:
            gone: Sequence[str] = ()
            async with self._database.transaction() as connection:
                page = await find(connection, before, after=after, limit=STEP)
                if page.keys:
                    gone = await self._remove(page.keys)
                    await faults.reach("retention")
                    await done(connection, gone)
            after = page.last
            yield len(gone)

    async def _doubts(self, before: datetime) -> Steps:
        """Uploads whose replacement failed at the last moment: bytes may be new under a row that is old."""
        after: Mark | None = FIRST
        while after is not None:
            notes = await pending.doubtful(self._database, before, after=after, limit=STEP)
            for note in notes:
                yield await self._settle(note)
            after = notes[-1] if len(notes) == STEP else None

    async def _settle(self, note: Mark) -> int:
        """Have the row say what the bytes are. They are read without a lock, and must be the same ones under it."""
        _, key = note
        try:
            stat, digest = await self._store.stat(key), sha256()
            async for chunk in self._store.read(key):
                digest.update(chunk)
            async with self._database.transaction() as connection:
                await assets.reserve(connection, key)
                if (await self._store.stat(key)).etag != stat.etag:
                    return 0
                kind, found = stat.media_type, digest.hexdigest()
                if await assets.refit(connection, key, size=stat.size, sha256=found, media_type=kind):
                    log.warning("upload was interrupted, its row is mended", key=key)
                await pending.settled(connection, note)
        except (StorageError, NotFound) as error:
            log.warning("upload not looked at", key=key, error=str(error))
            return 0
        return 1

    async def _remove(self, keys: Sequence[str]) -> Sequence[str]:
        """Remove these files from the store; answers those that are gone."""
        try:
            await self._store.delete(keys)
        except Undeleted as error:
            reasons = error.reasons
        except StorageError as error:
            reasons = dict.fromkeys(keys, str(error))
        else:
            return keys
        key, reason = next(iter(reasons.items()))
        log.warning("files not removed, trying again later", count=len(reasons), first=key, error=reason)
        return [key for key in keys if key not in reasons]


async def _expired(origin: Origin, connection: Connection, before: datetime, /, *, after: Mark, limit: int) -> Page:
    return await assets.expired(connection, origin, before, after=after, limit=limit)


async def _purged(now: datetime, connection: Connection, keys: Sequence[str]) -> None:
    await assets.purged(connection, keys, now)
