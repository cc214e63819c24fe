"""What a gateway leaves on the disk and in its log is not for the eyes, or at the mercy, of strangers."""

import io
import logging
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import structlog
from tests.wire.conftest import OpenDesk
from tests.wire.desk import BASE64

from tessera.cli import logs, place
from tessera.config import LogFormat, LogLevel
from tessera.db.embedded import Embedded
from tessera.testing.databases import Databases

FOREIGN = stat.S_IRWXG | stat.S_IRWXO


def open_to_others(root: Path) -> list[str]:
    """What a stranger on this machine could read, by way of folders that he may enter."""
    if stat.S_IMODE(root.stat().st_mode) & FOREIGN == 0:
        return []
    if not root.is_dir():
        return [str(root)]
    return [found for path in root.iterdir() for found in open_to_others(path)]


async def test_files_and_scratch_are_their_owners_alone(open_desk: OpenDesk) -> None:
    before = os.umask(0o022)
    try:
        async with open_desk() as desk:
            await desk.post(BASE64, {"base64Data": "SGVsbG8=", "uploadPath": "up", "fileName": "secret name.txt"})
            await desk.made()
            root = desk.house.config.data_dir
            assert {path.name for path in root.iterdir()} >= {"files", "scratch"}
            assert open_to_others(root) == []
            assert stat.S_IMODE((root / "files").stat().st_mode) == 0o700
            assert stat.S_IMODE(desk.house.scratch.stat().st_mode) == 0o700
            assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in root.rglob("*") if path.is_file())
            folders = [path for path in (root / "files").rglob("*") if path.is_dir()]
            assert len(folders) > 3
            assert all(stat.S_IMODE(path.stat().st_mode) == 0o700 for path in folders)
    finally:
        os.umask(before)


def test_the_data_folder_and_its_lock_are_their_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with place.lock(tmp_path / "new" / "data", "a test"):
            made = [tmp_path / "new", tmp_path / "new" / "data"]
            assert [stat.S_IMODE(path.stat().st_mode) for path in made] == [0o700, 0o700]
            assert stat.S_IMODE((made[1] / place.LOCK).stat().st_mode) == 0o600
    finally:
        os.umask(before)


def test_the_embedded_database_is_its_owners_alone(postgres: Databases) -> None:
    folder = postgres._embedded.folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_socket_that_lies_elsewhere_is_its_owners_alone_too() -> None:
    """The path of a socket has some hundred letters at the most; where the folder's is longer it lies in another."""
    with tempfile.TemporaryDirectory(prefix="tessera-") as base:
        Path(base).chmod(0o755)  # the server may run as another user than we
        folder = Path(base) / ("a-rather-long-name-" * 6) / "postgres"
        embedded = Embedded(folder)
        url = embedded.start()
        try:
            place = Path(url.partition("?host=")[2].replace("%2F", "/"))
            assert place != folder
            assert stat.S_IMODE(place.stat().st_mode) == 0o700
            assert place.stat().st_uid == folder.stat().st_uid
        finally:
            embedded.stop()


# ---- the log ----


@contextmanager
def logging_to(form: LogFormat) -> Iterator[io.StringIO]:
    stream, root, before = io.StringIO(), logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers[:], root.level
    try:
        logs.setup(LogLevel.DEBUG, form, stream=stream)
        yield stream
    finally:
        root.handlers = handlers
        root.setLevel(level)
        logging.captureWarnings(False)
        structlog.configure(**before)


EVIL = [
    "/files/x\n2026-11-23T00:00:00Z [info] task succeeded",
    "/x\r\nnext",
    "/\x1b[2J\x1b]0;title\x07",
    "/\x9b31m",
    "/\u2028next\u0085next",
    "/\u202ereversed",
    "/\ud800",
    "/\x00",
]


@pytest.mark.parametrize("form", [LogFormat.CONSOLE, LogFormat.JSON])
@pytest.mark.parametrize("text", EVIL, ids=ascii)
def test_a_strangers_text_is_one_line_and_no_command(form: LogFormat, text: str) -> None:
    with logging_to(form) as stream:
        structlog.get_logger("tessera.test").warning("request failed", path=text, error=f"{text} failed")
        logging.getLogger("other").warning("said %s", text)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize("text", EVIL, ids=ascii)
def test_a_traceback_keeps_its_lines_and_gives_no_command(text: str) -> None:
    with logging_to(LogFormat.CONSOLE) as stream:
        try:
            raise ValueError(text)
        except ValueError as error:
            structlog.get_logger("tessera.test").error("request failed", exc_info=error)
    shown = stream.getvalue()
    assert "Traceback" in shown
    assert shown.replace("\n", "").isprintable()
