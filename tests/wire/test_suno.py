"""Suno on the wire: what is sent, what comes back, in every state, and what is called back at each stage."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
import yaml
from tests.wire.desk import Answer, Desk
from tests.wire.promises import FOLDER, Contract

from tessera.contract.suno import (
    SunoCoverRecord,
    SunoLyricsRecord,
    SunoMidiRecord,
    SunoMusicRecord,
    SunoPhrase,
    SunoStemsRecord,
    SunoStyleText,
    SunoTimedLyrics,
    SunoVideoRecord,
    SunoVoice,
    SunoWavRecord,
)
from tessera.dialects.suno import family
from tessera.domain.errors import Failed, ProviderError, Rejected
from tessera.domain.task import Mode, MusicRequest, Piece, Reason, Task, VideoRequest
from tessera.kit.clock import millis
from tessera.kit.ids import part
from tessera.providers.base import LocalFile, Running
from tessera.providers.fake import Act, Fake, Step, accept, png, refuse
from tessera.testing.databases import Databases
from tessera.testing.gateway import Gateway, serving
from tessera.testing.plugin import configs, houses
from tessera.testing.servers import Host, Receiver, hosting, receiving

pytestmark = pytest.mark.asyncio(loop_scope="module")

MP3 = (b"\xff\xfb\x90\x00" + bytes(413)) * 3
"""Three silent frames of an MPEG layer III stream."""
WAV = b"RIFF" + (40).to_bytes(4, "little") + b"WAVEfmt " + bytes(28)
MP4 = b"\0\0\0\x18ftypisom" + bytes(24)
MIDI = b"MThd\0\0\0\6\0\0\0\1\1\xe0MTrk"

GENERATE = "/api/v1/generate"
RECORD = f"{GENERATE}/record-info"
EXTEND = f"{GENERATE}/extend"
COVER_SONG = f"{GENERATE}/upload-cover"
UPLOAD_EXTEND = f"{GENERATE}/upload-extend"
REPLACE = f"{GENERATE}/replace-section"
PERSONA = f"{GENERATE}/generate-persona"
TIMES = f"{GENERATE}/get-timestamped-lyrics"
STYLE = "/api/v1/style/generate"
LYRICS = "/api/v1/lyrics"
WAVS = "/api/v1/wav/generate"
STEMS = "/api/v1/vocal-removal/generate"
NOTES = "/api/v1/midi/generate"
VIDEOS = "/api/v1/mp4/generate"
COVERS = "/api/v1/suno/cover/generate"
VALIDATE = "/api/v1/voice/validate"
AGAIN = "/api/v1/voice/regenerate"
VOICE = "/api/v1/voice/generate"
CHECK = "/api/v1/voice/check-voice"
RECOVERY = "/api/v1/suno/recovery"

RECORDS = {
    LYRICS: f"{LYRICS}/record-info",
    WAVS: "/api/v1/wav/record-info",
    STEMS: "/api/v1/vocal-removal/record-info",
    NOTES: "/api/v1/midi/record-info",
    VIDEOS: "/api/v1/mp4/record-info",
    COVERS: "/api/v1/suno/cover/record-info",
    VALIDATE: "/api/v1/voice/validate-info",
    AGAIN: "/api/v1/voice/validate-info",
    VOICE: "/api/v1/voice/record-info",
    RECOVERY: "/api/v1/suno/recovery/record-info",
}
"""Where the task of an operation is shown; all others are shown with the songs."""

UNKNOWN = "0f3c9a7be21d4c55a1b2c3d4e5f60718"
LINES = "[Verse]\nLanterns lean over the quay"
FACTS: dict[str, Any] = {"title": "Harbour Lights", "tags": "dream pop, slow, warm", "lyrics": LINES}
SUNG: tuple[dict[str, Any], ...] = (
    {**FACTS, "seconds": 171.84, "words": [{"word": "Lanterns", "startS": 1.36, "endS": 1.79, "mark": "[Verse]"}]},
    {**FACTS, "seconds": 184.2, "words": []},
)
IDEA = {"customMode": False, "instrumental": False, "model": "V5", "prompt": "A song about a harbour"}


@cache
def document() -> Any:
    return yaml.safe_load((FOLDER / "suno.yaml").read_text())


@cache
def promised() -> Contract:
    return Contract(document())


def refused(code: int, msg: str) -> dict[str, Any]:
    return {"code": code, "msg": msg, "data": None}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def common(postgres: Databases, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Gateway, Fake]]:
    """The gateway of this file; the fake behind it says that it can do all that the family asks for."""
    asked = {"generate", "extend", "cover", "instrumental", "vocals", "replace", "mashup", "sounds", "wav", "stems"}
    asked |= {"midi", "art", "lyrics", "style", "timing", "persona", "voice_validate", "voice_generate", "recover"}
    operations = frozenset({*(f"music.{name}" for name in asked), "video.clip"})
    fake = Fake("sandbox", models={"*": "fake-song"}, idempotent=True, operations=operations)
    async with postgres.fresh() as url:
        opener = houses(url, configs(tmp_path_factory.mktemp("suno")))
        async with serving(opener, provided={"sandbox": fake}) as gateway:
            yield gateway, fake


@pytest_asyncio.fixture(loop_scope="module")
async def files() -> AsyncIterator[Host]:
    """A host that has the files of the document's examples."""
    async with hosting() as host:
        for name in ("demo", "voice", "backing", "a", "b", "mix", "phrase"):
            host.put(f"{name}.mp3", MP3, media_type="audio/mpeg")
        yield host


@pytest_asyncio.fixture(loop_scope="module")
async def hook() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@dataclass(slots=True)
class Studio:
    """A caller who makes songs: every answer and every callback is held against the contract."""

    desk: Desk
    hook: Receiver
    folder: Path
    written: int = 0

    def file(self, body: bytes) -> LocalFile:
        self.written += 1
        path = self.folder / f"made-{self.written}"
        path.write_bytes(body)
        return LocalFile(path=path)

    def songs(self, *gates: asyncio.Event) -> Act:
        """Two songs in their stages; a gate holds back what comes after a stage."""
        outputs = [self.file(MP3), self.file(png(shade=1)), self.file(MP3 + MP3), self.file(png(shade=2))]
        first = Piece(files={"audio": 0, "cover": 1}, facts=SUNG[0])
        planned = [Piece(facts={**facts, "seconds": None}) for facts in SUNG]
        now = timedelta(0)
        text = Running(stage="text", pieces=tuple(planned), again=now)
        half = Running(stage="first", outputs=tuple(outputs[:2]), pieces=(first, planned[1]), again=now)
        steps: tuple[Step, ...] = (text, *gates[:1], half, *gates[1:])
        return accept(*steps, outputs=outputs, pieces=(first, Piece(files={"audio": 2, "cover": 3}, facts=SUNG[1])))

    def made(self, *bodies: bytes, facts: tuple[Mapping[str, Any], ...] = (), steps: tuple[Step, ...] = ()) -> Act:
        """As many pieces as there are facts; the first ones have the files."""
        pieces = [Piece(files={"audio": i} if i < len(bodies) else {}, facts=each) for i, each in enumerate(facts)]
        return accept(*steps, outputs=[self.file(body) for body in bodies], pieces=pieces)

    async def post(self, path: str, body: object, **more: Any) -> Answer:
        return self._held("POST", path, await self.desk.post(path, body, **more))

    async def get(self, path: str, **params: str) -> Answer:
        return self._held("GET", path, await self.desk.get(path, **params))

    def _held(self, method: str, path: str, answer: Answer) -> Answer:
        media_type = answer.headers.get("Content-Type", "")
        promised().check(method, path, answer.status, media_type, answer.body)
        return answer

    async def submit(self, path: str, body: Mapping[str, Any], act: Act | None = None) -> str:
        """A new task, whatever it makes; it calls back."""
        if act is not None:
            self.desk.fake.script(act)
        answer = await self.post(path, {**body, "callBackUrl": body.get("callBackUrl", f"{self.hook.url}/hook")})
        assert answer.code == 200, answer
        return str(answer.data.get("taskId") or answer.data["task_id"])

    async def record(self, task_id: str, path: str = GENERATE) -> Any:
        at = RECORDS.get(path, RECORD)
        answer = await self.get(at, **{"task_id" if path == RECOVERY else "taskId": task_id})
        return answer.json if path == RECOVERY else answer.data

    async def over(self, task_id: str, path: str = GENERATE) -> Any:
        """The record of a task once it is over."""
        while not (await self.desk.task(task_id)).state.terminal:
            await self.desk._finished.next()
        return await self.record(task_id, path)

    async def told(self, path: str = GENERATE) -> Any:
        body = (await self.hook.next()).body
        promised().check_callback(path, body)
        return json.loads(body)

    async def quiet_song(self) -> tuple[str, str]:
        """A finished song of which nothing is told, and the id of its first track."""
        self.desk.fake.script(self.songs())
        answer = await self.post(GENERATE, {**IDEA, "callBackUrl": "https://localhost/cb"})
        task_id = str(answer.data["taskId"])
        assert (await self.over(task_id))["status"] == "SUCCESS"
        return task_id, part(task_id, 0)

    async def link(self, task_id: str, position: int) -> str:
        task = await self.desk.task(task_id)
        return self.desk.house.link(task.outputs[position])


@pytest.fixture
def studio(desk: Desk, hook: Receiver, tmp_path: Path) -> Studio:
    return Studio(desk, hook, tmp_path)


# ---- songs: their stages ----


def track(task: Task, index: int, audio: str = "", image: str = "") -> dict[str, Any]:
    """What a record shows of one of the two songs."""
    moment = task.completed_at or task.started_at or task.created_at
    return {
        "id": part(task.id, index),
        "audioUrl": audio,
        "sourceAudioUrl": audio or None,
        "streamAudioUrl": audio,
        "sourceStreamAudioUrl": audio or None,
        "imageUrl": image,
        "sourceImageUrl": image or None,
        "prompt": LINES,
        "modelName": "chirp-crow",
        "title": "Harbour Lights",
        "tags": "dream pop, slow, warm",
        "createTime": millis(moment),
        "duration": SUNG[index]["seconds"] if audio else None,
    }


def told_track(task: Task, index: int, audio: str, image: str, moment: Any) -> dict[str, Any]:
    """What a callback shows of it."""
    return {
        "id": part(task.id, index),
        "audio_url": audio,
        "source_audio_url": audio,
        "stream_audio_url": audio,
        "source_stream_audio_url": audio,
        "image_url": image,
        "source_image_url": image,
        "prompt": LINES,
        "model_name": "chirp-crow",
        "title": "Harbour Lights",
        "tags": "dream pop, slow, warm",
        "createTime": f"{moment:%Y-%m-%d %H:%M:%S}",
        "duration": SUNG[index]["seconds"],
    }


async def test_a_song_is_shown_and_told_in_its_stages(studio: Studio) -> None:
    text_seen, first_seen = asyncio.Event(), asyncio.Event()
    body = {**IDEA, "callBackUrl": f"{studio.hook.url}/hooks/suno"}
    polls = studio.desk.fake.polls
    before = len(polls)
    task_id = await studio.submit(GENERATE, body, studio.songs(text_seen, first_seen))

    async def asked(times: int) -> None:
        while len(polls) < before + times:
            await studio.desk.fake.polled.get()

    async def shown(status: str) -> Any:
        record = await studio.record(task_id)
        assert record.pop("response") is not None
        assert record == {
            "taskId": task_id,
            "parentMusicId": "",
            "param": json.dumps(body, separators=(",", ":")),
            "status": status,
            "type": "chirp-crow",
            "operationType": "generate",
            "errorCode": None,
            "errorMessage": None,
            "createTime": millis((await studio.desk.task(task_id)).created_at),
        }
        return (await studio.record(task_id))["response"]

    await asked(2)  # the second question comes when what the first one brought is on record
    response = await shown("TEXT_SUCCESS")
    task = await studio.desk.task(task_id)
    assert response == {"taskId": task_id, "sunoData": [track(task, 0), track(task, 1)]}
    text_seen.set()
    await asked(3)
    response = await shown("FIRST_SUCCESS")
    audio, image = await studio.link(task_id, 0), await studio.link(task_id, 1)
    assert response["sunoData"] == [track(task, 0, audio, image), track(task, 1)]
    # In its turn: the first one has not ended yet when the second is told.
    assert await studio.told() == {
        "code": 200,
        "msg": "Text generation completed.",
        "data": {"callbackType": "text", "task_id": task_id, "data": []},
    }
    assert await studio.told() == {
        "code": 200,
        "msg": "First track generated successfully.",
        "data": {
            "callbackType": "first",
            "task_id": task_id,
            "data": [told_track(task, 0, audio, image, task.started_at)],
        },
    }
    first_seen.set()
    await studio.over(task_id)
    response = await shown("SUCCESS")
    task = await studio.desk.task(task_id)
    links = [await studio.link(task_id, position) for position in range(4)]
    assert response["sunoData"] == [track(task, 0, *links[:2]), track(task, 1, *links[2:])]
    assert links[:2] == [audio, image]
    assert [re.sub(r".*\.", "", url) for url in links] == ["mp3", "png", "mp3", "png"]
    assert (await studio.desk.fetch(links[2])).body == MP3 + MP3
    assert await studio.told() == {
        "code": 200,
        "msg": "All generated successfully.",
        "data": {
            "callbackType": "complete",
            "task_id": task_id,
            "data": [
                told_track(task, 0, links[0], links[1], task.completed_at),
                told_track(task, 1, links[2], links[3], task.completed_at),
            ],
        },
    }
    assert await studio.desk.credits() == 1000 - 12


async def test_a_song_that_is_waited_for_has_no_tracks_yet(studio: Studio) -> None:
    go_on = asyncio.Event()
    before = len(studio.desk.fake.polls)
    task_id = await studio.submit(GENERATE, IDEA, accept(go_on, failure=Failed("No")))
    while len(studio.desk.fake.polls) == before:
        await studio.desk.fake.polled.get()
    record = await studio.record(task_id)
    assert (record["status"], record["response"], record["errorCode"]) == ("PENDING", None, None)
    go_on.set()
    await studio.over(task_id)


FAILURES: list[tuple[ProviderError, str, int, int]] = [
    (Rejected("Song description flagged", reason=Reason.CONTENT), "SENSITIVE_WORD_ERROR", 400, 400),
    (Failed("Lyrics are protected", reason=Reason.CONTENT), "SENSITIVE_WORD_ERROR", 400, 400),
    (Failed("Generation failed"), "GENERATE_AUDIO_FAILED", 501, 501),
    (Rejected("Too short", reason=Reason.INPUT_INVALID), "CREATE_TASK_FAILED", 400, 400),
]


@pytest.mark.parametrize(("error", "status", "code", "told_code"), FAILURES)
@pytest.mark.parametrize(("path", "data"), [(GENERATE, None), (UPLOAD_EXTEND, [])])
async def test_a_failed_song_says_why_and_costs_nothing(
    studio: Studio,
    files: Host,
    error: ProviderError,
    status: str,
    code: int,
    told_code: int,
    path: str,
    data: list[Any] | None,
) -> None:
    act = accept(failure=error) if isinstance(error, Failed) else refuse(error)
    own = {"uploadUrl": f"{files.url}/demo.mp3", "defaultParamFlag": False, "continueAt": 10}
    task_id = await studio.submit(path, {**IDEA, **own}, act)
    record = await studio.over(task_id)
    assert (record["status"], record["errorCode"], record["errorMessage"]) == (status, code, str(error))
    assert record["response"] == {"taskId": task_id, "sunoData": [], "errorMessage": str(error)}
    assert await studio.told(path) == {
        "code": told_code,
        "msg": str(error),
        "data": {"callbackType": "error", "task_id": task_id, "data": data},
    }
    assert await studio.desk.credits() == 1000


async def test_a_canceled_song_is_a_failure_that_was_not_charged_for(studio: Studio) -> None:
    go_on = asyncio.Event()
    before = len(studio.desk.fake.polls)
    task_id = await studio.submit(GENERATE, IDEA, accept(go_on))
    while len(studio.desk.fake.polls) == before:
        await studio.desk.fake.polled.get()
    await studio.desk.ask("POST", f"/v1/tasks/{task_id}/cancel")
    record = await studio.record(task_id)
    assert (record["status"], record["errorCode"]) == ("GENERATE_AUDIO_FAILED", 499)
    assert (await studio.told())["code"] == 531
    assert await studio.desk.credits() == 1000
    go_on.set()


async def test_an_address_that_cannot_be_reached_is_accepted_and_fails_the_task(studio: Studio, files: Host) -> None:
    body = {**IDEA, "uploadUrl": f"{files.url}/nothing.mp3"}
    task_id = await studio.submit(COVER_SONG, body)
    record = await studio.over(task_id)
    assert (record["status"], record["errorCode"]) == ("CREATE_TASK_FAILED", 451)
    assert record["operationType"] == "upload_cover"
    assert (await studio.told(COVER_SONG))["code"] == 500


async def test_a_track_that_nobody_knows_is_accepted_and_fails_the_task(studio: Studio) -> None:
    body = {"defaultParamFlag": False, "audioId": "7c1e5b52-3d0f-4a86-9f6e-2b8f0c7d9a11", "model": "V5"}
    task_id = await studio.submit(EXTEND, body)
    record = await studio.over(task_id)
    assert (record["status"], record["errorMessage"]) == ("CREATE_TASK_FAILED", "audioId: there is no such track")
    assert (await studio.told(EXTEND))["data"]["data"] == []
    assert all(job.task_id != task_id for job in studio.desk.fake.submissions)


async def test_an_address_in_the_place_of_an_id_is_refused_and_never_called(studio: Studio, files: Host) -> None:
    body = {"defaultParamFlag": False, "audioId": f"{files.url}/x.mp3", "model": "V5", "callBackUrl": studio.hook.url}
    assert (await studio.post(EXTEND, body)).json == refused(422, "Record does not exist")
    assert files.requests.seen == []
    assert await studio.desk.credits() == 1000


async def test_a_body_that_could_not_be_read_again_is_refused(studio: Studio) -> None:
    body = json.dumps({**IDEA, "callBackUrl": studio.hook.url})[:-1].encode() + b',"x":1e400}'
    answer = await studio.desk.ask("POST", GENERATE, data=body, headers={"Content-Type": "application/json"})
    assert answer.json == refused(400, "The request body cannot be read: number out of range")
    assert await studio.desk.credits() == 1000
    assert await studio.desk.credits() == 1000


async def test_a_track_is_continued_from_its_own_file_with_all_that_is_known_of_it(studio: Studio) -> None:
    parent, audio_id = await studio.quiet_song()
    body = {"defaultParamFlag": False, "audioId": audio_id, "model": "V5"}
    task_id = await studio.submit(EXTEND, body, studio.songs())
    record = await studio.over(task_id)
    assert (record["parentMusicId"], record["operationType"]) == (audio_id, "extend")
    task = await studio.desk.task(task_id)
    assert isinstance(task.request, MusicRequest)
    assert (task.parent, task.request.facts["words"]) == (parent, SUNG[0]["words"])
    job = next(job for job in studio.desk.fake.submissions if job.task_id == task_id)
    assert [(file.role, file.media_type, file.size) for file in job.files] == [("audio", "audio/mpeg", len(MP3))]


async def test_a_section_is_told_of_once_it_is_done(studio: Studio) -> None:
    parent, audio_id = await studio.quiet_song()
    body = {"taskId": parent, "audioId": audio_id, "prompt": "Keep", "tags": "pop", "title": "T", "fullLyrics": "All"}
    span = {"infillStartS": 30.5, "infillEndS": 48.25}
    done = await studio.submit(REPLACE, {**body, **span}, studio.made(MP3, facts=(SUNG[0],)))
    await studio.over(done)
    told = await studio.told(REPLACE)
    assert (told["data"]["callbackType"], [each["id"] for each in told["data"]["data"]]) == (
        "complete",
        [part(done, 0)],
    )
    failed = await studio.submit(REPLACE, {**body, **span}, accept(failure=Failed("Generation failed")))
    await studio.over(failed)
    data = {"callbackType": "error", "task_id": failed, "error": "Generation failed"}
    assert await studio.told(REPLACE) == {"code": 501, "msg": "Generation failed", "data": data}
    assert await studio.desk.credits() == 1000 - 12 - 5


# ---- work on a track ----


def about(task: Task, audio_id: str | None, index: int | None = 0) -> dict[str, Any]:
    return {
        "taskId": task.id,
        "musicId": audio_id,
        "callbackUrl": task.callback_url,
        "musicIndex": index,
        "errorCode": None,
        "errorMessage": None,
    }


async def test_a_wav_is_shown_told_and_made_once(studio: Studio) -> None:
    parent, audio_id = await studio.quiet_song()
    body = {"taskId": parent, "audioId": audio_id}
    task_id = await studio.submit(WAVS, body, studio.made(WAV, facts=({},)))
    record = await studio.over(task_id, WAVS)
    task, url = await studio.desk.task(task_id), await studio.link(task_id, 0)
    assert task.completed_at is not None
    assert record == {
        **about(task, audio_id),
        "response": {"audioWavUrl": url},
        "successFlag": "SUCCESS",
        "completeTime": millis(task.completed_at),
        "createTime": millis(task.created_at),
    }
    data = {"audioWavUrl": url, "task_id": task_id}
    assert await studio.told(WAVS) == {"code": 200, "msg": "success", "data": data}
    async with studio.desk.untouched():
        again = await studio.post(WAVS, {**body, "callBackUrl": studio.hook.url})
    assert again.json == refused(409, "WAV record already exists")
    second = await studio.submit(WAVS, {**body, "audioId": part(parent, 1)}, studio.made(WAV, facts=({},)))
    assert (await studio.over(second, WAVS))["musicIndex"] == 1
    assert await studio.desk.credits() == pytest.approx(1000 - 12 - 0.8)


STEM_NAMES = ("Vocals", "Instrumental")


async def test_stems_are_shown_told_and_turned_into_notes(studio: Studio) -> None:
    parent, audio_id = await studio.quiet_song()
    facts = tuple({"name": name, "seconds": 171.84} for name in STEM_NAMES)
    body = {"taskId": parent, "audioId": audio_id, "type": "separate_vocal"}
    stems = await studio.submit(STEMS, body, studio.made(MP3, MP3, facts=facts))
    record = await studio.over(stems, STEMS)
    task, links = await studio.desk.task(stems), [await studio.link(stems, index) for index in (0, 1)]
    origin = await studio.link(parent, 0)
    response = record.pop("response")
    assert record.pop("completeTime") >= record.pop("createTime")
    assert record == {**about(task, audio_id), "successFlag": "SUCCESS"}
    assert {name: value for name, value in response.items() if value is not None} == {
        "originUrl": origin,
        "originData": [
            {"duration": 171.84, "audio_url": url, "stem_type_group_name": name, "id": part(stems, index)}
            for index, (name, url) in enumerate(zip(STEM_NAMES, links, strict=True))
        ],
        "vocalUrl": links[0],
        "instrumentalUrl": links[1],
    }
    assert len(response) == 17  # those that there are not are null
    assert await studio.told(STEMS) == {
        "code": 200,
        "msg": "vocal separation generated successfully.",
        "data": {
            "task_id": stems,
            "vocal_separation_info": {"origin_url": origin, "vocal_url": links[0], "instrumental_url": links[1]},
        },
    }
    note = {"pitch": 36, "start": 0.0364, "end": 0.1822, "velocity": 1}
    instruments = [{"name": "Drums", "notes": [note]}]
    act = studio.made(MIDI, facts=({"instruments": [{**instruments[0], "stem": "Drums"}]},))
    notes = await studio.submit(NOTES, {"taskId": stems, "audioId": part(stems, 1)}, act)
    record = await studio.over(notes, NOTES)
    task = await studio.desk.task(notes)
    assert task.completed_at is not None
    assert record == {
        "taskId": notes,
        "recordTaskId": -1,
        "audioId": part(stems, 1),
        "callbackUrl": task.callback_url,
        "completeTime": millis(task.completed_at),
        "midiData": {"state": "complete", "instruments": instruments},
        "successFlag": 1,
        "createTime": millis(task.created_at),
        "errorCode": None,
        "errorMessage": None,
    }
    data = {"taskId": notes, "state": "complete", "instruments": instruments}
    assert await studio.told(NOTES) == {"code": 200, "msg": "success", "data": data}


async def test_a_video_is_made_of_the_track_and_its_cover(studio: Studio) -> None:
    parent, audio_id = await studio.quiet_song()
    body = {"taskId": parent, "audioId": audio_id, "author": "Quay Singer", "domainName": "music.example.com"}
    task_id = await studio.submit(VIDEOS, body, studio.made(MP4, facts=({},)))
    record = await studio.over(task_id, VIDEOS)
    task, url = await studio.desk.task(task_id), await studio.link(task_id, 0)
    assert task.request == VideoRequest(
        audio=await studio.link(parent, 0),
        first=await studio.link(parent, 1),
        title="Harbour Lights",
        author="Quay Singer",
        watermark="music.example.com",
    )
    assert record == {
        **about(task, audio_id),
        "response": {"videoUrl": url},
        "successFlag": "SUCCESS",
        "completeTime": f"{task.completed_at:%Y-%m-%d %H:%M:%S}",
        "createTime": f"{task.created_at:%Y-%m-%d %H:%M:%S}",
    }
    data = {"task_id": task_id, "video_url": url}
    assert await studio.told(VIDEOS) == {"code": 200, "msg": "success", "data": data}


async def test_a_cover_is_made_once_for_each_task(studio: Studio) -> None:
    parent, _ = await studio.quiet_song()
    act = accept(outputs=[studio.file(png(shade=3)), studio.file(png(shade=4))])
    task_id = await studio.submit(COVERS, {"taskId": parent}, act)
    record = await studio.over(task_id, COVERS)
    images = [await studio.link(task_id, index) for index in (0, 1)]
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    assert re.fullmatch(stamp, record.pop("createTime"))
    assert re.fullmatch(stamp, record.pop("completeTime"))
    assert record == {
        "taskId": task_id,
        "parentTaskId": parent,
        "callbackUrl": f"{studio.hook.url}/hook",
        "response": {"images": images},
        "successFlag": 1,
        "errorCode": 200,
        "errorMessage": "",
    }
    data = {"images": images, "taskId": task_id}
    assert await studio.told(COVERS) == {"code": 200, "msg": "success", "data": data}
    async with studio.desk.untouched():
        again = await studio.post(COVERS, {"taskId": parent})
    msg = "Cover already generated for this task"
    assert again.json == {"code": 400, "msg": msg, "data": {"taskId": task_id}}


WORKS: list[tuple[str, int, str, dict[str, Any], Any]] = [
    (WAVS, 500, "Internal Error - Please try again later", {"audioWavUrl": None}, "GENERATE_WAV_FAILED"),
    (STEMS, 500, "Vocal separation failed", {"vocal_separation_info": None}, "GENERATE_AUDIO_FAILED"),
    (VIDEOS, 500, "Internal Error - Please try again later", {"video_url": None}, "GENERATE_MP4_FAILED"),
    (COVERS, 501, "Cover generation failed", {"images": None}, 3),
]


@pytest.mark.parametrize(("path", "code", "msg", "data", "flag"), WORKS)
async def test_work_that_failed_says_so_in_its_own_words(
    studio: Studio, path: str, code: int, msg: str, data: dict[str, Any], flag: Any
) -> None:
    parent, audio_id = await studio.quiet_song()
    before, go_on = len(studio.desk.fake.polls), asyncio.Event()
    body = {"taskId": parent, "audioId": audio_id}
    task_id = await studio.submit(path, body, accept(go_on, failure=Failed("The tape is torn")))
    while len(studio.desk.fake.polls) == before:
        await studio.desk.fake.polled.get()
    waiting = await studio.record(task_id, path)
    assert waiting["successFlag"] == (2 if path == COVERS else "PENDING")
    assert (waiting["response"], waiting["completeTime"], waiting["errorCode"]) == (None, None, None)
    go_on.set()
    record = await studio.over(task_id, path)
    assert (record["successFlag"], record["errorCode"], record["errorMessage"]) == (flag, 500, "The tape is torn")
    told = await studio.told(path)
    name = "taskId" if path == COVERS else "task_id"
    assert told == {"code": code, "msg": msg, "data": {**data, name: task_id}}
    assert await studio.desk.credits() == 1000 - 12
    # What failed does not stand in the way.
    again = await studio.post(path, {**body, "callBackUrl": "https://localhost/cb"})
    assert again.code == 200
    await studio.over(again.data["taskId"], path)


# ---- words ----


async def test_lyrics_are_shown_and_told(studio: Studio) -> None:
    texts = ({"title": "Harbour Lights", "text": LINES}, {"title": "Moored", "text": "[Verse]\nRopes"})
    body = {"prompt": "A small song about a harbour at night", "callBackUrl": f"{studio.hook.url}/lyrics"}
    task_id = await studio.submit(LYRICS, body, studio.made(facts=texts))
    assert await studio.over(task_id, LYRICS) == {
        "taskId": task_id,
        "param": json.dumps(body, separators=(",", ":")),
        "response": {
            "taskId": task_id,
            "data": [{**text, "status": "complete", "errorMessage": ""} for text in texts],
        },
        "status": "SUCCESS",
        "type": "LYRICS",
        "errorCode": None,
        "errorMessage": None,
    }
    variants = [{**text, "status": "complete", "error_message": ""} for text in texts]
    assert await studio.told(LYRICS) == {
        "code": 200,
        "msg": "All generated successfully.",
        "data": {"callbackType": "complete", "task_id": task_id, "data": variants},
    }
    assert await studio.desk.credits() == pytest.approx(999.6)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Failed("Song Description flagged for moderation", reason=Reason.CONTENT), "SENSITIVE_WORD_ERROR", 400),
        (Failed("No words came", reason=Reason.UNKNOWN), "GENERATE_LYRICS_FAILED", 500),
    ],
)
async def test_lyrics_that_failed_say_why(studio: Studio, error: Failed, status: str, code: int) -> None:
    task_id = await studio.submit(LYRICS, {"prompt": "x"}, accept(failure=error))
    record = await studio.over(task_id, LYRICS)
    assert (record["status"], record["errorCode"], record["response"]) == (status, code, None)
    data = {"callbackType": "complete", "task_id": task_id, "data": None}
    assert await studio.told(LYRICS) == {"code": code, "msg": str(error), "data": data}


async def test_a_style_is_answered_at_once(studio: Studio) -> None:
    studio.desk.fake.script(studio.made(facts=({"text": "Hushed pop with felt piano."},)))
    answer = await studio.post(STYLE, {"content": "Pop, Mysterious"})
    task = await studio.desk.task(answer.data["taskId"])
    assert answer.data == {
        "taskId": task.id,
        "param": "Pop, Mysterious",
        "result": "Hushed pop with felt piano.",
        "creditsConsumed": 0.4,
        "creditsRemaining": pytest.approx(999.6),
        "successFlag": "成功",
        "errorCode": None,
        "errorMsg": None,
        "errorMessage": None,
        "createTime": millis(task.created_at),
    }
    studio.desk.fake.script(accept(failure=Failed("Flagged", reason=Reason.CONTENT)))
    assert (await studio.post(STYLE, {"content": "Pop"})).json == refused(400, "Flagged")


async def test_word_times_are_answered_at_once(studio: Studio) -> None:
    parent, audio_id = await studio.quiet_song()
    submissions = len(studio.desk.fake.submissions)
    answer = await studio.post(TIMES, {"taskId": parent, "audioId": audio_id})
    word = {"word": "[Verse]\nLanterns", "success": True, "startS": 1.36, "endS": 1.79, "palign": 0}
    assert answer.data == {"alignedWords": [word], "waveformData": [], "hootCer": None, "isStreamed": False}
    instrumental = await studio.post(TIMES, {"taskId": parent, "audioId": part(parent, 1)})
    assert instrumental.data["alignedWords"] == []
    assert len(studio.desk.fake.submissions) == submissions
    assert await studio.desk.credits() == 1000 - 12


async def test_word_times_that_its_maker_did_not_tell_are_listened_for(studio: Studio) -> None:
    plain = accept(outputs=[studio.file(MP3)], pieces=[Piece(files={"audio": 0}, facts={"title": "T"})])
    task_id = await studio.submit(GENERATE, IDEA, plain)
    await studio.over(task_id)
    words = [{"word": "a", "startS": 0.0, "endS": 1.0, "success": False, "palign": 2}]
    studio.desk.fake.script(studio.made(facts=({"words": words, "waveform": [0, 0.5, 1]},)))
    body = {"taskId": task_id, "audioId": part(task_id, 0)}
    answer = await studio.post(TIMES, body)
    assert (answer.data["alignedWords"], answer.data["waveformData"]) == (words, [0, 0.5, 1])
    assert (await studio.post(TIMES, body)).data == answer.data
    assert await studio.desk.credits() == pytest.approx(1000 - 12 - 0.4)


# ---- personas and voices ----


async def test_a_persona_is_answered_at_once_made_once_and_sung_with(studio: Studio) -> None:
    parent, audio_id = await studio.quiet_song()
    body = {"taskId": parent, "audioId": audio_id, "name": "Quay Singer", "description": "Close, breathy alto"}
    studio.desk.fake.script(studio.made(facts=({"name": "Quay Singer", "style": "dream pop"},)))
    answer = await studio.post(PERSONA, {**body, "vocalStart": 0, "vocalEnd": 25})
    persona_id = answer.data["personaId"]
    assert answer.data == {"personaId": persona_id, "name": "Quay Singer", "description": "Close, breathy alto"}
    async with studio.desk.untouched():
        again = await studio.post(PERSONA, body)
    assert again.json == refused(409, "Persona already exists for this music")
    own = {"customMode": True, "prompt": "la", "style": "pop", "title": "T", "personaId": persona_id}
    task_id = await studio.submit(GENERATE, {**IDEA, **own}, studio.songs())
    await studio.over(task_id)
    request = (await studio.desk.task(task_id)).request
    assert isinstance(request, MusicRequest)
    assert request.facts == {"persona": {"name": "Quay Singer", "style": "dream pop"}}


async def test_a_voice_is_made_in_two_steps(studio: Studio, files: Host) -> None:
    sample = {"voiceUrl": f"{files.url}/voice.mp3", "vocalStartS": 0, "vocalEndS": 10, "language": "en"}
    first = await studio.submit(VALIDATE, sample, studio.made(facts=({"phrase": "Gentle waves"},)))
    ready = {"status": "wait_validating", "validateInfo": "Gentle waves", "taskId": first}
    assert await studio.over(first, VALIDATE) == {**ready, "errorCode": None, "errorMessage": None}
    told = {"code": 200, "msg": "success", "data": {**ready, "errorCode": 0, "errorMessage": ""}}
    assert await studio.told(VALIDATE) == told
    again = {"taskId": first, "calBackUrl": f"{studio.hook.url}/again"}
    second = await studio.submit(AGAIN, again, studio.made(facts=({"phrase": "Silver tides"},)))
    await studio.over(second, AGAIN)
    assert (await studio.told(AGAIN))["data"]["validateInfo"] == "Silver tides"
    for task_id in (first, second):
        assert (await studio.record(task_id, AGAIN))["validateInfo"] == "Silver tides"
    sung = {"taskId": first, "verifyUrl": f"{files.url}/phrase.mp3", "voiceName": "My alto"}
    assert (await studio.post(CHECK, {"taskId": first})).data == {"isAvailable": False}
    voice = await studio.submit(VOICE, sung, studio.made(facts=({"name": "My alto"},)))
    record = await studio.over(voice, VOICE)
    voice_id = record["voiceId"]
    assert record == {
        "taskId": voice,
        "voiceId": voice_id,
        "status": "success",
        "errorCode": None,
        "errorMessage": None,
    }
    data = {"taskId": voice, "voiceId": voice_id, "status": "success", "errorCode": 0, "errorMessage": ""}
    assert await studio.told(VOICE) == {"code": 200, "msg": "success", "data": data}
    assert await studio.record(first, VOICE) == {**record, "taskId": first}
    assert (await studio.post(CHECK, {"task_id": voice})).data == {"isAvailable": True}
    own = {"customMode": True, "prompt": "la", "style": "pop", "title": "T", "personaModel": "voice_persona"}
    song = await studio.submit(GENERATE, {**IDEA, **own, "personaId": voice_id}, studio.songs())
    assert (await studio.over(song))["status"] == "SUCCESS"


async def test_a_voice_that_failed_says_why(studio: Studio, files: Host) -> None:
    sample = {"voiceUrl": f"{files.url}/voice.mp3", "vocalStartS": 0, "vocalEndS": 10}
    lost = await studio.submit(VALIDATE, sample, accept(failure=Failed("No voice found")))
    record = await studio.over(lost, VALIDATE)
    assert (record["status"], record["validateInfo"]) == ("processing_validate_fail", "")
    told = await studio.told(VALIDATE)
    assert (told["code"], told["msg"]) == (400, "Validation phrase generation failed")
    assert (told["data"]["errorCode"], told["data"]["errorMessage"]) == (500, "No voice found")
    first = await studio.submit(VALIDATE, sample, studio.made(facts=({"phrase": "Gentle waves"},)))
    await studio.over(first, VALIDATE)
    await studio.told(VALIDATE)
    sung = {"taskId": first, "verifyUrl": f"{files.url}/phrase.mp3"}
    wrong = "Recording does not match the phrase"
    voice = await studio.submit(VOICE, sung, accept(failure=Failed(wrong)))
    record = await studio.over(voice, VOICE)
    assert (record["status"], record["voiceId"], record["errorMessage"]) == ("fail", "", wrong)
    told = await studio.told(VOICE)
    assert (told["code"], told["msg"], told["data"]["status"]) == (400, "Voice generation failed", "fail")
    assert (await studio.post(CHECK, {"task_id": voice})).data == {"isAvailable": False}


# ---- recovery ----


async def test_old_songs_are_recovered(studio: Studio) -> None:
    parent, audio_id = await studio.quiet_song()
    go_on, before = asyncio.Event(), len(studio.desk.fake.polls)
    act = studio.made(MP3, facts=({"title": "Harbour Lights"}, {"error": "clip_error"}), steps=(go_on,))
    task_id = await studio.submit(RECOVERY, {"sunoTaskId": parent}, act)
    while len(studio.desk.fake.polls) == before:
        await studio.desk.fake.polled.get()
    running = {"code": 201, "msg": "processing", "data": None, "task_id": task_id}
    assert await studio.record(task_id, RECOVERY) == running
    go_on.set()
    done = await studio.over(task_id, RECOVERY)
    url = await studio.link(task_id, 0)
    whole = {"id": audio_id, "audio_url": url, "title": "Harbour Lights", "status": "success", "error": ""}
    lost = {"id": part(parent, 1), "audio_url": "", "title": "", "status": "failed", "error": "clip_error"}
    assert done == {"code": 200, "msg": "success", "data": [whole, lost], "task_id": task_id}
    assert await studio.told(RECOVERY) == done
    failed = await studio.submit(RECOVERY, {"task_id": parent}, accept(failure=Failed("The archive is closed")))
    none = await studio.over(failed, RECOVERY)
    assert (none["code"], none["msg"], len(none["data"])) == (500, "The archive is closed", 2)
    assert (await studio.told(RECOVERY))["code"] == 500


# ---- what is not there, and what is refused ----


@pytest.mark.parametrize("path", sorted({RECORD, *RECORDS.values()} - {RECORDS[RECOVERY]}))
async def test_an_unknown_record_is_a_success_without_data(studio: Studio, path: str) -> None:
    parent, _ = await studio.quiet_song()
    for task_id in (UNKNOWN, "%00", "x" * 500, *([parent] if path != RECORD else [])):
        answer = await studio.get(path, taskId=task_id)
        assert answer.json == {"code": 200, "msg": "success", "data": None}
    other = await studio.desk.neighbour()
    stranger = await other.get(RECORD, taskId=parent)
    assert stranger.json == {"code": 200, "msg": "success", "data": None}


async def test_an_unknown_recovery_has_codes_of_its_own(studio: Studio) -> None:
    path = RECORDS[RECOVERY]
    answer = await studio.get(path, task_id=UNKNOWN)
    assert answer.json == {**refused(404, "Record does not exist"), "task_id": UNKNOWN}
    assert (await studio.get(path)).code == 400
    assert (await studio.get(RECORD)).json == refused(422, "taskId: is required")


MISSING = "Record does not exist"
NO_HOOK = "Please enter callBackUrl."
TOO_SHORT = "vocalEnd: has to be 10 to 30 seconds after vocalStart"
BACKWARDS = "vocalEndS: has to be above vocalStartS"
REF = {"taskId": UNKNOWN, "audioId": part(UNKNOWN, 0)}
CALLED = {"callBackUrl": "https://localhost/cb"}
SONG_URL = {"uploadUrl": "https://in.example.org/a.mp3"}
REFUSED: list[tuple[str, Any, int, str]] = [
    (GENERATE, [], 400, "The request body must be a JSON object"),
    (GENERATE, {}, 422, "customMode: is required"),
    (GENERATE, IDEA, 422, NO_HOOK),
    (GENERATE, {**IDEA, "callBackUrl": "nowhere"}, 422, "callBackUrl: A URL must begin with http:// or https://."),
    (
        GENERATE,
        {**IDEA, "callBackUrl": "http://10.0.0.1/cb"},
        422,
        "callBackUrl: The host of the URL is not on the public internet.",
    ),
    (GENERATE, {**IDEA, **CALLED, "prompt": "a\0b"}, 422, "prompt: must not contain NUL characters"),
    (GENERATE, {**IDEA, **CALLED, "customMode": True}, 422, "style: is required"),
    (EXTEND, {"defaultParamFlag": False, "audioId": "x", "model": "V5"}, 422, NO_HOOK),
    (EXTEND, {**CALLED, "defaultParamFlag": True, "audioId": "x", "model": "V5"}, 422, "continueAt: is required"),
    (COVER_SONG, {**IDEA, **SONG_URL}, 422, NO_HOOK),
    (
        COVER_SONG,
        {**IDEA, **CALLED, "uploadUrl": "http://169.254.169.254/a"},
        422,
        "uploadUrl: The host of the URL is not on the public internet.",
    ),
    (UPLOAD_EXTEND, {**SONG_URL, "defaultParamFlag": True, "continueAt": 0, "model": "V5"}, 422, NO_HOOK),
    (
        UPLOAD_EXTEND,
        {**CALLED, **SONG_URL, "defaultParamFlag": True, "continueAt": 0, "model": "V5"},
        422,
        "continueAt: has to be above 0",
    ),
    (f"{GENERATE}/add-instrumental", {**SONG_URL, "title": "T", "tags": "x", "negativeTags": "y"}, 422, NO_HOOK),
    (f"{GENERATE}/add-vocals", {**SONG_URL, "title": "T", "style": "x"}, 422, "prompt: is required"),
    (f"{GENERATE}/mashup", {**IDEA, "uploadUrlList": []}, 422, NO_HOOK),
    (f"{GENERATE}/mashup", {**IDEA, **CALLED, "uploadUrlList": []}, 422, "uploadUrlList: needs exactly 2 URLs, got 0"),
    (f"{GENERATE}/sounds", {"prompt": "x", "model": "V4"}, 422, "model: must be one of V5, V5_5, V6, V6_WILD, V6_MINI"),
    (REPLACE, {**REF, "prompt": "x"}, 422, "tags: is required"),
    (PERSONA, {**REF, "name": "x", "description": "y"}, 422, MISSING),
    (PERSONA, {**REF, "name": "x", "description": "y", "vocalEnd": 5}, 422, TOO_SHORT),
    (TIMES, REF, 422, MISSING),
    (TIMES, {"taskId": UNKNOWN}, 422, "audioId: is required"),
    (STYLE, {"content": " "}, 422, "content: is required"),
    (STYLE, {}, 422, "content: is required"),
    (COVERS, {"taskId": UNKNOWN}, 422, MISSING),
    (LYRICS, {"prompt": ""}, 422, "prompt: is required"),
    (LYRICS, {"prompt": "x" * 201}, 413, "Theme or prompt too long"),
    (WAVS, {**REF, **CALLED}, 422, MISSING),
    (WAVS, REF, 422, NO_HOOK),
    (VIDEOS, {**REF, **CALLED}, 422, MISSING),
    (VIDEOS, {**REF, **CALLED, "author": "x" * 51}, 422, "author: at most 50 characters, got 51"),
    (STEMS, {**REF, **CALLED}, 422, MISSING),
    (STEMS, CALLED, 422, "audioUrl: give either taskId and audioId, or audioUrl"),
    (STEMS, {**REF, **CALLED, "type": "split_stem_advanced"}, 422, "stemName: is required with split_stem_advanced"),
    (NOTES, {"taskId": UNKNOWN, **CALLED}, 422, MISSING),
    (VALIDATE, {"voiceUrl": "https://a.test/x", "vocalStartS": 5, "vocalEndS": 5}, 422, BACKWARDS),
    (AGAIN, {"taskId": UNKNOWN}, 422, NO_HOOK),
    (AGAIN, {"taskId": UNKNOWN, "calBackUrl": "https://localhost/cb"}, 422, MISSING),
    (VOICE, {"taskId": UNKNOWN, "verifyUrl": "https://a.test/x"}, 422, MISSING),
    (CHECK, {}, 422, "task_id: is required"),
    (CHECK, {"task_id": UNKNOWN}, 422, MISSING),
    (RECOVERY, {**CALLED}, 422, "sunoTaskId: is required"),
    (RECOVERY, {"sunoTaskId": UNKNOWN}, 422, NO_HOOK),
    (RECOVERY, {"sunoTaskId": UNKNOWN, **CALLED}, 422, MISSING),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "code", "msg"), REFUSED)
async def test_a_wrong_request_is_told_which_field_and_which_rule(
    studio: Studio, path: str, body: Any, code: int, msg: str
) -> None:
    async with studio.desk.untouched():
        answer = await studio.post(path, body)
    assert answer.status == 200
    assert answer.json == refused(code, msg)


@pytest.mark.parametrize("url", ["https://example.com/cb", "https://noop", "https://hooks.internal/x"])
async def test_the_dummy_addresses_of_polling_clients_are_taken(studio: Studio, url: str) -> None:
    # Others of their kind name this very machine: those the gateway of a test would take from anybody.
    studio.desk.house.check_url("callBackUrl", url)


async def test_another_accounts_track_is_as_unknown_as_one_that_never_was(studio: Studio, tmp_path: Path) -> None:
    parent, audio_id = await studio.quiet_song()
    other = Studio(await studio.desk.neighbour(), studio.hook, tmp_path)
    for path in (WAVS, VIDEOS, STEMS):
        answer = await other.post(path, {"taskId": parent, "audioId": audio_id, **CALLED})
        assert answer.json == refused(422, MISSING)


async def test_an_empty_wallet_is_told_in_the_words_that_clients_look_for(studio: Studio) -> None:
    account = await studio.desk.house.accounts.create("poor", test_credits=11)
    secret = (await studio.desk.house.accounts.create_key(account, Mode.TEST)).secret
    answer = await studio.post(GENERATE, {**IDEA, **CALLED}, key=secret)
    assert answer.json == refused(402, "Credits insufficient")


# ---- the document's own examples ----


def examples() -> list[Any]:
    return [
        pytest.param(path, example["value"], id=f"{operation['operationId']}-{name}")
        for path, item in document()["paths"].items()
        for operation in item.values()
        for name, example in operation.get("requestBody", {"content": {}})
        .get("content", {})
        .get("application/json", {"examples": {}})["examples"]
        .items()
    ]


def acts(studio: Studio) -> dict[str, Callable[[], Act]]:
    """What a provider makes of each kind of task."""
    named = tuple({"name": name, "seconds": 1.0} for name in STEM_NAMES)
    return {
        LYRICS: lambda: studio.made(facts=({"title": "T", "text": "a"}, {"title": "U", "text": "b"})),
        STYLE: lambda: studio.made(facts=({"text": "rich"},)),
        WAVS: lambda: studio.made(WAV, facts=({},)),
        STEMS: lambda: studio.made(MP3, MP3, facts=named),
        NOTES: lambda: studio.made(MIDI, facts=({"instruments": []},)),
        VIDEOS: lambda: studio.made(MP4, facts=({},)),
        COVERS: lambda: accept(outputs=[studio.file(png()), studio.file(png(shade=9))]),
        PERSONA: lambda: studio.made(facts=({"name": "Quay Singer"},)),
        VALIDATE: lambda: studio.made(facts=({"phrase": "Gentle waves"},)),
        AGAIN: lambda: studio.made(facts=({"phrase": "Silver tides"},)),
        VOICE: lambda: studio.made(facts=({"name": "My alto"},)),
        RECOVERY: lambda: studio.made(MP3, MP3, facts=({"title": "A"}, {"title": "B"})),
        REPLACE: lambda: studio.made(MP3, facts=(SUNG[0],)),
    }


async def scene(studio: Studio, path: str, files: Host) -> dict[str, str]:
    """The earlier tasks that an example names, by the ids that it names them with."""
    made = acts(studio)
    song, audio_id = await studio.quiet_song()
    found = {"4f6d1c0e9b7a4c2f8d35a1e07b92c6d4": song, "7c1e5b52-3d0f-4a86-9f6e-2b8f0c7d9a11": audio_id}
    if path == NOTES:
        stems = await studio.submit(STEMS, {"taskId": song, "audioId": audio_id}, made[STEMS]())
        await studio.over(stems, STEMS)
        await studio.told(STEMS)
        found["93d4e5f6a7b84c9d8e0f1a2b3c4d5e6f"] = stems
    if path in {AGAIN, VOICE, CHECK}:
        sample = {"voiceUrl": f"{files.url}/voice.mp3", "vocalStartS": 0, "vocalEndS": 10}
        phrase = await studio.submit(VALIDATE, sample, made[VALIDATE]())
        await studio.over(phrase, VALIDATE)
        await studio.told(VALIDATE)
        found |= {"c6a7b8c9d0e14f2a9b3c4d5e6f7a8b9c": phrase, "d7b8c9d0e1f24a3b8c4d5e6f7a8b9c0d": phrase}
    return found


@pytest.mark.parametrize(("path", "example"), examples())
async def test_every_example_of_the_document_is_served_as_it_promises(
    studio: Studio, files: Host, path: str, example: Mapping[str, Any]
) -> None:
    known = await scene(studio, path, files)
    text = json.dumps(example).replace("https://client.example.com/in", files.url)
    text = text.replace("https://client.example.com/hooks", f"{studio.hook.url}/hooks")
    for given, ours in known.items():
        text = text.replace(given, ours)
    if path not in {TIMES, CHECK}:
        studio.desk.fake.script(acts(studio).get(path, studio.songs)())
    answer = await studio.post(path, json.loads(text))
    assert answer.code == 200, answer
    task_id = answer.data.get("taskId") or answer.data.get("task_id")
    if path in {TIMES, CHECK, STYLE, PERSONA}:
        return
    record = await studio.over(task_id, path)
    end = record["code"] if path == RECOVERY else record.get("status", record.get("successFlag"))
    assert end in {"SUCCESS", 200, 1, "wait_validating", "success"}, record
    staged = path.startswith(GENERATE) and path != REPLACE
    for stage in ("text", "first", "complete") if staged and "hooks" in text else ():
        assert (await studio.told(path))["data"]["callbackType"] == stage
    if not staged and "hooks" in text:
        assert (await studio.told(path))["code"] == 200


async def test_the_document_and_the_family_have_the_same_operations() -> None:
    promised_ones = {
        (method, path, operation["operationId"])
        for path, item in document()["paths"].items()
        for method, operation in item.items()
    }
    assert len(promised_ones) == 33
    assert {(r.operation.method, r.operation.path, r.operation.id) for r in family.routes} == promised_ones


def documented(envelope: str) -> set[str]:
    """The fields of the ``data`` that an envelope of the document carries."""
    schemas = document()["components"]["schemas"]
    data = schemas[envelope]["properties"]["data"]["anyOf"][0]
    if "$ref" in data:
        data = schemas[data["$ref"].rpartition("/")[2]]
    return set(data["properties"])


@pytest.mark.parametrize(
    ("envelope", "struct"),
    [
        ("MusicRecordEnvelope", SunoMusicRecord),
        ("LyricsRecordEnvelope", SunoLyricsRecord),
        ("WavRecordEnvelope", SunoWavRecord),
        ("VocalRemovalRecordEnvelope", SunoStemsRecord),
        ("MidiRecordEnvelope", SunoMidiRecord),
        ("Mp4RecordEnvelope", SunoVideoRecord),
        ("CoverRecordEnvelope", SunoCoverRecord),
        ("VoicePhraseEnvelope", SunoPhrase),
        ("VoiceRecordEnvelope", SunoVoice),
        ("TimestampedLyricsEnvelope", SunoTimedLyrics),
        ("BoostStyleEnvelope", SunoStyleText),
    ],
)
async def test_every_documented_field_is_sent(envelope: str, struct: type[Any]) -> None:
    assert {field.encode_name for field in msgspec.structs.fields(struct)} == documented(envelope)
