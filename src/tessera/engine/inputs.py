"""Gather: the caller's input files, fetched under guard, checked, and laid on the local disk."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tessera.domain.errors import InputError, NotFound
from tessera.domain.task import ImageRequest, Reason
from tessera.kit.outbound import Outbound, OutboundError, TooLarge
from tessera.providers.base import InputFile
from tessera.storage.base import Store
from tessera.storage.ingest import measure, spool

UNREACHABLE = "Unable to download image from the provided filesUrl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    images: tuple[InputFile, ...]
    mask: InputFile | None


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

    async def gather(self, request: ImageRequest, folder: Path) -> Gathered:
        """Raises InputError: unreachable, too large, no picture, a mask of another size."""
        images = [await self._image(url, folder / f"input-{index}") for index, url in enumerate(request.images)]
        mask = await self._image(request.mask, folder / "mask") if request.mask else None
        if mask and (mask.width, mask.height) != (images[0].width, images[0].height):
            raise InputError(
                f"maskUrl: the mask has to be of the image's size, {images[0].width}x{images[0].height} pixels; "
                f"it is {mask.width}x{mask.height}"
            )
        return Gathered(images=tuple(images), mask=mask)

    async def _image(self, url: str, path: Path) -> InputFile:
        size = await self._fetch(url, path)
        picture = await measure(path, max_pixels=self._max_pixels)
        return InputFile(
            path=path, media_type=picture.media_type, size=size, width=picture.width, height=picture.height
        )

    async def _fetch(self, url: str, path: Path) -> int:
        key = self._own(url)
        try:
            if key is not None:
                return await self._copy(key, path)
            return (await self._outbound.download(url, path, max_bytes=self._max_bytes, timeout=self._timeout)).size
        except TooLarge as error:
            raise InputError(f"Image size exceeds maximum of {self._max_bytes} bytes") from error
        except (NotFound, OutboundError) as error:
            raise InputError(UNREACHABLE, reason=Reason.INPUT_UNREACHABLE) from error

    async def _copy(self, key: str, path: Path) -> int:
        stat = await self._store.stat(key)
        if stat.size > self._max_bytes:
            raise InputError(f"Image size exceeds maximum of {self._max_bytes} bytes")
        return await spool(self._store.read(key), path, max_bytes=self._max_bytes)
