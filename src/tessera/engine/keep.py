"""Keep: a provider's outputs come into our storage, each with its size and hash, before the task is a success."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import structlog

from tessera.domain.asset import Asset, Origin
from tessera.domain.errors import StorageError
from tessera.domain.task import Attempt, AttemptState, Failure, Reason, Task
from tessera.engine import faults
from tessera.engine.step import HandBack, Steps, Verdict
from tessera.kit import trace
from tessera.kit.backoff import grow
from tessera.kit.bell import Gate
from tessera.kit.clock import Clock
from tessera.kit.outbound import BadStatus, Outbound, OutboundError, Refused
from tessera.kit.outbound import TooLarge as TooLong
from tessera.providers.base import Done, LocalFile, Output, Running
from tessera.storage.base import Store
from tessera.storage.ingest import TooLarge, WrongType, ingest

log = structlog.get_logger(__name__)

TRIES = 4

STORING = 16
"""Outputs that are fetched and stored at a time: thousands may be ready at once, and every other task wants to be asked
after meanwhile."""

SLOW = 1.0
"""Seconds after which an output is on its way from or to somebody slow, and keeps nobody from beginning."""

HOPELESS = (TooLarge, WrongType, Refused, TooLong)
"""What is so now will be so the next time, too."""

NOT_STORED = "The result could not be stored; nothing was charged. Please try again"
NO_OUTPUTS = "The provider ended this task without a result; nothing was charged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What one output may be at the most, and how many seconds its download may take."""

    bytes: int
    pixels: int
    seconds: float = 300.0


class Keep:
    def __init__(self, store: Store, outbound: Outbound, steps: Steps, bounds: Bounds, *, clock: Clock) -> None:
        self._store = store
        self._outbound = outbound
        self._steps = steps
        self._bounds = bounds
        self._clock = clock
        self._gate = Gate(STORING, patience=SLOW)

    async def all(
        self, task: Task, attempt: Attempt, made: Done | Running, folder: Path, kept: int = 0, *, again: bool
    ) -> list[Asset]:
        """The outputs as stored assets, in order, but for the first ``kept``, which are stored already.

        Raises Verdict when one cannot be had or kept, or when there is nothing at all; LostClaim; and HandBack when the
        process drains: at once where the provider can be asked for these outputs ``again``.
        """
        if isinstance(made, Done) and not made.outputs and not made.pieces:
            failure = Failure(Reason.PROVIDER, NO_OUTPUTS)
            raise Verdict(AttemptState.FAILED, failure, cause=None, elsewhere=False)
        fresh = list(enumerate(made.outputs))[kept:]
        with trace.span("ingest", outputs=len(fresh)):
            return [await self._one(task, attempt, output, position, folder, again=again) for position, output in fresh]

    async def _one(
        self, task: Task, attempt: Attempt, output: Output, position: int, folder: Path, *, again: bool
    ) -> Asset:
        failures = 0
        while True:
            await faults.reach("run.ingesting")
            try:
                async with self._gate.through():
                    if again and self._steps.draining.is_set():
                        raise HandBack  # a long line would take longer than the drain does
                    return await self._store_one(task, attempt, output, position, folder)
            except (StorageError, OutboundError) as error:
                failures += 1
                if _hopeless(error) or (failures >= TRIES and (_refused(error) or self._steps.over(task))):
                    failure = Failure(Reason.STORAGE, NOT_STORED)
                    raise Verdict(AttemptState.FAILED, failure, cause=None, elsewhere=False) from error
                log.warning("output not stored", position=position, failures=failures, error=str(error))
                await self._steps.pause(grow(timedelta(seconds=1), 4, failures - 1, timedelta(minutes=1)))

    async def _store_one(self, task: Task, attempt: Attempt, output: Output, position: int, folder: Path) -> Asset:
        # Epoch and attempt in the name: neither a worker that lost its claim nor a second attempt can ever write over
        # the file that counts.
        path = await self._fetch(output, folder / f"output-{position}")
        await faults.reach("run.fetched")
        kept = await ingest(
            self._store,
            f"s/{task.id}-{task.epoch}-{attempt.number}_{position}",
            path,
            spool_dir=folder,
            max_bytes=self._bounds.bytes,
            max_pixels=self._bounds.pixels,
            before=lambda key: self._steps.storing(task, key),
        )
        return Asset(
            key=kept.key,
            account_id=task.account_id,
            origin=Origin.OUTPUT,
            media_type=kept.media_type,
            size=kept.size,
            sha256=kept.sha256,
            created_at=self._clock(),
            task_id=task.id,
            position=position,
            width=kept.width,
            height=kept.height,
            seconds=kept.seconds,
        )

    async def _fetch(self, output: Output, path: Path) -> Path:
        if isinstance(output, LocalFile):
            return output.path
        await self._outbound.download(
            output.url, path, max_bytes=self._bounds.bytes, timeout=self._bounds.seconds, headers=output.headers
        )
        return path


def _hopeless(error: Exception) -> bool:
    return isinstance(error, HOPELESS)


def _refused(error: Exception) -> bool:
    """Their host says that it has no such file for us; an outage, theirs or ours, is waited out until the deadline."""
    return isinstance(error, BadStatus) and 400 <= error.status < 500
