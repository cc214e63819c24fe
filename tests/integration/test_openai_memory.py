"""Inputs on their way to OpenAI: read when their turn comes, a piece at a time, by nobody on the event loop."""

import asyncio
import os
import threading
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.integration.test_openai_images import NOW, Surroundings, environ, job

from tessera.domain.errors import Unavailable
from tessera.providers import openai_images
from tessera.providers.base import InputFile
from tessera.providers.openai_images import Later, OpenAIImages, TornError, provider
from tessera.testing.provider_suite import paint
from tessera.testing.simulators.openai_images import Simulator

BIG = 12_000_000


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(clock=lambda: NOW) as running:
        yield running


@pytest.fixture
async def images(sim: Simulator) -> AsyncIterator[OpenAIImages]:
    made = provider(Surroundings(environ=environ(sim)))
    yield made
    await made.close()


def bloated(path: Path) -> InputFile:
    """A picture with megabytes behind its end."""
    made = paint(path)
    with path.open("ab") as file:
        file.write(os.urandom(1 << 20) * (BIG >> 20))
    return InputFile(path=path, media_type=made.media_type, size=path.stat().st_size)


async def sink(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read a whole request, and say that it was too much."""
    head = await reader.readuntil(b"\r\n\r\n")
    (length,) = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
    left = int(length)
    while left and (piece := await reader.read(65536)):
        left -= len(piece)
    writer.write(b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 2\r\n\r\n{}")
    writer.close()


async def test_many_large_inputs_never_lie_in_memory_whole(tmp_path: Path) -> None:
    server = await asyncio.start_server(sink, "127.0.0.1", 0)
    address, port = server.sockets[0].getsockname()
    settings = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": f"http://{address}:{port}"}
    images = provider(Surroundings(environ=settings))
    source = bloated(tmp_path / "image.png")
    jobs = [job(tmp_path / f"w{number}", files=(source, source)) for number in range(3)]
    tracemalloc.start()
    try:
        answers = await asyncio.gather(*(images.submit(each) for each in jobs), return_exceptions=True)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    await images.close()
    server.close()
    assert [type(answer) for answer in answers] == [Unavailable] * 3
    assert most < 2 * BIG, f"{most:,} bytes for six inputs of {BIG:,}"


async def test_inputs_are_not_read_on_the_event_loop(
    sim: Simulator, images: OpenAIImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers = set()
    read = Later.read

    def noted(self: Later, size: int = -1) -> bytes:
        readers.add(threading.current_thread())
        return read(self, size)

    monkeypatch.setattr(Later, "read", noted)
    await images.submit(job(tmp_path / "w", files=(paint(tmp_path / "image.png"),)))
    assert sim.book
    assert readers
    assert threading.current_thread() not in readers


async def test_no_file_is_open_while_the_answer_is_waited_for(
    sim: Simulator, images: OpenAIImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Later] = []

    class Watched(Later):
        def __init__(self, path: Path, size: int) -> None:
            super().__init__(path, size)
            made.append(self)

    monkeypatch.setattr(openai_images, "Later", Watched)
    sim.fail_next("stall")
    waiting = asyncio.create_task(images.submit(job(tmp_path / "w", files=(paint(tmp_path / "image.png"),) * 2)))
    await asyncio.wait_for(sim.stalled.wait(), 5)
    assert len(made) == 2
    assert all(each._file is None and each.tell() == each._size for each in made)
    waiting.cancel()
    await asyncio.wait({waiting})
    assert all(each.closed for each in made)


async def test_an_input_that_is_cut_on_its_way_is_our_own_trouble(
    sim: Simulator, images: OpenAIImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = paint(tmp_path / "image.png")
    seek = Later.seek

    def cut(self: Later, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_SET:
            os.truncate(source.path, 10)
        return seek(self, offset, whence)

    monkeypatch.setattr(Later, "seek", cut)
    with pytest.raises(Unavailable, match="nothing whole was sent"):
        await images.submit(job(tmp_path / "w", files=(source,)))
    assert sim.book == []


def test_a_file_is_read_like_any_other_and_holds_nothing_open_at_its_end(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abcdef")
    later = Later(tmp_path / "file", 6)
    assert (later.seek(0, os.SEEK_END), later.tell(), later.read(3)) == (6, 6, b"")
    assert later.seek(2) == 2
    assert (later.read(3), later.seek(-1, os.SEEK_CUR), later.read(), later.read()) == (b"cde", 4, b"ef", b"")
    assert later._file is None
    with pytest.raises(TornError):
        Later(tmp_path / "file", 7).read()
    with pytest.raises(TornError):
        Later(tmp_path / "gone", 7).read(1)
