"""A folder as an object store. It is written with plain file calls, because a put must be durable before it returns
(write, sync, rename, sync the folder) and because reading this way measured ten times faster than through a wrapper.
"""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from tessera.domain.errors import NotFound, StorageError
from tessera.kit import folders
from tessera.storage import blocking, names, sigv4, sniff
from tessera.storage.base import Blocked, Stat, Undeleted
from tessera.storage.sigv4 import Credentials, Malformed

CHUNK = 512 * 1024
"""Bytes read at a time: large enough for several GB/s, small enough to hold thousands of downloads."""

_STAGING = ".staging"
_STALE = timedelta(days=1)
_TRIES = 100
"""How often a folder is made anew that others, who emptied it, take away at this moment."""


class LocalStore:
    """Objects as files under ``root``; presigned links lead to ``{public_url}/{bucket}/{key}``, where we serve them.

    The media type is not stored: it is what the object's first bytes say, each time.
    """

    def __init__(
        self,
        root: Path,
        *,
        public_url: str,
        credentials: Credentials,
        bucket: str = "tessera",
        region: str = "local",
    ) -> None:
        parts = urlsplit(names.base_url(public_url))
        self.bucket = names.key(bucket)
        self.region = region
        self.host = parts.netloc
        """What a link is signed for, unless another signer was told another name of ours."""
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._prefix = f"{parts.path}/{bucket}/"
        self._root = root.absolute()
        self._credentials = credentials

    async def put(self, key: str, source: Path, *, media_type: str) -> Stat:
        """Store a file. ``media_type`` is for stores that keep one; here the bytes decide, each time they are asked."""
        target = self._path(key)
        try:
            return await blocking.run(self._put, target, source)
        except OSError as error:
            raise StorageError(f"The file could not be stored ({_reason(error)})") from error

    async def stat(self, key: str) -> Stat:
        path = self._path(key)
        with _border():
            return await blocking.run(_stat, path)

    async def read(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes ``start`` to ``end``, clipped to the object, in chunks of at most CHUNK; may be none."""
        path = self._path(key)
        with _border():
            file = await blocking.run(_open, path, start)
            try:
                left = CHUNK if end is None else end - start
                while left > 0:
                    wanted = min(CHUNK, left)
                    chunk = await blocking.run(file.read, wanted)
                    if chunk:
                        yield chunk
                    if len(chunk) < wanted:
                        return
                    left -= len(chunk) if end is not None else 0
            finally:
                file.close()

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove files, and the folders that are empty without them."""
        reasons = await blocking.run(self._delete, keys)
        if reasons:
            raise Undeleted(reasons)

    async def rename(self, key: str, new: str) -> None:
        source, target = self._path(key), self._path(new)
        with _border():
            await blocking.run(self._rename, source, target)

    def sign(self, key: str, *, expires: timedelta, now: datetime) -> str:
        path = f"{self._prefix}{names.key(key)}"
        return sigv4.sign(self._origin, path, self._credentials, region=self.region, expires=expires, now=now)

    def verify(self, method: str, host: str, raw_path: str, raw_query: str, now: datetime) -> str:
        """The key that a presigned link stands for; a LinkError where the link is not valid.

        ``host`` is what the link was signed for, path and query are as on the request line (still escaped, and with
        the path of the public URL, if that has one).
        """
        sigv4.verify(method, host, raw_path, raw_query, self._credentials, region=self.region, now=now)
        try:
            path = unquote(raw_path, errors="strict")
            if path.startswith(self._prefix):
                return names.key(path.removeprefix(self._prefix))
        except (UnicodeDecodeError, StorageError) as error:
            raise Malformed("The path of the link is not an object's path") from error
        raise Malformed("The path of the link is not an object's path")

    async def check(self) -> None:
        """Prove that the folder can be written; sweep what crashed puts have left there a day ago or earlier."""
        try:
            await blocking.run(self._check)
        except OSError as error:
            raise StorageError(f"The storage folder {self._root} cannot be written ({_reason(error)})") from error

    def _path(self, key: str) -> Path:
        path = self._root.joinpath(*names.key(key).split("/"))
        if not path.is_relative_to(self._root):  # a drive letter can do that
            raise StorageError("The object key leads out of the storage folder")
        return path

    def _put(self, target: Path, source: Path) -> Stat:
        with self._staged() as staged:
            shutil.copyfile(source, staged)
            _sync(staged)
            facts = _stat(staged)
            self._settle(staged, target)
        return facts

    def _rename(self, source: Path, target: Path) -> None:
        self._settle(source, target)
        self._prune(source.parent)

    def _settle(self, source: Path, target: Path) -> None:
        """Give a file its place, durably. Raises Blocked, or FileNotFoundError where there is no such file."""
        for _ in range(_TRIES):
            try:
                folders.private(target.parent)
                source.replace(target)
                break
            except FileNotFoundError:
                if not source.exists():
                    raise
            except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
                if not _cleared(target):
                    raise Blocked(self._obstacle(target)) from error
        else:
            raise StorageError("The file could not be stored: its folder is taken away again and again")
        # All the way up, since a folder on the way may be as new as the file; syncing one that is not costs little.
        for folder in self._above(target):
            with suppress(FileNotFoundError):  # our file was removed meanwhile, and the folder with it
                _sync(folder)

    def _obstacle(self, target: Path) -> str:
        """The key of what is in the way of a file."""
        found = next((folder for folder in self._above(target) if folder.is_file()), target)
        return found.relative_to(self._root).as_posix()

    def _above(self, path: Path) -> Iterator[Path]:
        """The folders that a file lies in, up to the root."""
        for folder in path.parents:
            yield folder
            if folder == self._root:
                return

    def _prune(self, folder: Path) -> None:
        """Remove a folder that is empty, and those above it: their names are callers' words."""
        while folder != self._root:
            try:
                folder.rmdir()
            except OSError:
                return
            folder = folder.parent

    @contextmanager
    def _staged(self) -> Iterator[Path]:
        staging = self._root / _STAGING
        # Files are their owner's alone by mkstemp; their names, which a listing would tell, by this.
        folders.private(staging)
        number, name = tempfile.mkstemp(dir=staging)
        os.close(number)
        try:
            yield Path(name)
        finally:
            Path(name).unlink(missing_ok=True)

    def _delete(self, keys: Sequence[str]) -> dict[str, str]:
        """Why some keys could not be removed."""
        reasons = {}
        for key in keys:
            try:
                path = self._path(key)
                with suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
                    path.unlink()
                self._prune(path.parent)
            except StorageError as error:
                reasons[key] = str(error)
            except OSError as error:
                reasons[key] = _reason(error)
        return reasons

    def _check(self) -> None:
        with self._staged() as probe:
            probe.write_bytes(b"tessera")
            _sync(probe)
            now = probe.stat().st_mtime
            for other in (self._root / _STAGING).iterdir():
                with suppress(FileNotFoundError):
                    if now - other.stat().st_mtime > _STALE.total_seconds():
                        other.unlink()


@contextmanager
def _border() -> Iterator[None]:
    """Where the operating system's errors become ours."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise NotFound("The file does not exist") from error
    except OSError as error:
        raise StorageError(f"The storage folder failed ({_reason(error)})") from error


def _cleared(folder: Path) -> bool:
    """Whether a folder in the way held no file, and is gone now."""
    try:
        for path, _, _ in os.walk(folder, topdown=False):
            Path(path).rmdir()
    except OSError:
        return False
    return not folder.exists() and not any(parent.is_file() for parent in folder.parents)


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__


def _open(path: Path, start: int) -> BinaryIO:
    # Without a buffer: chunks are large, and a second copy of each would halve the speed.
    file = path.open("rb", buffering=0)
    file.seek(start)
    return file


def _stat(path: Path) -> Stat:
    with path.open("rb", buffering=0) as file:
        facts = os.fstat(file.fileno())
        kind = sniff.sniff(file.read(sniff.HEAD))
    return Stat(
        size=facts.st_size,
        media_type=kind,
        # The inode is new with every put, so that two puts in one tick of the clock differ, too.
        etag=f'"{facts.st_mtime_ns:x}-{facts.st_ino:x}-{facts.st_size:x}"',
        modified_at=datetime.fromtimestamp(facts.st_mtime, UTC),
    )


def _sync(path: Path) -> None:
    """Have the disk keep a file's bytes or a folder's entries. Windows syncs no folders, and needs none."""
    if os.name == "nt" and path.is_dir():
        return
    number = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
