"""The films of the sandbox: real video that moves and sounds, the same for the same order, and wary of strangers."""

import math
import os
import struct
import subprocess
import sys
import wave
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

pytest.importorskip("av", reason="the extra 'media' is not installed")

import av
import numpy as np
import numpy.typing as npt
from av.audio.stream import AudioStream
from av.filter import Graph
from av.video.stream import VideoStream

from tessera.kit.cpu import Crew
from tessera.providers.sandbox import edit, footage, probe, reel, sound
from tessera.providers.sandbox.palette import PALETTES
from tessera.providers.sandbox.planes import gray, turn
from tessera.providers.sandbox.reel import Film, Shot
from tessera.providers.sandbox.titles import Card
from tessera.providers.sandbox.trouble import BadMediaError

Light = npt.NDArray[np.int16]
Wave = npt.NDArray[np.float64]
SIZE = (320, 180)


def shot(folder: Path, **fields: object) -> Shot:
    plain: dict[str, object] = {"prompt": "a quiet harbour at dusk", "seed": 7, "seconds": 1.0, "name": "film"}
    plain |= {"width": SIZE[0], "height": SIZE[1], "folder": folder, "label": ("model-x", "16:9")}
    return Shot(**(plain | fields))  # type: ignore[arg-type]


def photo(path: Path, shift: int = 0, size: tuple[int, int] = SIZE) -> Path:
    image = Image.merge("RGB", [Image.linear_gradient("L").rotate(turn).resize(size) for turn in (0, 90, 180)])
    draw = ImageDraw.Draw(image)
    draw.ellipse((size[0] * 0.2, size[1] * 0.2, size[0] * 0.5, size[1] * 0.7), fill=(220, 40 + shift, 60))
    draw.rectangle((size[0] * 0.6, size[1] * 0.1, size[0] * 0.9, size[1] * 0.3), fill=(20, 180 - shift, 90))
    image.save(path)
    return path


def tone(path: Path, seconds: float = 1.0, loud: Callable[[float], float] = lambda time: 1.0) -> Path:
    """A WAV file with a tone, louder and softer as ``loud`` says."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        values = (round(9000 * loud(n / 16_000) * math.sin(n * 0.17)) for n in range(round(seconds * 16_000)))
        file.writeframes(b"".join(struct.pack("<h", value) for value in values))
    return path


def decoded(path: Path) -> list[Light]:
    """The light of every frame."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray()[: frame.height].astype(np.int16) for frame in container.decode(video=0)]


def heard(path: Path) -> Wave:
    found = sound.read(path)
    assert found is not None
    return found.astype(np.float64)


def apart(first: Light, second: Light) -> float:
    return float(np.abs(first - second).mean())


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Film:
    return reel.shoot(shot(tmp_path_factory.mktemp("film")))


# What a film is


def test_a_film_has_the_size_the_length_and_the_frames_that_it_says(film: Film) -> None:
    assert (film.width, film.height, film.frames, film.seconds, film.has_sound) == (320, 180, 24, 1.0, True)
    assert len(decoded(film.path)) == 24
    found = probe.probe(film.path)
    assert (found.kind, found.codec, found.width, found.height, found.frames) == ("video", "h264", 320, 180, 24)
    assert found.seconds == pytest.approx(1.0, abs=0.01) and found.fps == pytest.approx(24, abs=0.1)
    assert found.has_sound


def test_a_film_plays_in_a_browser_while_it_loads(film: Film) -> None:
    data = film.path.read_bytes()
    assert data[4:8] == b"ftyp"
    assert 0 < data.index(b"moov") < data.index(b"mdat")
    with av.open(str(film.path)) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"
        assert container.streams.audio[0].codec_context.name == "aac"


def test_a_film_says_what_it_is_in_its_file(film: Film) -> None:
    with av.open(str(film.path)) as container:
        assert "not a model output" in container.metadata["comment"]
        assert "seed 7" in container.metadata["comment"]
        assert container.metadata["title"] == "a quiet harbour at dusk"


def test_something_moves_in_every_second_of_a_film(film: Film) -> None:
    frames = decoded(film.path)
    assert all(apart(one, two) > 0.15 for one, two in pairwise(frames))
    assert apart(frames[0][:90], frames[-1][:90]) > 3  # the picture itself, above the card


def test_the_card_counts_the_frames_and_its_line_grows() -> None:
    card = Card("a prompt", ("model-x", "seed 7"), (1280, 720), PALETTES[0])
    frames = [gray((1280, 720), 120) for _ in range(3)]
    for frame, number in zip(frames, (17, 17, 180), strict=True):
        card.put(frame, number, 192)
    first, again, later = (frame.y.astype(np.int16) for frame in frames)
    assert not (first != again).any()
    rows = np.nonzero((first != later).any(axis=1))[0]
    line, number = rows[rows < rows[0] + 10], rows[rows > rows[0] + 20]
    assert len(line) <= 4 and 8 < len(number) < 24  # nothing else has changed: the line, and one row of letters
    assert np.abs(first - 120).max(axis=0)[:30].max() == 0  # beside the card the frame is as it was


@pytest.mark.parametrize(
    "prompt", ["a rocket among stars", "roman mosaic", "jazz", "falling snow", "火 🐉 lava", "", "x" * 3000]
)
def test_every_prompt_makes_a_film(tmp_path: Path, prompt: str) -> None:
    made = reel.shoot(shot(tmp_path, prompt=prompt, seconds=0.25, width=160, height=90))
    frames = decoded(made.path)
    assert len(frames) == 6
    assert apart(frames[0], frames[-1]) > 0.5
    assert frames[0].std() > 10


@pytest.mark.parametrize(("width", "height"), [(91, 161), (640, 64), (33, 33)])
def test_an_odd_size_is_made_even(tmp_path: Path, width: int, height: int) -> None:
    made = reel.shoot(shot(tmp_path, seconds=0.1, width=width, height=height, sound=False))
    assert (made.width, made.height) == (width // 2 * 2, height // 2 * 2)
    assert decoded(made.path)[0].shape == (made.height, made.width)


def test_a_film_larger_than_the_stage_is_enlarged(tmp_path: Path) -> None:
    made = reel.shoot(shot(tmp_path, seconds=0.03, width=2560, height=1440, sound=False))
    assert probe.probe(made.path).width == 2560


_PROGRAM = """
import sys
from pathlib import Path
from tessera.providers.sandbox.reel import Shot, shoot
shoot(Shot(prompt="night rain", seed=3, seconds=0.5, width=192, height=108, folder=Path(sys.argv[1]), name="a"))
"""


def test_the_same_order_makes_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    subprocess.run([sys.executable, "-c", _PROGRAM, str(tmp_path / "there")], check=True, env=environment)
    here = reel.shoot(
        Shot(prompt="night rain", seed=3, seconds=0.5, width=192, height=108, folder=tmp_path / "here", name="a")
    )
    assert here.path.read_bytes() == (tmp_path / "there" / "a.mp4").read_bytes()
    assert not list(tmp_path.rglob("*.part"))


def test_another_seed_makes_another_film(film: Film, tmp_path: Path) -> None:
    other = reel.shoot(shot(tmp_path, seed=8))
    assert apart(decoded(film.path)[0], decoded(other.path)[0]) > 3


# Sound


def test_a_track_is_heard_and_ends_without_a_click(film: Film) -> None:
    samples = heard(film.path)[:48_000]
    assert 800 < np.sqrt((samples**2).mean()) < 8000
    assert np.abs(samples).max() < 30_000
    assert np.abs(samples[-200:]).max() < 250
    assert np.abs(np.diff(samples, axis=0)).max() < 6000


def test_a_track_has_the_loudness_of_a_broadcast_or_a_little_more() -> None:
    graph = Graph()
    source = graph.add_abuffer(format="s16", sample_rate=sound.RATE, layout="stereo", time_base=Fraction(1, sound.RATE))
    meter, sink = graph.add("ebur128", "metadata=1"), graph.add("abuffersink")
    source.link_to(meter)
    meter.link_to(sink)
    graph.configure()
    frame = av.AudioFrame.from_ndarray(sound.score("a waltz", 5, 6.0).reshape(1, -1), format="s16", layout="stereo")
    frame.sample_rate, frame.pts = sound.RATE, 0
    graph.push(frame)
    measured = float(list(pulled(graph))[-1].metadata["lavfi.r128.I"])
    assert -24 < measured < -17


def pulled(graph: Graph) -> Iterator[av.AudioFrame]:
    while True:
        try:
            frame = graph.pull()
        except (av.BlockingIOError, av.EOFError):
            return
        assert isinstance(frame, av.AudioFrame)
        yield frame


def test_a_silent_film_has_no_track(tmp_path: Path) -> None:
    made = reel.shoot(shot(tmp_path, seconds=0.2, sound=False))
    assert not made.has_sound
    assert not probe.probe(made.path).has_sound
    assert sound.read(made.path) is None


# From pictures


def test_a_film_begins_with_its_first_picture_and_ends_with_its_last(tmp_path: Path) -> None:
    first, last = photo(tmp_path / "1.png"), photo(tmp_path / "2.png", shift=130, size=(400, 400))
    made = reel.shoot(shot(tmp_path, first=first, last=last))
    frames = decoded(made.path)
    wanted = [turn(edit.fit(edit.load(path), SIZE)).y.astype(np.int16) for path in (first, last)]
    assert apart(frames[0], wanted[0]) < 4 < apart(frames[0], wanted[1])
    assert apart(frames[-1], wanted[1]) < 4 < apart(frames[-1], wanted[0])
    assert apart(frames[12], wanted[0]) > 4 < apart(frames[12], wanted[1])  # and on the way it is neither


def test_a_reference_appears_in_the_film(tmp_path: Path) -> None:
    path = tmp_path / "red.png"
    Image.new("RGB", (64, 64), (255, 0, 0)).save(path)
    made = reel.shoot(shot(tmp_path, prompt="blue sea", references=(path,), seconds=1.2))
    begin, end = (edit.load(reel.still(made.path, at, tmp_path / f"{at}.png")) for at in (0.0, 1.15))
    assert reds(end) > reds(begin) + 500


def reds(image: Image.Image) -> int:
    data = np.asarray(image.convert("RGB")).astype(int)
    return int(((data[..., 0] > 200) & (data[..., 1] < 60) & (data[..., 2] < 60)).sum())


def test_a_broken_picture_is_refused_and_leaves_nothing_behind(tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    with pytest.raises(edit.BadPictureError):
        reel.shoot(shot(tmp_path, first=bad))
    assert [path.name for path in tmp_path.iterdir()] == ["bad.png"]


# From films


def test_an_extension_goes_on_from_the_last_frame(film: Film, tmp_path: Path) -> None:
    longer = reel.extend(shot(tmp_path, prompt="a storm", source=film.path, seconds=1.0))
    assert longer.frames == 48
    old, new = decoded(film.path), decoded(longer.path)
    assert len(new) == 48
    assert all(apart(old[n], new[n]) < 4 for n in range(24))
    assert apart(old[-1], new[24]) < 8 < apart(old[-1], new[-1])
    before, after = heard(film.path)[:46_000], heard(longer.path)
    assert np.abs(before - after[:46_000]).mean() < np.abs(before).mean() / 5
    assert np.sqrt((after[60_000:80_000] ** 2).mean()) > 300


@pytest.mark.parametrize("seconds", [0.2, 1.03])
def test_an_extension_may_end_between_two_frames(film: Film, tmp_path: Path, seconds: float) -> None:
    longer = reel.extend(shot(tmp_path, source=film.path, seconds=seconds, sound=False))
    assert longer.frames == film.frames + round(seconds * 24)


def test_a_silent_source_is_extended_with_music_after_it(tmp_path: Path) -> None:
    source = reel.shoot(shot(tmp_path, seconds=0.5, sound=False, name="source"))
    longer = heard(reel.extend(shot(tmp_path, source=source.path, seconds=1.0)).path)
    assert np.abs(longer[:20_000]).max() < 30 < np.abs(longer[30_000:70_000]).max()


@pytest.mark.parametrize("prompt", ["roman mosaic", "comic poster", "halftone dots"])
def test_a_changed_film_looks_different_and_keeps_its_length_and_its_sound(
    film: Film, tmp_path: Path, prompt: str
) -> None:
    made = reel.modify(shot(tmp_path, prompt=prompt, source=film.path, seconds=0))
    old, new = decoded(film.path), decoded(made.path)
    assert len(new) == len(old) == 24
    assert apart(old[12][:90], new[12][:90]) > 8
    one, two = heard(film.path)[:46_000], heard(made.path)[:46_000]
    assert np.abs(one - two).mean() < np.abs(one).mean() / 4


def test_a_changed_film_is_cut_where_that_is_asked_for(film: Film, tmp_path: Path) -> None:
    made = reel.modify(shot(tmp_path, source=film.path, seconds=0.5))
    assert (made.frames, len(decoded(made.path))) == (12, 12)


def test_an_upscale_has_the_new_size_the_old_picture_and_the_very_same_sound(film: Film, tmp_path: Path) -> None:
    made = reel.upscale(film.path, tmp_path, "large", 640, 360)
    frames, old = decoded(made.path), decoded(film.path)
    assert (made.width, made.height, len(frames), frames[0].shape) == (640, 360, 24, (360, 640))
    small = frames[5].reshape(180, 2, 320, 2).mean(axis=(1, 3))
    assert apart(small[60:], old[5][60:]) < 4  # below the label
    assert packets(made.path) == packets(film.path)


def packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def test_a_portrait_moves_its_mouth_with_the_voice_and_has_its_sound(tmp_path: Path) -> None:
    voice = tone(tmp_path / "voice.wav", 1.0, lambda time: float(0.4 < time < 0.7))
    face = photo(tmp_path / "face.png", size=(240, 320))
    made = reel.talk(shot(tmp_path, first=face, audio=voice, seconds=0, width=240, height=320))
    frames = decoded(made.path)
    assert len(frames) == 24
    mouth = [frame[180:230, 90:150] for frame in frames]
    assert apart(mouth[13], mouth[2]) > 2 * apart(mouth[5], mouth[2])
    samples = heard(made.path)
    assert np.abs(samples[24_000:32_000]).mean() > 20 * np.abs(samples[:14_000]).mean()


def test_a_music_video_follows_the_song(tmp_path: Path) -> None:
    song = tone(tmp_path / "song.wav", 1.0, lambda time: float(time > 0.5))
    made = reel.music_video(song, photo(tmp_path / "cover.png"), "My Song", "Me", "example.com", tmp_path, "clip")
    frames = decoded(made.path)
    assert (made.width, made.height, made.frames, len(frames)) == (1280, 720, 24, 24)
    bars = [float(frame[340:540, 592:1204].mean()) for frame in frames]
    assert max(bars[:9]) + 1 < min(bars[14:20])
    assert probe.probe(made.path).has_sound


def test_a_music_video_needs_no_cover_and_can_be_cut(tmp_path: Path) -> None:
    song = tone(tmp_path / "song.wav", 2.0)
    made = reel.music_video(song, None, "标题", "", "", tmp_path, "clip", seconds=0.5)
    assert (made.frames, probe.probe(made.path).frames) == (12, 12)


def test_stills_are_the_first_the_last_and_the_frame_between(film: Film, tmp_path: Path) -> None:
    light = decoded(film.path)
    for at, index in ((0.0, 0), (0.51, 12), (99.0, 23), (math.inf, 23)):
        image = edit.load(reel.still(film.path, at, tmp_path / "still.png"))
        got = turn(image).y.astype(np.int16)
        assert image.size == SIZE
        assert min(range(24), key=lambda n: apart(light[n], got)) == index
    assert (
        reel.first_frame(film.path, tmp_path / "a.png").read_bytes()
        != reel.last_frame(film.path, tmp_path / "b.png").read_bytes()
    )


# Files of strangers


def of_image(image: Image.Image) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(np.asarray(image), format="rgb24")


def written(
    path: Path,
    kind: str = "mp4",
    codec: str = "mpeg4",
    size: tuple[int, int] = (64, 48),
    times: tuple[int, ...] = (0, 1, 2, 3),
) -> Path:
    """A video without sound; ``times`` are its frames' times in tenths of a second, and each is brighter."""
    with av.open(str(path), "w", format=kind) as container:
        stream = container.add_stream(codec, rate=10)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = size
        stream.pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
        stream.codec_context.time_base = Fraction(1, 10)
        for number, time in enumerate(times):
            image = Image.new("RGB", size, (20 + 40 * number,) * 3)
            frame = of_image(image).reformat(format=stream.pix_fmt)
            frame.pts, frame.time_base = time, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ("kind", "codec"),
    [
        ("mp4", "mpeg4"),
        ("mov", "libx264"),
        ("matroska", "libx264"),
        ("webm", "libvpx-vp9"),
        ("avi", "mpeg4"),
        ("gif", "gif"),
    ],
)
def test_the_usual_containers_are_read(tmp_path: Path, kind: str, codec: str) -> None:
    found = probe.probe(written(tmp_path / "video", kind, codec))
    assert (found.kind, found.width, found.height, found.frames, found.has_sound) == ("video", 64, 48, 4, False)
    assert found.seconds == pytest.approx(0.4, abs=0.11)
    assert len(list(footage.frames(tmp_path / "video", (64, 48), 10, 10))) in (4, 5)


@pytest.mark.parametrize(
    ("kind", "codec"),
    [("mp3", "libmp3lame"), ("wav", "pcm_s16le"), ("ogg", "libopus"), ("flac", "flac"), ("ipod", "aac")],
)
def test_the_usual_sounds_are_read(tmp_path: Path, kind: str, codec: str) -> None:
    path = tmp_path / "song"
    with av.open(str(path), "w", format=kind) as container:
        stream = container.add_stream(codec, rate=48_000, layout="stereo")
        assert isinstance(stream, AudioStream)
        samples = sound.score("a song", 1, 1.0)
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="stereo")
        frame.sample_rate, frame.pts = 48_000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    found = probe.probe(path)
    assert (found.kind, found.width, found.frames, found.has_sound) == ("audio", 0, 0, True)
    assert found.seconds == pytest.approx(1.0, abs=0.08)
    assert np.abs(heard(path)).mean() == pytest.approx(np.abs(samples.astype(float)).mean(), rel=0.1)


def test_an_uneven_pace_keeps_its_time(tmp_path: Path) -> None:
    path = written(tmp_path / "v.mp4", times=(0, 1, 7, 9))
    light = [int(frame.y.mean()) // 10 for frame in footage.frames(path, (64, 48), 10, 10)]
    assert len(light) == pytest.approx(10, abs=1)
    assert len(set(light[1:7])) == 1 and light[0] < light[1] < light[7] < light[9]


def test_a_turned_video_is_shown_upright(tmp_path: Path) -> None:
    data = bytearray(written(tmp_path / "v.mp4").read_bytes())
    unit = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    at = data.index(unit, data.index(b"tkhd"))
    data[at : at + 36] = struct.pack(">9i", 0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000)
    (tmp_path / "v.mp4").write_bytes(data)
    found = probe.probe(tmp_path / "v.mp4")
    assert (found.width, found.height) == (48, 64)
    assert edit.load(reel.first_frame(tmp_path / "v.mp4", tmp_path / "f.png")).size == (48, 64)
    assert next(footage.frames(tmp_path / "v.mp4", (48, 64), 10, 1)).size == (48, 64)


def test_pixels_that_are_not_square_are_made_so(tmp_path: Path) -> None:
    path = tmp_path / "v.mkv"
    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(2, 1)
        container.mux(stream.encode(of_image(Image.new("RGB", (64, 48), "teal"))))
        container.mux(stream.encode())
    assert (probe.probe(path).width, probe.probe(path).height) == (128, 48)


def test_a_video_without_sound_can_be_worked_on(tmp_path: Path) -> None:
    source = written(tmp_path / "v.mp4")
    made = reel.modify(shot(tmp_path, source=source, seconds=0))
    assert not made.has_sound and len(decoded(made.path)) == made.frames
    assert not reel.upscale(source, tmp_path, "up", 128, 96).has_sound


PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.m3u8", PLAYLIST.encode()),
        ("list.mp4", PLAYLIST.encode()),
        ("concat.mp4", b"ffconcat version 1.0\nfile '/etc/hostname'\n"),
        ("manifest.mp4", b"<?xml version='1.0'?><MPD><Period><BaseURL>http://127.0.0.1:9/</BaseURL></Period></MPD>"),
        ("session.mp4", b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n"),
        ("text.mp3", b"hello, I am no sound at all" * 100),
        ("empty.mp4", b""),
        ("short.wav", b"RIFF\x00\x00\x00\x00WAVE"),
        ("head.mp4", b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2"),
        ("id3.mp3", b"ID3\x04\x00\x00\x00\x00\x00\x00" + PLAYLIST.encode()),
        ("matroska.webm", b"\x1aE\xdf\xa3" + b"\xff" * 4000),
        ("picture.png", b"\x89PNG\r\n\x1a\n" + bytes(100)),
    ],
)
def test_what_is_no_video_or_sound_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(BadMediaError):
        probe.probe(path)
    with pytest.raises(BadMediaError):
        reel.modify(shot(tmp_path, source=path))
    with pytest.raises(BadMediaError):
        reel.music_video(path, None, "t", "a", "d", tmp_path, "clip")
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_a_list_of_files_is_not_followed(tmp_path: Path) -> None:
    """FFmpeg left to itself reads the list and opens the file that it names; the sandbox does not."""
    written(tmp_path / "other.ts", kind="mpegts")
    path = tmp_path / "list.m3u8"
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nother.ts\n#EXT-X-ENDLIST\n")
    with av.open(str(path)) as container:
        assert next(container.decode(video=0)).width == 64
    with pytest.raises(BadMediaError, match="none of"):
        probe.probe(path)


def test_a_file_that_is_cut_off_is_read_as_far_as_it_goes_or_refused(film: Film, tmp_path: Path) -> None:
    data = film.path.read_bytes()
    for part in (200, len(data) // 3, len(data) - 500):
        path = tmp_path / "cut.mp4"
        path.write_bytes(data[:part])
        try:
            found = probe.probe(path)
        except BadMediaError:
            continue
        assert 1 <= found.frames <= 24


def test_frames_with_too_many_pixels_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    data = bytearray(b"GIF89a" + struct.pack("<HH", 60_000, 60_000) + b"\x80\x00\x00" + bytes(6))
    data += b"\x2c" + struct.pack("<HHHH", 0, 0, 60_000, 60_000) + b"\x00\x02\x02\x44\x01\x00\x3b"
    (tmp_path / "bomb.gif").write_bytes(data)
    with pytest.raises(BadMediaError, match="pixels"):
        probe.probe(tmp_path / "bomb.gif")


def test_a_video_that_is_too_long_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "long.mp4", times=(0, 10, 40_000))
    with pytest.raises(BadMediaError, match="seconds"):
        probe.probe(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadMediaError):
        probe.probe(tmp_path / "nowhere.mp4")


async def test_an_order_and_its_error_travel_to_a_child_process_and_back(tmp_path: Path) -> None:
    crew = Crew(1)
    try:
        made = await crew.run(reel.shoot, shot(tmp_path, seconds=0.1, sound=False))
        assert made.frames == (await crew.run(reel.probe, made.path)).frames == 2
        with pytest.raises(BadMediaError, match="none of"):
            await crew.run(reel.extend, shot(tmp_path, source=photo(tmp_path / "no-video.png")))
    finally:
        await crew.close()


def test_the_words_of_an_order_need_no_codec() -> None:
    """The parent process knows the orders and the errors; it may lack av."""
    program = "import sys, tessera.providers.sandbox.reel; sys.exit(bool({'av', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
    assert reel.available()
