"""A tar that proves itself, and what happens to those that do not."""

import gzip
import io
import json
import os
import stat
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tessera.kit import archive
from tessera.kit.archive import MANIFEST, Damaged, Manifest, Member, Taken

FILES = {"database.dump": b"rows" * 5000, "files/a/b.png": bytes(range(256)) * 300, "files/empty": b""}


def packed(folder: Path, *, force: bool = False) -> tuple[Path, Manifest]:
    source = folder / "source"
    for name, content in FILES.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(content)
    target = folder / "backup.tar.gz"
    sources = [(name, source / name) for name in FILES]
    return target, archive.pack(target, sources, lambda _: {"by": "test"}, force=force)


def unpacked(target: Path) -> tuple[Path, Manifest]:
    folder = target.parent / "out"
    folder.mkdir()
    return folder, archive.unpack(target, folder)


def test_what_was_packed_is_what_is_unpacked(tmp_path: Path) -> None:
    target, manifest = packed(tmp_path)
    folder, found = unpacked(target)
    assert {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()} == FILES
    assert found == manifest
    assert found.facts == {"by": "test"}
    assert set(found.members) == set(FILES)


def test_only_its_owner_may_read_it_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    target, _ = packed(tmp_path)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup.tar.gz", "source"]


def test_what_is_unpacked_is_its_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        folder, _ = unpacked(packed(tmp_path)[0])
    finally:
        os.umask(before)
    modes = {path.relative_to(folder).as_posix(): stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*")}
    assert {name: mode for name, mode in modes.items() if mode != (0o600 if name in FILES else 0o700)} == {}


def test_a_file_that_is_there_is_not_overwritten_unless_it_is_meant(tmp_path: Path) -> None:
    target, _ = packed(tmp_path)
    before = target.read_bytes()
    with pytest.raises(Taken):
        packed(tmp_path)
    assert target.read_bytes() == before
    packed(tmp_path, force=True)


def test_a_backup_that_fails_leaves_the_last_one_as_it_was(tmp_path: Path) -> None:
    target, _ = packed(tmp_path)
    before = target.read_bytes()

    def fail(members: Mapping[str, Member]) -> Mapping[str, object]:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        archive.pack(target, [], fail, force=True)
    assert target.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup.tar.gz", "source"]


def test_a_source_that_is_gone_is_left_out_and_its_absence_told(tmp_path: Path) -> None:
    told: list[Mapping[str, Member]] = []

    def facts(members: Mapping[str, Member]) -> Mapping[str, object]:
        told.append(dict(members))
        return {}

    (tmp_path / "a").write_bytes(b"a")
    target = tmp_path / "b.tar.gz"
    archive.pack(target, [("a", tmp_path / "a"), ("b", tmp_path / "nowhere")], facts)
    assert [set(each) for each in told] == [{"a"}]
    assert set(unpacked(target)[1].members) == {"a"}


def test_every_byte_that_goes_through_is_told(tmp_path: Path) -> None:
    target, _ = packed(tmp_path)
    counts: list[int] = []
    (tmp_path / "out").mkdir()
    archive.unpack(target, tmp_path / "out", told=counts.append)
    assert sum(counts) == target.stat().st_size


@pytest.mark.parametrize("part", [0.0, 0.01, 0.3, 0.6, 0.9, 0.99, 0.999])
def test_one_that_was_cut_short_is_refused(tmp_path: Path, part: float) -> None:
    target, _ = packed(tmp_path)
    content = target.read_bytes()
    target.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(Damaged):
        unpacked(target)


@pytest.mark.parametrize("blocks", [1, 2, 40, 60, 150])
def test_a_tar_that_was_cut_between_two_blocks_is_refused(tmp_path: Path, blocks: int) -> None:
    """Here the compression is whole, and only the list can tell."""
    target, _ = packed(tmp_path)
    target.write_bytes(gzip.compress(gzip.decompress(target.read_bytes())[: 512 * blocks]))
    with pytest.raises(Damaged):
        unpacked(target)


def test_no_altered_byte_of_a_file_goes_unseen(tmp_path: Path) -> None:
    target, _ = packed(tmp_path)
    plain = bytearray(gzip.decompress(target.read_bytes()))
    plain[plain.index(FILES["files/a/b.png"]) + 77] ^= 1
    target.write_bytes(gzip.compress(bytes(plain)))
    with pytest.raises(Damaged, match="altered"):
        unpacked(target)


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "photo.png"
    target.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(5000))
    with pytest.raises(Damaged):
        unpacked(target)


Edit = Callable[[tarfile.TarFile], None]


def rebuilt(tmp_path: Path, before: Edit = lambda tar: None, after: Edit = lambda tar: None) -> Path:
    """A good archive with something before its members, or after its list."""
    target, _ = packed(tmp_path)
    evil = tmp_path / "evil.tar.gz"
    with tarfile.open(target) as old, tarfile.open(evil, "w:gz") as new:
        before(new)
        for info in old:
            new.addfile(info, old.extractfile(info))
        after(new)
    return evil


def member(name: str, content: bytes = b"x", kind: bytes = tarfile.REGTYPE, link: str = "") -> Edit:
    def add(tar: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.size = kind, link, len(content)
        tar.addfile(info, io.BytesIO(content))

    return add


@pytest.mark.parametrize(
    "edit",
    [
        member("../evil"),
        member("files/../../evil"),
        member("/tmp/evil"),
        member("files//evil"),
        member("files/./evil"),
        member("files\\..\\evil"),
        member("files/e\x01vil"),
        member("files/" + "x" * 256),
        member("files/link", b"", tarfile.SYMTYPE, "/etc/passwd"),
        member("files/link", b"", tarfile.LNKTYPE, "database.dump"),
        member("files/device", b"", tarfile.CHRTYPE),
        member("files/pipe", b"", tarfile.FIFOTYPE),
        member("files/folder", b"", tarfile.DIRTYPE),
        member("files/a/b.png"),
        member("files/not-on-the-list"),
    ],
    ids=lambda edit: "edit",
)
def test_nothing_is_extracted_that_was_not_packed(tmp_path: Path, edit: Edit) -> None:
    evil = rebuilt(tmp_path, before=edit)
    with pytest.raises(Damaged):
        unpacked(evil)
    assert not (tmp_path / "evil").exists()
    assert not Path("/tmp/evil").exists()
    assert not any(path.is_symlink() for path in (tmp_path / "out").rglob("*"))


def test_nothing_may_follow_the_list(tmp_path: Path) -> None:
    with pytest.raises(Damaged, match="follows"):
        unpacked(rebuilt(tmp_path, after=member("files/late")))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b"not json",
        b"\xff",
        json.dumps({"format": 2, "members": {}}).encode(),
        json.dumps({"format": 1, "members": []}).encode(),
        json.dumps({"format": 1, "members": {"a": {"size": 1}}}).encode(),
        json.dumps({"format": 1, "members": {"a": {"size": 1, "sha256": "0"}}}).encode(),
    ],
)
def test_a_list_that_says_something_else_is_refused(tmp_path: Path, text: bytes) -> None:
    target = tmp_path / "b.tar.gz"
    with tarfile.open(target, "w:gz") as tar:
        member(MANIFEST, text)(tar)
    with pytest.raises(Damaged):
        unpacked(target)
