"""Gather: the caller's input files, fetched under guard, checked, and laid on the local disk."""

from collections.abc import Callable
from pathlib import Path

from tessera.domain.errors import InputError, NotFound
from tessera.domain.task import Kind, Reason, Request, Source
from tessera.kit.outbound import Outbound, OutboundError, TooLarge
from tessera.providers.base import InputFile
from tessera.storage.base import Store
from tessera.storage.ingest import measure, spool


class Inputs:
    """``own`` answers the object key behind one of our own links, None for a foreign URL."""

    def __init__(
        self,
        outbound: Outbound,
        store: Store,
        own: Callable[[str], str | None],
        *,
        max_bytes: int,
        max_pixels: int,
        timeout: float = 60.0,
    ) -> None:
        self._outbound = outbound
        self._store = store
        self._own = own
        self._max_bytes = max_bytes
        self._max_pixels = max_pixels
        self._timeout = timeout

    async def gather(self, request: Request, folder: Path) -> tuple[InputFile, ...]:
        """The sources of a request, in their order.

        Raises InputError: unreachable, too large, not what it has to be, a mask of another size.
        """
        files = [await self._one(source, folder / f"input-{index}") for index, source in enumerate(request.sources())]
        image, mask = (next((file for file in files if file.role == role), None) for role in ("image", "mask"))
        if image and mask and (mask.width, mask.height) != (image.width, image.height):
            raise InputError(
                f"maskUrl: the mask has to be of the image's size, {image.width}x{image.height} pixels; "
                f"it is {mask.width}x{mask.height}"
            )
        return tuple(files)

    async def _one(self, source: Source, path: Path) -> InputFile:
        size = await self._fetch(source, path)
        found = await measure(path, source.kind, max_pixels=self._max_pixels)
        return InputFile(
            path=path,
            media_type=found.media_type,
            size=size,
            width=found.width,
            height=found.height,
            role=source.role,
        )

    async def _fetch(self, source: Source, path: Path) -> int:
        key, thing = self._own(source.url), source.kind
        try:
            if key is not None:
                return await self._copy(key, path, thing)
            return (
                await self._outbound.download(source.url, path, max_bytes=self._max_bytes, timeout=self._timeout)
            ).size
        except TooLarge as error:
            raise InputError(_too_large(thing, self._max_bytes)) from error
        except (NotFound, OutboundError) as error:
            raise InputError(_unreachable(thing), reason=Reason.INPUT_UNREACHABLE) from error

    async def _copy(self, key: str, path: Path, thing: Kind) -> int:
        stat = await self._store.stat(key)
        if stat.size > self._max_bytes:
            raise InputError(_too_large(thing, self._max_bytes))
        return await spool(self._store.read(key), path, max_bytes=self._max_bytes)


def _too_large(thing: Kind, limit: int) -> str:
    return f"{thing.capitalize()} size exceeds maximum of {limit} bytes"


def _unreachable(thing: Kind) -> str:
    return f"Unable to download the {thing} from the provided URL"
