"""What happens to files between the dump and their turn, and what does not fit where it is restored."""

import asyncio
import hashlib
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tessera import __version__
from tessera.db import assets, dump
from tessera.db.assets import get_many
from tessera.db.connection import Database
from tessera.db.embedded import Embedded
from tessera.domain.asset import Asset, Origin
from tessera.domain.errors import TesseraError
from tessera.engine import backup
from tessera.engine.backup import Backup
from tessera.testing.gateway import OpenHouse
from tessera.wiring import House

Place = Callable[[str], Path]


@pytest.fixture
def free_folder() -> Iterator[Path]:
    """Not pytest's: another run of it closes its parent folder to the user that the embedded server runs as."""
    with tempfile.TemporaryDirectory(prefix="tessera-") as name:
        yield Path(name)


def nothing(part: float) -> None:
    pass


def made(house: House, place: Place | None) -> Backup:
    return Backup(house.database, place, version=__version__, clock=house.clock, signing_key_is_a_setting=place is None)


async def keep(house: House, folder: Path, key: str, content: bytes) -> None:
    """A stored file with its row."""
    (account,) = await house.accounts.all()
    path = folder / "incoming"
    path.write_bytes(content)
    await house.store.put(key, path, media_type="image/png")
    asset = Asset(
        key=key,
        account_id=account.id,
        origin=Origin.UPLOAD,
        media_type="image/png",
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        created_at=house.clock(),
    )
    async with house.database.transaction() as connection:
        await assets.put(connection, [asset])


async def test_a_file_that_was_deleted_or_replaced_meanwhile_is_no_harm(
    open_house: OpenHouse, tmp_path: Path, free_folder: Path
) -> None:
    async with open_house(work=False) as house:
        root = house.config.data_dir.resolve() / "files"
        for key in ("kieai/a", "kieai/b", "kieai/c"):
            await keep(house, tmp_path, key, key.encode())

        def place(key: str) -> Path:
            """By the time that the first file has its turn, two others are not what they were."""
            (root / "kieai/b").unlink(missing_ok=True)
            (root / "kieai/c").write_bytes(b"another one")
            return root / key

        report = await made(house, place).write(tmp_path / "b.tar.gz", force=False, part=nothing)
    assert (report.files, report.gone, report.replaced) == (2, 1, 1)

    data = free_folder / "restored"
    again = await backup.restore(tmp_path / "b.tar.gz", data, storage="local", part=nothing)
    assert (again.files, again.gone, again.replaced, again.counts) == (2, 1, 1, report.counts)
    assert {path.name: path.read_bytes() for path in (data / "files/kieai").iterdir()} == {
        "a": b"kieai/a",
        "c": b"another one",
    }
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (data / "files", *(data / "files").rglob("*"))}
    assert modes == {"files": 0o700, "kieai": 0o700, "a": 0o600, "c": 0o600}
    embedded = Embedded(data / "postgres")
    database = Database(embedded.start(), size=2)
    try:
        await database.open()
        rows = await get_many(database, ["kieai/a", "kieai/c"])
    finally:
        await database.close()
        embedded.stop()
    for key, content in (("kieai/a", b"kieai/a"), ("kieai/c", b"another one")):
        assert (rows[key].size, rows[key].sha256) == (len(content), hashlib.sha256(content).hexdigest())


async def test_of_a_gateway_with_a_bucket_the_database_alone_is_kept(open_house: OpenHouse, tmp_path: Path) -> None:
    async with open_house(work=False) as house:
        await keep(house, tmp_path, "kieai/a", b"a")
        report = await made(house, None).write(tmp_path / "b.tar.gz", force=False, part=nothing)
    assert report.files is None
    assert report.signing_key_is_a_setting
    with pytest.raises(TesseraError, match="TESSERA_STORAGE=s3"):
        await backup.restore(tmp_path / "b.tar.gz", tmp_path / "restored", storage="local", part=nothing)
    assert not (tmp_path / "restored").exists()


async def test_a_backup_of_a_newer_schema_is_refused(
    open_house: OpenHouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_house(work=False) as house:
        await made(house, None).write(tmp_path / "b.tar.gz", force=False, part=nothing)
    monkeypatch.setattr(dump, "newest", lambda: "0001")
    with pytest.raises(TesseraError, match="newer Tessera"):
        await backup.restore(tmp_path / "b.tar.gz", tmp_path / "restored", storage="s3", part=nothing)


async def test_one_that_is_interrupted_leaves_nothing(open_house: OpenHouse, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    async with open_house(work=False) as house:
        root = house.config.data_dir.resolve() / "files"
        for key in ("kieai/a", "kieai/b"):
            await keep(house, tmp_path, key, key.encode())
        packing, loop = asyncio.Event(), asyncio.get_running_loop()
        go_on = threading.Event()

        def place(key: str) -> Path:
            loop.call_soon_threadsafe(packing.set)
            go_on.wait(20)
            return root / key

        running = asyncio.create_task(made(house, place).write(out / "b.tar.gz", force=False, part=nothing))
        await packing.wait()
        running.cancel()
        await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert not list(out.iterdir())


async def test_a_dump_that_fails_leaves_nothing(open_house: OpenHouse, tmp_path: Path) -> None:
    async with open_house(work=False) as house:
        target = tmp_path / "out" / "b.tar.gz"
        target.parent.mkdir()
        broken = made(house, None)
        url, house.database.url = house.database.url, "postgresql://127.0.0.1:1/x"
        with pytest.raises(TesseraError, match="pg_dump failed"):
            await broken.write(target, force=False, part=nothing)
        house.database.url = url
        assert not list(target.parent.iterdir())
