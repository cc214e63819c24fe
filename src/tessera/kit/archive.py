"""A tar that proves itself: its last member lists every other one with its size and SHA-256.

``pack`` writes one while it hashes, and lets it appear under its name only when it is whole. ``unpack`` believes
nothing: a member that is no plain file, or whose name leads anywhere else, ends it, and so does a hash that differs or
a list that is missing, which is how a file looks that was cut short. Both block: call them in a thread.
"""

import gzip
import hashlib
import io
import json
import os
import re
import secrets
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from tessera.kit import folders

MANIFEST = "manifest.json"
FORMAT = 1

_BLOCK = 1 << 20
_SEGMENT = re.compile(r"(?!\.{1,2}$)[^/\\\x00-\x1f]{1,255}")
_BROKEN = (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, UnicodeError)

Told = Callable[[int], None]
"""Hears how many bytes have gone through since it was last told."""


class Damaged(Exception):
    """The archive is not whole, or not what was packed. The message says what is wrong with it."""


class Taken(Exception):
    """There is a file of that name already."""


@dataclass(frozen=True, slots=True)
class Member:
    """What is in the archive under a name: ``size`` in bytes, ``sha256`` in hex."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """The list, and the facts that were packed with it."""

    facts: Mapping[str, Any]
    members: Mapping[str, Member]


def pack(
    target: Path,
    sources: Iterable[tuple[str, Path]],
    facts: Callable[[Mapping[str, Member]], Mapping[str, Any]],
    *,
    force: bool = False,
    told: Told = lambda count: None,
) -> Manifest:
    """Write the archive ``target``, readable by its owner only. A source that is gone is left out.

    ``facts`` is asked at the end, with all that was packed. Raises Taken unless ``force``, and OSError.
    """
    if target.exists() and not force:
        raise Taken(str(target))
    with _appearing(target, force=force) as file:
        members: dict[str, Member] = {}
        # The media are compressed already: more effort would cost minutes and win nothing.
        with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1, format=tarfile.PAX_FORMAT) as tar:
            for name, path in sources:
                member = _add(tar, name, path, told)
                if member is not None:
                    members[name] = member
            manifest = Manifest(facts(members), members)
            _write_list(tar, manifest)
    return manifest


def unpack(source: Path, folder: Path, *, told: Told = lambda count: None) -> Manifest:
    """Extract into ``folder``, which is there and empty, and hold every member against the list. Raises Damaged."""
    found: dict[str, Member] = {}
    listed: Manifest | None = None
    try:
        # Not tarfile's own gunzip, which does not look at the checksum at the end.
        with (
            source.open("rb") as file,
            gzip.GzipFile(fileobj=_counted(file, told)) as plain,
            tarfile.open(fileobj=plain, mode="r|") as tar,
        ):
            for info in tar:
                if listed is not None:
                    raise Damaged("something follows its list of contents")
                content = _content(tar, info, found)
                if info.name == MANIFEST:
                    listed = _read_list(content.read())
                else:
                    found[info.name] = _extract(content, folder.joinpath(*info.name.split("/")))
            while plain.read(_BLOCK):
                pass  # to the very end, where the checksum is
    except _BROKEN as error:
        raise Damaged("it is cut short, or no backup at all") from error
    if listed is None:
        raise Damaged("it ends without its list of contents: it is cut short")
    _compare(listed.members, found)
    return listed


@contextmanager
def _appearing(target: Path, *, force: bool) -> Iterator[IO[bytes]]:
    """A file that has its name only when the block has ended well."""
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    number = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(number, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if target.exists() and not force:
            raise Taken(str(target))
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _sync_folder(target.absolute().parent)


def _add(tar: tarfile.TarFile, name: str, path: Path, told: Told) -> Member | None:
    try:
        file = path.open("rb", buffering=0)
    except FileNotFoundError:
        return None
    with file:
        info = tarfile.TarInfo(name)
        status = os.fstat(file.fileno())
        info.size, info.mtime, info.mode = status.st_size, int(status.st_mtime), 0o600
        hashed = _Hashed(file, told)
        tar.addfile(info, cast("IO[bytes]", hashed))
    return Member(info.size, hashed.digest.hexdigest())


def _write_list(tar: tarfile.TarFile, manifest: Manifest) -> None:
    members = {name: {"size": each.size, "sha256": each.sha256} for name, each in manifest.members.items()}
    text = json.dumps({"format": FORMAT, **manifest.facts, "members": members}, indent=1).encode()
    info = tarfile.TarInfo(MANIFEST)
    info.size, info.mode = len(text), 0o600
    tar.addfile(info, io.BytesIO(text))


def _content(tar: tarfile.TarFile, info: tarfile.TarInfo, found: Mapping[str, Member]) -> IO[bytes]:
    if not info.isreg() or info.issparse():
        raise Damaged(f"it holds {info.name!r}, which is no plain file")
    if not all(_SEGMENT.fullmatch(part) for part in info.name.split("/")) or info.name in found:
        raise Damaged(f"it holds a file under the name {info.name!r}")
    content = tar.extractfile(info)
    assert content is not None  # a plain file has content
    return content


def _extract(content: IO[bytes], path: Path) -> Member:
    folders.private(path.parent)
    digest, size = hashlib.sha256(), 0
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(number, "wb") as file:
        while block := content.read(_BLOCK):
            file.write(block)
            digest.update(block)
            size += len(block)
        file.flush()
        os.fsync(file.fileno())
    return Member(size, digest.hexdigest())


def _read_list(text: bytes) -> Manifest:
    try:
        facts = json.loads(text)
        if facts.pop("format") != FORMAT:
            raise Damaged("it was made by a newer version")
        members = {name: Member(int(each["size"]), str(each["sha256"])) for name, each in facts.pop("members").items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Damaged("its list of contents cannot be read") from error
    return Manifest(facts, members)


def _compare(listed: Mapping[str, Member], found: Mapping[str, Member]) -> None:
    if missing := sorted(listed.keys() - found.keys()):
        raise Damaged(f"{len(missing)} files are missing, the first is {missing[0]!r}")
    if strange := sorted(found.keys() - listed.keys()):
        raise Damaged(f"{len(strange)} files are not on its list, the first is {strange[0]!r}")
    if altered := sorted(name for name, member in found.items() if listed[name] != member):
        raise Damaged(f"{len(altered)} files were altered, the first is {altered[0]!r}")


def _sync_folder(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _counted(file: IO[bytes], told: Told) -> IO[bytes]:
    return cast("IO[bytes]", _Counted(file, told))  # whoever gets it does nothing but read


class _Counted:
    """A file that tells how much of it was read."""

    def __init__(self, file: IO[bytes], told: Told) -> None:
        self._file = file
        self._told = told

    def read(self, size: int = -1) -> bytes:
        block = self._file.read(size)
        self._told(len(block))
        return block


class _Hashed(_Counted):
    """One that is hashed, too."""

    def __init__(self, file: IO[bytes], told: Told) -> None:
        super().__init__(file, told)
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        block = super().read(size)
        self.digest.update(block)
        return block
