"""Files and orders that mean harm: they are refused in words, and cost neither the machine nor the deadline."""

import contextlib
import errno
import struct
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

pytest.importorskip("av", reason="the extra 'media' is not installed")

import av
import numpy as np
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from tessera.domain.errors import Failed, ProviderError, Rejected, Unavailable
from tessera.domain.task import Reason, VideoRequest
from tessera.kit.cpu import Crew, WorkDeadlyError, WorkLostError, WorkTooLongError
from tessera.providers.base import InputFile, Job
from tessera.providers.sandbox import Sandbox, media, recording, reel, tape
from tessera.providers.sandbox.makers.films import _scaled, _size
from tessera.providers.sandbox.memo import Label
from tessera.providers.sandbox.reel import Film, Shot
from tessera.providers.sandbox.trouble import BadMediaError

NOW = datetime(2030, 1, 2, tzinfo=UTC)
THIN = [(1, 350), (1, 500), (1, 9000), (9000, 1), (30, 7)]


def gif(path: Path, size: tuple[int, int]) -> Path:
    first, *others = (Image.new("P", size, index) for index in range(3))
    first.save(path, save_all=True, append_images=others, duration=100)
    return path


def shot(folder: Path, **fields: Any) -> Shot:
    plain: dict[str, Any] = {"prompt": "x", "seed": 1, "seconds": 0.2, "width": 160, "height": 160, "sound": False}
    return Shot(**(plain | {"folder": folder, "name": "o"} | fields))


def job(folder: Path, operation: str, source: Path) -> Job:
    file = InputFile(path=source, media_type="", size=1, role="video")
    return Job(
        task_id="t",
        idempotency_key="k",
        model="m",
        request=VideoRequest(prompt="x", resolution="720p"),
        workdir=folder,
        operation=operation,
        files=(file,),
    )


# Shapes


@pytest.mark.parametrize("size", THIN)
def test_a_shape_that_is_no_films_is_never_enlarged(tmp_path: Path, size: tuple[int, int]) -> None:
    source = gif(tmp_path / "thin.gif", size)
    found = reel.probe(source)
    with pytest.raises(BadMediaError, match="as wide"):
        _scaled(found.width, found.height, 720)
    for work in (reel.modify, reel.extend):
        with pytest.raises(BadMediaError):
            work(shot(tmp_path, source=source))
    with pytest.raises(BadMediaError):
        reel.upscale(source, tmp_path, "u", 64, 64)
    assert [file.name for file in tmp_path.iterdir()] == ["thin.gif"]


@pytest.mark.parametrize("operation", ["video.upscale", "video.modify", "video.extend"])
async def test_an_order_for_such_a_film_is_rejected_at_once(tmp_path: Path, operation: str) -> None:
    crew = Crew(1)
    with pytest.raises(Rejected) as caught:
        await Sandbox(lambda: NOW, crew).submit(job(tmp_path, operation, gif(tmp_path / "thin.gif", (1, 350))))
    assert caught.value.reason is Reason.INPUT_INVALID
    await crew.close()


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (1, 4), (3, 2), (5, 5)])
@pytest.mark.parametrize("work", ["modify", "extend", "upscale"])
def test_the_smallest_film_is_worked_on_or_refused(tmp_path: Path, size: tuple[int, int], work: str) -> None:
    source = gif(tmp_path / "tiny.gif", size)
    try:
        if work == "upscale":
            made = reel.upscale(source, tmp_path, "u", 64, 64)
        else:
            made = getattr(reel, work)(shot(tmp_path, source=source))
    except BadMediaError:
        return
    assert isinstance(made, Film) and made.frames


@pytest.mark.parametrize("size", THIN)
def test_a_thin_picture_makes_a_film_or_is_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    for path in (gif(tmp_path / "thin.gif", size), tmp_path / "thin.png"):
        Image.new("RGB", size).save(tmp_path / "thin.png")
        made = reel.shoot(shot(tmp_path, first=path, last=path, references=(path,)))
        assert (made.width, made.height) == (160, 160)
    assert reel.last_frame(tmp_path / "thin.gif", tmp_path / "last.png").exists()


@pytest.mark.parametrize("short", [360, 720, 1080, 2160])
@pytest.mark.parametrize("aspect", [0.25, 9 / 16, 1.0, 16 / 9, 21 / 9, 4.0])
def test_no_film_has_more_pixels_than_may_be_read(short: int, aspect: float) -> None:
    width, height = reel.sized(aspect, short)
    assert width % 2 == height % 2 == 0 and width * height <= reel.MOST_PIXELS
    assert width / height == pytest.approx(aspect, rel=0.01)
    if short < 2160:
        assert min(width, height) == short


@pytest.mark.parametrize("ratio", ["9" * 400 + ":1", "9" * 5000 + ":1", "1:" + "9" * 9, "1000:1", "0:0", "1:0"])
def test_no_ratio_makes_a_film_without_bounds(tmp_path: Path, ratio: str) -> None:
    made = job(tmp_path, "video.generate", tmp_path)
    width, height = _size(VideoRequest(prompt="x", ratio=ratio, resolution="4k"), replace(made, files=()))
    assert 0 < width * height <= reel.MOST_PIXELS


@pytest.mark.parametrize("size", [(64, 252_000), (100_000, 100_000)])
def test_an_order_for_a_huge_film_is_refused_before_anything_is_drawn(tmp_path: Path, size: tuple[int, int]) -> None:
    source = gif(tmp_path / "v.gif", (64, 64))
    with pytest.raises(BadMediaError, match="pixels"):
        reel.modify(shot(tmp_path, source=source, width=size[0], height=size[1]))
    with pytest.raises(BadMediaError, match="pixels"):
        reel.upscale(source, tmp_path, "u", *size)


# Codecs


def coded(path: Path, kind: str, *codecs: str) -> Path:
    """A file with a sound track by each of the codecs."""
    with av.open(str(path), "w", format=kind) as container:
        streams = [container.add_stream(codec, rate=48_000, layout="stereo") for codec in codecs]
        for stream in streams:
            assert isinstance(stream, AudioStream)
            form = stream.codec_context.format.name
            for number in range(12):
                frame = av.AudioFrame(format=form, layout="stereo", samples=stream.codec_context.frame_size or 1024)
                for plane in frame.planes:
                    plane.update(bytes(plane.buffer_size))
                frame.sample_rate, frame.pts = 48_000, number * frame.samples
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    return path


def pictured(path: Path, kind: str, codec: str, form: str) -> Path:
    with av.open(str(path), "w", format=kind) as container:
        stream = container.add_stream(codec, rate=10)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, form
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(frame.reformat(format=form)))
        container.mux(stream.encode())
    return path


LOOKS: list[Callable[[Path], object]] = [recording.load, recording.probe, recording.memo, reel.probe]


@pytest.mark.parametrize(
    ("kind", "codecs"),
    [
        ("matroska", ["wavpack"]),
        ("matroska", ["mp2"]),
        ("matroska", ["ac3"]),
        ("mp4", ["ac3"]),
        ("matroska", ["flac", "ac3"]),
        ("avi", ["mp2"]),
    ],
)
def test_a_sound_by_a_codec_off_the_list_is_refused_at_the_door(tmp_path: Path, kind: str, codecs: list[str]) -> None:
    path = coded(tmp_path / "sound", kind, *codecs)
    for look in LOOKS:
        with pytest.raises(BadMediaError, match=rf"not read here \({codecs[-1]}"):
            look(path)


@pytest.mark.parametrize(
    ("kind", "codec", "form"),
    [("matroska", "ffv1", "yuv420p"), ("avi", "huffyuv", "yuv422p"), ("mov", "png", "rgb24")],
)
def test_pictures_by_a_codec_off_the_list_are_refused_at_the_door(
    tmp_path: Path, kind: str, codec: str, form: str
) -> None:
    path = pictured(tmp_path / "film", kind, codec, form)
    with pytest.raises(BadMediaError, match=codec):
        reel.first_frame(path, tmp_path / "f.png")
    for look in LOOKS:
        with pytest.raises(BadMediaError, match=rf"not read here \({codec}"):
            look(path)


@pytest.mark.parametrize(("codec", "old"), [("flac", b"A_FLAC"), ("aac", b"A_AAC")])
def test_a_sound_that_nobody_can_decode_is_refused_in_words(tmp_path: Path, codec: str, old: bytes) -> None:
    path = coded(tmp_path / "sound", "matroska", codec)
    path.write_bytes(path.read_bytes().replace(old, b"zzzzzzzz"[: len(old)]))
    for look in (recording.load, recording.probe, reel.probe):
        with pytest.raises(BadMediaError):
            look(path)


def test_pictures_that_nobody_can_decode_are_refused_in_words(tmp_path: Path) -> None:
    path = pictured(tmp_path / "film", "matroska", "mpeg4", "yuv420p")
    path.write_bytes(path.read_bytes().replace(b"V_MPEG4/ISO/ASP", b"V_NOBODY/KNOWS/"))
    with pytest.raises(BadMediaError, match="unknown"):
        reel.probe(path)


@pytest.mark.parametrize("error", [AttributeError, ZeroDivisionError, OverflowError, MemoryError, ValueError])
def test_whatever_breaks_over_an_open_file_is_the_files_fault(tmp_path: Path, error: type[Exception]) -> None:
    path = coded(tmp_path / "sound", "matroska", "flac")
    with pytest.raises(BadMediaError, match=error.__name__) as caught, media.open_media(path):
        raise error("x")
    assert isinstance(caught.value.__cause__, error)


@pytest.mark.parametrize(
    ("kind", "codec", "tag"),
    [
        ("adts", "aac", b""),
        ("adts", "aac", b"ID3\x04\x00\x00\x00\x00\x00\x0a" + bytes(10)),
        ("ipod", "aac", b""),
        ("ipod", "alac", b""),
        ("wav", "pcm_alaw", b""),
        ("wav", "adpcm_ms", b""),
    ],
)
def test_the_less_usual_sounds_are_read_by_both(tmp_path: Path, kind: str, codec: str, tag: bytes) -> None:
    path = coded(tmp_path / "sound", kind, codec)
    path.write_bytes(tag + path.read_bytes())
    assert recording.probe(path).seconds > 0.1
    assert reel.probe(path).kind == "audio"


# Covers


def png_bomb(side: int) -> bytes:
    """A PNG file of a few kB whose pixels, 8 bytes each, are far more."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer, row = zlib.compressobj(1), bytes(side * 8 + 1)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, 16, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def jpeg_bomb(side: int) -> bytes:
    file = BytesIO()
    Image.new("L", (side, side)).save(file, "JPEG")
    return file.getvalue()


def with_cover(song: bytes, cover: bytes, kind: bytes) -> bytes:
    """An MP3 file without a tag, and its cover before it."""

    def size(count: int) -> bytes:
        return bytes((count >> shift) & 127 for shift in (21, 14, 7, 0))

    frame = b"\0image/" + kind + b"\0\x03\0" + cover
    picture = b"APIC" + size(len(frame)) + b"\0\0" + frame
    return b"ID3\x04\0\0" + size(len(picture)) + picture + song


def peak() -> int:
    """The most MiB that this process has held. The resource module would count what its parent held as well."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))


def growth(plain: Path, bomb: Path) -> list[int]:
    """MiB by which the peak of this process grows over the second file, after the first, for each way of looking."""
    found = []
    for look in (*LOOKS, tape.listen):
        look(plain)
        before = peak()
        with contextlib.suppress(BadMediaError):
            look(bomb)
        found.append(peak() - before)
    return found


linux = pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from Linux' own account")


@linux
@pytest.mark.parametrize(("kind", "cover"), [(b"png", png_bomb), (b"jpeg", jpeg_bomb)])
async def test_a_cover_is_not_decoded_however_large(tmp_path: Path, kind: bytes, cover: Callable[[int], bytes]) -> None:
    recording.save(np.zeros((2, 44_100), np.float32), tmp_path / "tagged.mp3", Label())
    tagged = (tmp_path / "tagged.mp3").read_bytes()
    song = tagged[tagged.index(b"\xff\xfb") :]
    (tmp_path / "plain.mp3").write_bytes(song)
    (tmp_path / "bomb.mp3").write_bytes(with_cover(song, cover(8000 if kind == b"jpeg" else 4000), kind))
    crew = Crew(1)
    grown = await crew.run(growth, tmp_path / "plain.mp3", tmp_path / "bomb.mp3")
    await crew.close()
    assert max(grown) < 30


@linux
async def test_a_film_of_huge_jpegs_is_refused_before_they_are_decoded(tmp_path: Path) -> None:
    plain = pictured(tmp_path / "film.avi", "avi", "mjpeg", "yuvj420p")
    data, head = plain.read_bytes(), b"\xff\xc0\x00\x11\x08"
    assert head in data
    bomb = tmp_path / "bomb.avi"
    bomb.write_bytes(data.replace(head + struct.pack(">HH", 48, 64), head + struct.pack(">HH", 20_000, 20_000)))
    with pytest.raises(BadMediaError):
        reel.probe(bomb)
    crew = Crew(1)
    grown = await crew.run(growth_of_a_film, plain, bomb)
    await crew.close()
    assert grown < 30


def growth_of_a_film(plain: Path, bomb: Path) -> int:
    reel.probe(plain)
    before = peak()
    with contextlib.suppress(BadMediaError):
        reel.probe(bomb)
    return peak() - before


# What becomes of the job


class Troubled(Crew):
    """A crew all of whose work ends in the same way."""

    def __init__(self, error: Exception) -> None:
        super().__init__(1)
        self._error = error

    async def run(self, *_: object) -> Any:
        raise self._error


@pytest.mark.parametrize(
    ("error", "final", "words"),
    [
        (WorkTooLongError("x"), True, "too long for the sandbox"),
        (WorkDeadlyError("x"), True, "breaks down"),
        (MemoryError("x"), True, "too much memory"),
        (AttributeError("x"), True, "could not do this"),
        (ZeroDivisionError("x"), True, "could not do this"),
        (OSError(errno.EINVAL, "x"), True, "could not do this"),
        (RuntimeError("x"), True, "could not do this"),
        (BadMediaError("x"), True, "could.*process"),
        (WorkLostError("x"), False, "lost"),
        (OSError(errno.ENOSPC, "x"), False, "no room"),
    ],
)
async def test_only_what_may_go_well_the_next_time_is_tried_again(
    tmp_path: Path, error: Exception, final: bool, words: str
) -> None:
    crew = Crew(1)
    mine, troubled = job(tmp_path, "video.upscale", gif(tmp_path / "v.gif", (64, 64))), Troubled(error)
    accepted = await Sandbox(lambda: NOW, crew).submit(mine)
    await crew.close()
    broken = Sandbox(lambda: NOW, troubled, duration=timedelta(0))
    with pytest.raises(ProviderError, match=words) as submitted:
        await broken.submit(mine)
    assert type(submitted.value) is (Rejected if final else Unavailable)
    with pytest.raises(ProviderError, match=words) as asked:
        await broken.poll(replace(mine, upstream_id=accepted.upstream_id))
    assert type(asked.value) is (Failed if final else Unavailable)
