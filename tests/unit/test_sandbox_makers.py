"""What the sandbox makes by operation: the right files, in the right order, with what is known of them."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from PIL import Image, ImageDraw

from tessera.domain.errors import Failed, Rejected
from tessera.domain.task import ImageRequest, Line, MusicRequest, Request, SpeechRequest, VideoRequest
from tessera.kit.cpu import Crew
from tessera.providers.base import Done, InputFile, Job, LocalFile, Running
from tessera.providers.sandbox import Sandbox, reel

pytest.importorskip("av")
pytestmark = pytest.mark.asyncio(loop_scope="module")

NOW = datetime(2026, 7, 1, tzinfo=UTC)


class Studio:
    """Makes things one after the other, and gives what was made to the next."""

    def __init__(self, crew: Crew, folder: Path) -> None:
        self.crew = crew
        self.folder = folder
        self.sandbox = Sandbox(lambda: NOW, crew, duration=timedelta(0))
        self.stages: list[str] = []

    async def make(self, operation: str, request: Request, *files: InputFile) -> Done:
        folder = self.folder / f"{operation}-{len(list(self.folder.iterdir()))}"
        folder.mkdir()
        job = Job(
            task_id="0" * 32,
            idempotency_key=operation,
            model="m",
            request=request,
            workdir=folder,
            operation=operation,
            files=files,
        )
        job = replace(job, upstream_id=(await self.sandbox.submit(job)).upstream_id)
        self.stages = []
        while isinstance(state := await self.sandbox.poll(job), Running):
            assert state.stage is not None
            self.stages.append(f"{state.stage} {len(state.outputs)} of {len(state.pieces)}")
            job = replace(job, stage=state.stage, kept=len(state.outputs))
        return state

    async def probe(self, done: Done, index: int = 0) -> reel.Probe:
        return await self.crew.run(reel.probe, path(done, index))


def path(done: Done, index: int = 0) -> Path:
    output = done.outputs[index]
    assert isinstance(output, LocalFile)
    return output.path


def given(done: Done, role: str, index: int = 0) -> InputFile:
    return InputFile(path=path(done, index), media_type="", size=1, role=role)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def studio(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Studio]:
    crew = Crew()
    yield Studio(crew, tmp_path_factory.mktemp("made"))
    await crew.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def film(studio: Studio) -> Done:
    request = VideoRequest(prompt="A paper boat", seconds=1, ratio="9:16", resolution="360p", cover=True)
    return await studio.make("video.generate", request)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def song(studio: Studio) -> Done:
    return await studio.make("music.generate", MusicRequest(prompt="slow blues about rain", count=2, seconds=6.0))


async def test_a_film_has_the_size_and_length_that_were_asked_for_and_a_cover(studio: Studio, film: Done) -> None:
    found = await studio.probe(film)
    assert (found.width, found.height, round(found.seconds), found.has_sound) == (360, 640, 1, True)
    with Image.open(path(film, 1)) as cover:
        assert (cover.format, cover.size) == ("PNG", (360, 640))
    assert film.pieces[0].files == {"video": 0, "cover": 1}


async def test_an_extension_is_the_new_part_and_then_the_whole(studio: Studio, film: Done) -> None:
    request = VideoRequest(prompt="It reaches the sea", seconds=1, resolution="360p")
    done = await studio.make("video.extend", request, given(film, "video"))
    lengths = [round((await studio.probe(done, index)).seconds) for index in range(2)]
    assert lengths == [1, 2]


async def test_a_film_is_enlarged_and_reworked_in_its_own_shape(studio: Studio, film: Done) -> None:
    done = await studio.make("video.upscale", VideoRequest(resolution="720p"), given(film, "video"))
    assert ((await studio.probe(done)).width, (await studio.probe(done)).height) == (720, 1280)
    done = await studio.make("video.upscale", VideoRequest(scale=1.5), given(film, "video"))
    assert ((await studio.probe(done)).width, (await studio.probe(done)).height) == (540, 960)
    done = await studio.make("video.modify", VideoRequest(prompt="x", resolution="360p"), given(film, "video"))
    assert round((await studio.probe(done)).seconds) == 1


@pytest.mark.parametrize("operation", ["video.extend", "video.modify", "video.upscale", "video.talk", "video.clip"])
async def test_work_on_a_file_needs_the_file(studio: Studio, operation: str) -> None:
    with pytest.raises(Rejected, match="needs a file to work on"):
        await studio.make(operation, VideoRequest(prompt="x"))


async def test_two_songs_come_in_two_stages_each_with_its_cover_and_words(studio: Studio, song: Done) -> None:
    assert studio.stages in ([], ["text 0 of 2", "first 2 of 2"])  # the song may have been made by a test before
    assert [sorted(piece.files.values()) for piece in song.pieces] == [[0, 1], [2, 3]]
    assert [path(song, index).suffix for index in range(4)] == [".mp3", ".jpg", ".mp3", ".jpg"]
    for piece in song.pieces:
        assert piece.facts["title"]
        assert "[Verse" in piece.facts["lyrics"]
        assert piece.facts["words"]
        assert len(piece.facts["waveform"]) == 100
        assert 0 < max(piece.facts["waveform"]) <= 1
    assert path(song, 0).read_bytes() != path(song, 2).read_bytes()


async def test_stages_come_in_order_and_nothing_is_made_twice(studio: Studio) -> None:
    done = await studio.make("music.generate", MusicRequest(prompt="a tune", instrumental=True, count=2, seconds=6.0))
    assert studio.stages == ["text 0 of 2", "first 2 of 2"]
    assert [piece.facts["lyrics"] for piece in done.pieces] == ["", ""]


async def test_a_song_is_taken_apart_written_down_and_converted(studio: Studio, song: Done) -> None:
    audio = given(song, "audio")
    stems = await studio.make("music.stems", MusicRequest(stems=("separate_vocal",)), audio)
    assert [piece.facts["name"] for piece in stems.pieces] == ["Vocals", "Instrumental"]
    notes = await studio.make("music.midi", MusicRequest(), given(stems, "audio", 1))
    assert path(notes).read_bytes().startswith(b"MThd")
    assert notes.pieces[0].facts["instruments"][0]["notes"]
    wave = await studio.make("music.wav", MusicRequest(), audio)
    assert path(wave).read_bytes().startswith(b"RIFF")
    timing = await studio.make("music.timing", MusicRequest(), audio)
    assert timing.pieces[0].facts["words"]


async def test_a_music_video_is_made_of_the_song_and_its_cover(studio: Studio, song: Done) -> None:
    request = VideoRequest(title="Rain", author="Me")
    done = await studio.make("video.clip", request, given(song, "audio"), given(song, "first", 1))
    assert round((await studio.probe(done)).seconds) == round(song.pieces[0].facts["seconds"])


@pytest.mark.parametrize(
    ("operation", "request_", "files"),
    [
        ("music.extend", {"prompt": "more", "start": 3.0, "seconds": 6.0}, 1),
        ("music.cover", {"prompt": "as jazz"}, 1),
        ("music.mashup", {"prompt": "both"}, 2),
        ("music.instrumental", {"style": "jazz"}, 1),
        ("music.vocals", {"prompt": "la la"}, 1),
        ("music.replace", {"prompt": "drums", "start": 1.0, "end": 4.0}, 1),
        ("music.sounds", {"prompt": "thunder", "seconds": 1.0}, 0),
        ("music.lyrics", {"prompt": "rain"}, 0),
        ("music.style", {"style": "jazz"}, 0),
        ("music.art", {"title": "Rain"}, 0),
        ("music.persona", {"title": "Anna"}, 1),
        ("music.voice_validate", {"start": 0.0, "end": 2.0}, 1),
        ("music.voice_generate", {"title": "Anna", "facts": {}}, 1),
        ("music.recover", {"facts": {"tracks": [{"title": "a", "audio": 0}, {"title": "b"}]}}, 1),
    ],
)
async def test_every_other_work_on_music_brings_its_pieces(
    studio: Studio, song: Done, operation: str, request_: dict[str, Any], files: int
) -> None:
    done = await studio.make(operation, MusicRequest(**request_), *[given(song, "audio", 2 * i) for i in range(files)])
    assert done.pieces
    assert all(path(done, place).stat().st_size > 1000 for piece in done.pieces for place in piece.files.values())


async def test_what_was_said_is_heard_again(studio: Studio) -> None:
    request = SpeechRequest(lines=(Line(text="Hello there.", voice="a"), Line(text="Good evening.", voice="b")))
    said = await studio.make("speech.dialogue", request)
    heard = await studio.make("speech.transcribe", SpeechRequest(), given(said, "audio"))
    assert heard.pieces[0].facts["text"] == "Hello there. Good evening."
    assert {word["speaker_id"] for word in heard.pieces[0].facts["words"]} == {"speaker_0", "speaker_1"}
    clean = await studio.make("speech.isolate", SpeechRequest(), given(said, "audio"))
    assert path(clean).suffix == ".mp3"


async def test_a_voice_is_not_given_to_who_says_another_phrase(studio: Studio) -> None:
    said = await studio.make("speech.generate", SpeechRequest(prompt="Something else"))
    with pytest.raises(Failed, match="does not say the validation phrase"):
        await studio.make("music.voice_generate", MusicRequest(facts={"phrase": "the phrase"}), given(said, "audio"))


async def test_a_sound_is_as_long_as_asked(studio: Studio) -> None:
    done = await studio.make("speech.sound", SpeechRequest(prompt="rain", seconds=2.0))
    assert done.pieces[0].facts["seconds"] == pytest.approx(2.0, abs=0.05)


async def test_a_portrait_speaks_as_long_as_the_sound_lasts(studio: Studio, film: Done) -> None:
    said = await studio.make("speech.generate", SpeechRequest(prompt="Hello"))
    request = VideoRequest(prompt="a face", ratio="auto", resolution="360p")
    done = await studio.make("video.talk", request, given(film, "first", 1), given(said, "audio"))
    assert (await studio.probe(done)).seconds == pytest.approx(said.pieces[0].facts["seconds"], abs=0.2)


async def test_a_picture_falls_into_its_subjects_and_its_ground(studio: Studio, tmp_path: Path) -> None:
    picture = Image.new("RGB", (200, 120), "white")
    ImageDraw.Draw(picture).ellipse((20, 20, 90, 100), fill="navy")
    ImageDraw.Draw(picture).rectangle((130, 40, 180, 90), fill="crimson")
    picture.save(tmp_path / "two.png")
    file = InputFile(path=tmp_path / "two.png", media_type="image/png", size=1)
    done = await studio.make("image.segment", ImageRequest(prompt=""), file)
    assert [piece.facts["name"] for piece in done.pieces] == ["subject 1", "subject 2", "ground"]
    with Image.open(path(done, 0)) as first, Image.open(path(done, 1)) as second:
        assert (first.getpixel((55, 60)), first.getpixel((150, 60)), first.size) == (0, 255, (200, 120))
        assert (second.getpixel((55, 60)), second.getpixel((150, 60))) == (255, 0)
