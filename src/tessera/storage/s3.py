"""A bucket on S3 or on what speaks its protocol (R2, MinIO), through obstore."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError, GenericError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store as Bucket

from tessera.domain.errors import NotFound, StorageError
from tessera.kit.clock import Clock, system
from tessera.storage import blocking, names, sniff
from tessera.storage.base import Stat, Undeleted

if TYPE_CHECKING:
    # They exist for type checkers only.
    from obstore import GetResult, OffsetRange
    from obstore.store import S3Credential

CHUNK = 256 * 1024
"""Bytes in a chunk that is read, at least; the network decides."""
PART = 8 * 1024 * 1024
"""Bytes in a part of a large upload; PARTS of them are in memory at once."""
PARTS = 4

LANES = 10
"""Objects that are removed at the same time, where they have to be removed one by one."""

_PATIENCE = timedelta(seconds=15)
_REMOVAL = timedelta(minutes=1)
_COPYABLE = 5 * 10**9
"""Bytes that S3 copies in one request, at the most; its own limit is a little higher."""
_ORDER = (
    "X-Amz-Algorithm",
    "X-Amz-Date",
    "X-Amz-SignedHeaders",
    "X-Amz-Expires",
    "X-Amz-Credential",
    "X-Amz-Signature",
)


class S3Store:
    """Objects in a bucket, addressed in path style; ``prefix`` goes before every key.

    ``endpoint`` is ``https://host[:port]``; None is Amazon's own for the region. ``retries`` is how often a failed
    request is tried again. Nothing is taken from AWS_* variables: only what is given here is used.
    """

    def __init__(
        self,
        bucket: str,
        *,
        endpoint: str | None,
        region: str,
        access_key_id: str,
        secret_access_key: str,
        prefix: str = "",
        retries: int = 5,
        clock: Clock = system,
    ) -> None:
        self._clock = clock
        url = names.base_url(endpoint or f"https://s3.{region}.amazonaws.com")
        keys: S3Credential = {
            "access_key_id": access_key_id,
            "secret_access_key": secret_access_key,
            "token": None,
            "expires_at": None,
        }
        self._bucket = Bucket(
            bucket,
            prefix=prefix.strip("/") or None,
            endpoint=url,
            # This name, found in the environment, would go before `endpoint`; a session token there would be sent.
            aws_endpoint_url_s3=url,
            credential_provider=lambda: keys,
            region=region,
            virtual_hosted_style_request=False,
            skip_signature=False,
            # The time-out of a whole request would cut long downloads off; the one of a single read does not.
            client_options={"allow_http": True, "timeout": "1d", "read_timeout": "30s", "connect_timeout": "5s"},
            retry_config={"max_retries": retries, "retry_timeout": timedelta(minutes=2)},
        )

    async def put(self, key: str, source: Path, *, media_type: str) -> Stat:
        """Store a file, large ones in parts. A direct link serves it as a download with its own name."""
        names.key(key)
        attributes = {
            "Content-Type": media_type,
            "Content-Disposition": names.content_disposition(key.rpartition("/")[2]),
        }
        try:
            with _border():
                size = (await blocking.run(source.stat)).st_size
                stored = await obstore.put_async(
                    self._bucket, key, source, attributes=attributes, chunk_size=PART, max_concurrency=PARTS
                )
        except NotFound as error:
            raise StorageError("The file could not be stored: the bucket or the file is missing") from error
        # Not asked for again: somebody else may have replaced or deleted it by now, and it was stored all the same.
        return _facts(size, media_type, stored["e_tag"], self._clock())

    async def stat(self, key: str) -> Stat:
        with _border():
            # One byte, since only a GET tells the media type here.
            result, _ = await self._get(names.key(key), 0, 1)
            meta = result.meta
            kind = result.attributes.get("Content-Type", sniff.BINARY)
            return _facts(meta["size"], kind, meta["e_tag"], meta["last_modified"])

    async def read(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes ``start`` to ``end``, clipped to the object, in chunks; nothing when none remain."""
        with _border():
            result, skip = await self._get(names.key(key), start, end)
            left = (result.meta["size"] if end is None else end) - start
            if left <= 0:
                return
            async for part in result.stream(CHUNK):
                chunk = bytes(part)[skip:][:left]
                skip = max(skip - len(part), 0)
                left -= len(chunk)
                if chunk:
                    yield chunk
                if left <= 0:
                    return

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove objects, all in one request where that works."""
        reasons, good = _sorted(keys)
        if good:
            try:
                with _border():
                    await obstore.delete_async(self._bucket, good)
            except StorageError as error:
                if len(keys) == 1:
                    raise Undeleted({good[0]: str(error)}) from error
                reasons |= await self._delete_each(good)
        if reasons:
            raise Undeleted(reasons)

    async def rename(self, key: str, new: str) -> None:
        """Copy an object within the bucket; the old one stays."""
        source, target = names.key(key), names.key(new)
        with _border():
            try:
                await obstore.copy_async(self._bucket, source, target)
            except GenericError:
                if (await obstore.head_async(self._bucket, source))["size"] <= _COPYABLE:
                    raise
                # Too large for one request. What was made for the small ones still holds: whole, and at once.
                result = await obstore.get_async(self._bucket, source)
                await obstore.put_async(
                    self._bucket,
                    target,
                    result.stream(PART),
                    attributes=result.attributes,
                    chunk_size=PART,
                    max_concurrency=PARTS,
                )

    def sign(self, key: str, *, expires: timedelta, now: datetime) -> str:
        """A presigned GET URL. The clock is obstore's own (the system's), whatever ``now`` says."""
        with _border():
            url = obstore.sign(self._bucket, "GET", names.key(key), expires)
        path, _, query = url.partition("?")
        # The order means nothing to the signature; it is the one that clients have always seen.
        params = sorted(query.split("&"), key=lambda item: _ORDER.index(item.partition("=")[0]))
        return f"{path}?{'&'.join(params)}"

    async def check(self) -> None:
        try:
            async with asyncio.timeout(_PATIENCE.total_seconds()):
                with _border():
                    await obstore.put_async(self._bucket, "tessera-check", b"tessera")
                    await obstore.delete_async(self._bucket, "tessera-check")
        except TimeoutError as error:
            raise StorageError(f"The object store did not answer within {_PATIENCE.seconds} seconds") from error
        except NotFound as error:
            raise StorageError("The bucket does not exist") from error

    async def _delete_each(self, keys: Sequence[str]) -> dict[str, str]:
        """Remove objects one by one, and say why some could not be: of a request for many, the first error is all."""
        reasons = dict.fromkeys(keys, "The object store took too long")
        lanes = asyncio.Semaphore(LANES)

        async def remove(key: str) -> None:
            async with lanes:
                try:
                    with _border():
                        await obstore.delete_async(self._bucket, key)
                except NotFound:
                    del reasons[key]
                except StorageError as error:
                    reasons[key] = str(error)
                else:
                    del reasons[key]

        with suppress(TimeoutError):
            async with asyncio.timeout(_REMOVAL.total_seconds()):
                await asyncio.gather(*(remove(key) for key in keys))
        return reasons

    async def _get(self, key: str, start: int, end: int | None) -> "tuple[GetResult, int]":
        """An open object, and how many of its first bytes to skip.

        A range may be answered by an error: where the object is shorter, and by servers that say 200 for a part. Both
        are settled by asking for the whole, of which no more is fetched than is read.
        """
        if (start or end is not None) and (end is None or end > start):
            wanted: OffsetRange | tuple[int, int] = {"offset": start} if end is None else (start, end)
            try:
                return await obstore.get_async(self._bucket, key, options={"range": wanted}), 0
            except GenericError:
                pass
        return await obstore.get_async(self._bucket, key), start


def _facts(size: int, media_type: str, etag: str | None, modified_at: datetime) -> Stat:
    # Every S3 tells an entity tag; one that does not gets a weak stand-in.
    return Stat(size=size, media_type=media_type, etag=etag or f'W/"{size:x}"', modified_at=modified_at)


def _sorted(keys: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """What is no key, with the reason, and what is one."""
    reasons, good = {}, []
    for key in keys:
        try:
            good.append(names.key(key))
        except StorageError as error:
            reasons[key] = str(error)
    return reasons, good


@contextmanager
def _border() -> Iterator[None]:
    """Where obstore's errors become ours. Its messages hold addresses and bodies: they stay in the chain, for logs."""
    try:
        yield
    except FileNotFoundError as error:
        raise NotFound("The file does not exist") from error
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise StorageError("The object store refused access; check its key, its secret and its region") from error
    except (BaseError, OSError, ValueError) as error:
        raise StorageError("The object store failed or could not be reached") from error
