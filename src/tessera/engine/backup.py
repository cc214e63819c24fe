"""Backups of a gateway whose database is the embedded one: all that it knows, and with a local store all its files.

The dump comes first and is of one moment; then the files that this moment knows of. Nobody is held up meanwhile. A file
may be deleted or replaced between the two, and both are harmless: what retention deleted was past its time, and the
next sweep marks its row so; an upload that was replaced is packed as it is now, and its row is refitted on restoring.
"""

import asyncio
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from tessera.db import dump
from tessera.db.connection import Database
from tessera.db.dump import File, Frozen
from tessera.db.embedded import Embedded
from tessera.domain.errors import NotFound, TesseraError
from tessera.kit import archive, folders
from tessera.kit.archive import Damaged, Manifest, Member, Taken, Told
from tessera.kit.clock import Clock

DUMP = "database.dump"
FILES = "files/"
POSTGRES = "postgres"
STAGE = ".restoring"

Part = Callable[[float], None]
"""Hears how far it is, in 0..1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a backup holds. ``gone`` files were deleted and ``replaced`` ones written anew while it was made.

    ``files`` is None where they lie in a bucket and are no part of it. ``bytes`` is the size of the backup itself.
    """

    path: Path
    bytes: int
    files: int | None
    gone: int
    replaced: int
    counts: Mapping[str, int]
    revision: str
    version: str
    made_at: str
    signing_key_is_a_setting: bool


class Backup:
    """``place`` answers where a stored file lies; None where files lie in a bucket."""

    def __init__(
        self,
        database: Database,
        place: Callable[[str], Path] | None,
        *,
        version: str,
        clock: Clock,
        signing_key_is_a_setting: bool,
    ) -> None:
        self._database = database
        self._place = place
        self._version = version
        self._clock = clock
        self._signing_key_is_a_setting = signing_key_is_a_setting

    async def write(self, target: Path, *, force: bool, part: Part) -> Report:
        """Write the backup, whole or not at all. Raises TesseraError where the name is taken or the dump failed."""
        if target.exists() and not force:
            raise TesseraError(_taken(target))
        if not await asyncio.to_thread(target.absolute().parent.is_dir):
            raise NotFound(f"there is no folder {target.absolute().parent}")
        made_at = self._clock().isoformat(timespec="seconds")
        async with _folder(target.absolute().parent) as folder:
            async with dump.frozen(self._database) as moment:
                await dump.dump(self._database.url, moment.snapshot, folder / DUMP)
            manifest = await self._pack(target, folder / DUMP, moment, made_at, force=force, part=part)
        part(1.0)
        return _report(target, manifest)

    async def _pack(
        self, target: Path, dumped: Path, moment: Frozen, made_at: str, *, force: bool, part: Part
    ) -> Manifest:
        files = moment.files if self._place else ()
        facts = {
            "tessera": self._version,
            "schema": moment.revision,
            "made_at": made_at,
            "storage": "local" if self._place else "s3",
            "signing_key": "setting" if self._signing_key_is_a_setting else "database",
            "counts": dict(moment.counts),
        }
        total = dumped.stat().st_size + sum(file.size for file in files)

        def pack(told: Told) -> Manifest:
            sources = chain([(DUMP, dumped)], self._sources(files))
            return archive.pack(
                target, sources, lambda members: {**facts, **_changes(members, files)}, force=force, told=told
            )

        try:
            return await _in_thread(pack, _measure(part, total))
        except Taken as error:
            raise TesseraError(_taken(target)) from error

    def _sources(self, files: Sequence[File]) -> Iterator[tuple[str, Path]]:
        for file in files:
            assert self._place is not None
            yield FILES + file.key, self._place(file.key)


async def restore(source: Path, data_dir: Path, *, storage: str, part: Part) -> Report:
    """Make the gateway of a backup anew in a folder that is empty or missing. Raises TesseraError, and leaves nothing.

    All is checked, and the database filled, before anything gets the place where a gateway looks for it.
    """
    if not await asyncio.to_thread(source.is_file):
        raise NotFound(f"there is no backup {source}")
    made = not data_dir.exists()
    stage = data_dir / STAGE
    await asyncio.to_thread(_prepare, data_dir, stage)
    try:
        report = await _restore(source, stage, storage, part)
        await asyncio.to_thread(_settle, stage, data_dir)
    except BaseException:
        await asyncio.to_thread(shutil.rmtree, stage, ignore_errors=True)
        if made:
            await asyncio.to_thread(_remove, data_dir)
        raise
    part(1.0)
    return report


async def _restore(source: Path, stage: Path, storage: str, part: Part) -> Report:
    try:
        read = _measure(lambda done: part(0.8 * done), source.stat().st_size)
        manifest = await _in_thread(lambda told: archive.unpack(source, stage, told=told), read)
        _check(manifest, storage)
    except Damaged as error:
        raise TesseraError(f"{source} cannot be restored: {error}") from error
    async with _server(stage / POSTGRES) as database:
        await dump.restore(database.url, stage / DUMP)
        part(0.95)
        if await dump.counts(database) != manifest.facts["counts"]:
            raise TesseraError(f"{source} cannot be restored: its database is not the one that was packed")
        replaced = manifest.facts["replaced"]
        await dump.refit(database, [_as_packed(key, manifest.members) for key in replaced])
    (stage / DUMP).unlink()
    return _report(source, manifest)


def _check(manifest: Manifest, storage: str) -> None:
    """Raises Damaged for what was never packed so, and TesseraError for what does not fit this gateway."""
    facts = manifest.facts
    named = isinstance(facts.get("counts"), dict) and isinstance(facts.get("replaced"), list)
    strange = [name for name in manifest.members if name != DUMP and not name.startswith(FILES)]
    if not named or DUMP not in manifest.members or strange:
        raise Damaged("it is no backup of a gateway")
    if any(FILES + str(key) not in manifest.members for key in facts["replaced"]):
        raise Damaged("its list of contents contradicts itself")
    if str(facts.get("schema")) > dump.newest():
        raise TesseraError(
            f"this backup was made by a newer Tessera ({facts.get('tessera')}): restore it with that one"
        )
    if facts.get("storage") != storage:
        raise TesseraError(
            f"this backup is of a gateway with TESSERA_STORAGE={facts.get('storage')}, and this one has {storage}: "
            "set it as it was there"
        )


def _as_packed(key: str, members: Mapping[str, Member]) -> File:
    member = members[FILES + key]
    return File(key, member.size, member.sha256)


def _changes(members: Mapping[str, Member], files: Sequence[File]) -> dict[str, object]:
    """What happened to files between the dump and their turn. Raises TesseraError where it is the dump itself."""
    if DUMP not in members:
        raise TesseraError("the dump of the database is gone: is something tidying up the folder of the backup?")
    packed = {file.key: members.get(FILES + file.key) for file in files}
    return {
        "gone": sorted(file.key for file in files if packed[file.key] is None),
        "replaced": sorted(
            file.key
            for file in files
            if (member := packed[file.key]) is not None and (member.size, member.sha256) != (file.size, file.sha256)
        ),
    }


def _report(path: Path, manifest: Manifest) -> Report:
    facts = manifest.facts
    files = sum(name.startswith(FILES) for name in manifest.members)
    return Report(
        path=path,
        bytes=path.stat().st_size,
        files=files if facts["storage"] == "local" else None,
        gone=len(facts["gone"]),
        replaced=len(facts["replaced"]),
        counts=facts["counts"],
        revision=facts["schema"],
        version=facts["tessera"],
        made_at=facts["made_at"],
        signing_key_is_a_setting=facts["signing_key"] == "setting",
    )


@asynccontextmanager
async def _folder(beside: Path) -> AsyncIterator[Path]:
    """A folder for the dump, on the disk that must have room for it in any case, and for its owner only."""
    path = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix=".tessera-backup-", dir=beside))
    try:
        yield path
    finally:
        await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)


@asynccontextmanager
async def _server(folder: Path) -> AsyncIterator[Database]:
    """A new embedded server below ``folder``, which is stopped in order at the end."""
    embedded = Embedded(folder)
    database = Database(await asyncio.to_thread(embedded.start), size=2)
    try:
        await database.open()
        yield database
    finally:
        await database.close()
        await asyncio.to_thread(embedded.stop)


def _prepare(data_dir: Path, stage: Path) -> None:
    """An empty stage in an empty folder. What a restore that was killed has left may go."""
    folders.private(data_dir)
    others = {path.name for path in data_dir.iterdir()} - {STAGE, "serve.lock"}
    if others:
        raise TesseraError(
            f"{data_dir} is not empty (there is {min(others)!r}): restore into an empty folder with --data-dir"
        )
    if stage.exists():
        shutil.rmtree(stage)
    stage.mkdir(mode=0o700)


def _settle(stage: Path, data_dir: Path) -> None:
    """Everything to its place, the database last: without it, it is no gateway yet."""
    if (stage / "files").exists():
        (stage / "files").rename(data_dir / "files")
    (stage / POSTGRES).rename(data_dir / POSTGRES)
    shutil.rmtree(stage)


def _remove(data_dir: Path) -> None:
    if {path.name for path in data_dir.iterdir()} <= {"serve.lock"}:
        shutil.rmtree(data_dir)


async def _in_thread(call: Callable[[Told], Manifest], told: Told) -> Manifest:
    """Run what blocks and reads much. When we are cancelled it ends at its next block, before anything is tidied up."""
    stop = threading.Event()

    def tell(count: int) -> None:
        if stop.is_set():
            raise InterruptedError("cancelled")
        told(count)

    work = asyncio.get_running_loop().run_in_executor(None, call, tell)
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([work])
        work.cancelled() or work.exception()  # seen: nobody else will ask for it
        raise


def _measure(part: Part, total: int) -> Told:
    done = 0

    def told(count: int) -> None:
        nonlocal done
        done += count
        part(min(1.0, done / max(1, total)))

    return told


def _taken(target: Path) -> str:
    return f"{target} is there already: choose another name, or overwrite it with --force"
