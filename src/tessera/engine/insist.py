"""Writes whose loss would cost money are repeated until the database answers."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

import structlog

from tessera.db.errors import LOST
from tessera.kit.backoff import grow

log = structlog.get_logger(__name__)

T = TypeVar("T")
TRIES = 40
"""With waits up to 5 s: about three minutes. By then another worker has taken the task over."""


async def insist(
    write: Callable[[], Awaitable[T]],
    what: str,
    *,
    tries: int = TRIES,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> T:
    """The answer of ``write``, repeated while the database is away. It has to be safe to repeat.

    Raises its last error when ``tries`` are used up, and at once what says something about the statement itself.
    """
    for attempt in range(1, tries):
        try:
            return await write()
        except LOST as error:
            log.warning("not written, trying again", what=what, tries=attempt, kind=type(error).__name__)
            await sleep(grow(timedelta(milliseconds=100), 2, attempt - 1, timedelta(seconds=5)).total_seconds())
    return await write()
