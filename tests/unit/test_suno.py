"""The dialect of Suno: bodies in, records and callbacks out, without a gateway."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from tessera.dialects.base import Call, Desk
from tessera.dialects.suno import family, recovery, songs, source, stages, terms, voices, words, works
from tessera.domain.asset import Asset, Origin
from tessera.domain.errors import IdempotencyConflict, Invalid, NotFound
from tessera.domain.task import Draft, Failure, Mode, MusicRequest, Piece, Reason, State, Task, VideoRequest
from tessera.kit.address import Policy, Refused, vet
from tessera.kit.ids import part
from tessera.testing.ticker import NOON

HOOK = "https://app.example.org/hook"
SONG = "https://in.example.org/song.mp3"
OTHER = "https://in.example.org/other.mp3"
TASK_ID = "019a0c9a7be27d4c95a1b2c3d4e5f607"
WORDS = [{"word": "Lanterns", "startS": 1.36, "endS": 1.79, "mark": "[Verse]"}]
FACTS: dict[str, Any] = {
    "title": "Harbour Lights",
    "tags": "dream pop",
    "lyrics": "[Verse]\nLanterns lean",
    "seconds": 171.84,
    "words": WORDS,
    "memo": "{}",
}

Parse = Callable[[bytes, Desk], Awaitable[Draft]]


def link(asset: Asset) -> str:
    return f"https://files.example.org/{asset.key}"


def output(position: int, name: str, task_id: str = TASK_ID, **changes: Any) -> Asset:
    asset = Asset(
        key=f"s/{task_id}-1-1_{position}.{name}",
        account_id="a",
        origin=Origin.OUTPUT,
        media_type="audio/mpeg",
        size=1,
        sha256="0" * 64,
        created_at=NOON,
        task_id=task_id,
        position=position,
    )
    return replace(asset, **changes)


def task(operation: str = "music.generate", **changes: Any) -> Task:
    """A task that has succeeded, with two songs where it makes songs."""
    made = Task(
        id=TASK_ID,
        account_id="a",
        key_id="k",
        mode=Mode.TEST,
        family="suno",
        operation=operation,
        model="suno/V5",
        request=MusicRequest(),
        params='{"model":"V5"}',
        callback_url=HOOK,
        fallback=None,
        price=12_000,
        state=State.SUCCEEDED,
        progress=1.0,
        epoch=1,
        created_at=NOON,
        started_at=NOON + timedelta(seconds=1),
        completed_at=NOON + timedelta(seconds=60),
        outputs=tuple(output(i, name) for i, name in enumerate(("mp3", "png", "mp3", "png"))),
        pieces=(
            Piece(files={"audio": 0, "cover": 1}, facts=FACTS),
            Piece(files={"audio": 2, "cover": 3}, facts={**FACTS, "seconds": 184.2}),
        ),
    )
    return replace(made, **changes)


def failed(reason: Reason, message: str = "No", **changes: Any) -> Task:
    ended: dict[str, Any] = {"state": State.FAILED, "failure": Failure(reason, message), "pieces": (), "outputs": ()}
    return task(**{**ended, **changes})


class Room:
    """A desk with a few tasks: it keeps what it accepts, and makes nothing of it."""

    now: datetime = NOON
    kept = timedelta(days=14)

    def __init__(self, *tasks: Task, ends: Task | None = None, rival: Task | None = None) -> None:
        self.tasks = {each.id: each for each in tasks}
        self.accepted: list[tuple[Draft, str | None]] = []
        self.ends = ends
        self.rival = rival

    def link(self, asset: Asset) -> str:
        return link(asset)

    def direct(self, asset: Asset) -> str:
        return link(asset)

    def key(self, url: str) -> str | None:
        return None

    async def asset(self, key: str) -> Asset | None:
        return None

    async def task(self, task_id: str) -> Task | None:
        return self.tasks.get(task_id)

    async def children(self, parent: Task, operation: str) -> list[Task]:
        found = [each for each in self.tasks.values() if each.parent == parent.id and each.operation == operation]
        return sorted(found, key=lambda each: each.created_at, reverse=True)

    async def accept(self, draft: Draft, *, once: str | None = None) -> str:
        if self.rival is not None:
            # Somebody asks for the same in the same moment, in other words.
            self.tasks[self.rival.id] = self.rival
            raise IdempotencyConflict
        self.accepted.append((draft, once))
        return "new"

    async def credits(self) -> float:
        return 999.6

    async def done(self, task_id: str, within: timedelta) -> Task:
        assert timedelta(0) < within <= timedelta(minutes=1)
        return self.ends or self.tasks[task_id]


def call(**body: Any) -> Call:
    return Call(body=json.dumps(body).encode())


async def parsed(parse: Parse, body: dict[str, Any], *tasks: Task) -> Draft:
    return await parse(json.dumps(body).encode(), Room(*tasks))


AUDIO = part(TASK_ID, 0)
OWN = link(output(0, "mp3"))
BASE = {"model": "V5", "callBackUrl": HOOK}
CUSTOM = {**BASE, "customMode": True, "instrumental": False, "prompt": "[Verse]\nx", "style": "pop", "title": "T"}
IDEA = {**BASE, "customMode": False, "instrumental": False, "prompt": "A song"}
GO_ON = {**BASE, "defaultParamFlag": True, "audioId": AUDIO, "continueAt": 92.5, "style": "pop", "title": "T"}
UP_ON = {**BASE, "defaultParamFlag": True, "uploadUrl": SONG, "continueAt": 60, "style": "pop", "title": "T"}
BACKING = {"uploadUrl": SONG, "title": "T", "tags": "folk", "negativeTags": "drums", "callBackUrl": HOOK}
VOCALS = {"uploadUrl": SONG, "title": "T", "style": "folk", "negativeTags": "rap", "prompt": "hum", "callBackUrl": HOOK}
SECTION = {
    "prompt": "Keep",
    "tags": "pop",
    "title": "T",
    "infillStartS": 30.5,
    "infillEndS": 48.25,
    "fullLyrics": "all",
}
OWN_SECTION = {**SECTION, "taskId": TASK_ID, "audioId": AUDIO}
UP_SECTION = {**SECTION, "uploadUrl": SONG, "model": "V5"}
MIX = {**BASE, "customMode": False, "instrumental": False, "prompt": "Mix", "uploadUrlList": [SONG, OTHER]}
NOISE = {"prompt": "Rain", "model": "V5"}
TRACK = {"taskId": TASK_ID, "audioId": AUDIO, "callBackUrl": HOOK}
SAMPLE = {"voiceUrl": SONG, "vocalStartS": 0, "vocalEndS": 10}

SONG_CUSTOM = {"count": 2, "lyrics": "[Verse]\nx", "style": "pop", "title": "T"}


UNDERSTOOD: list[tuple[Parse, dict[str, Any], dict[str, Any]]] = [
    (songs.generate, IDEA, {"prompt": "A song", "count": 2}),
    (songs.generate, {**IDEA, "style": "x", "title": "y", "negativeTags": "z"}, {"prompt": "A song", "count": 2}),
    (songs.generate, {**IDEA, "instrumental": True}, {"prompt": "A song", "count": 2, "instrumental": True}),
    (songs.generate, {**IDEA, "prompt": "x" * 3000}, {"prompt": "x" * 3000, "count": 2}),
    (songs.generate, CUSTOM, SONG_CUSTOM),
    (songs.generate, {**CUSTOM, "lyrics": "La"}, {**SONG_CUSTOM, "lyrics": "La", "prompt": "[Verse]\nx"}),
    (
        songs.generate,
        {**CUSTOM, "instrumental": True, "prompt": None},
        {"count": 2, "instrumental": True, "style": "pop", "title": "T"},
    ),
    (
        songs.generate,
        {**CUSTOM, "negativeTags": "metal", "vocalGender": "f", "styleWeight": 0.6, "weirdnessConstraint": 0},
        {**SONG_CUSTOM, "avoid": "metal", "voice": "f", "weights": {"style": 0.6, "weirdness": 0}},
    ),
    (songs.generate, {**CUSTOM, "vocalGender": "auto"}, SONG_CUSTOM),
    (songs.generate, {**CUSTOM, "model": "V5_5", "duration": 45}, {**SONG_CUSTOM, "seconds": 45}),
    (songs.generate, {**CUSTOM, "duration": 1}, SONG_CUSTOM),
    (songs.generate, {**CUSTOM, "model": "V6_WILD"}, SONG_CUSTOM),
    (songs.generate, {**CUSTOM, "model": "V4", "prompt": "x" * 3000, "style": "y" * 200, "title": "z" * 80}, {
        "count": 2, "lyrics": "x" * 3000, "style": "y" * 200, "title": "z" * 80
    }),
    (songs.upload_cover, {**CUSTOM, "uploadUrl": SONG, "title": "z" * 100}, {
        **SONG_CUSTOM, "audio": (SONG,), "title": "z" * 100
    }),
    (songs.mashup, MIX, {"prompt": "Mix", "count": 2, "audio": (SONG, OTHER)}),
    (songs.extend, {**GO_ON, "prompt": "[Bridge]\nGulls"}, {
        "count": 2, "audio": (OWN,), "start": 92.5, "lyrics": "[Bridge]\nGulls", "style": "pop", "title": "T",
        "facts": FACTS,
    }),
    (songs.extend, {**GO_ON, "instrumental": True, "prompt": "ignored"}, {
        "count": 2, "audio": (OWN,), "start": 92.5, "instrumental": True, "style": "pop", "title": "T", "facts": FACTS
    }),
    (songs.extend, {**BASE, "defaultParamFlag": False, "audioId": AUDIO}, {
        "count": 2, "audio": (OWN,), "lyrics": FACTS["lyrics"], "style": "dream pop", "title": "Harbour Lights",
        "facts": FACTS,
    }),
    (songs.extend, {**BASE, "defaultParamFlag": False, "audioId": "nobody's"}, {
        "count": 2, "audio": (songs.NOWHERE,)
    }),
    (songs.upload_extend, UP_ON, {"count": 2, "audio": (SONG,), "start": 60, "style": "pop", "title": "T"}),
    (songs.upload_extend, {**BASE, "defaultParamFlag": True, "uploadUrl": SONG, "continueAt": 60}, {
        "count": 2, "audio": (SONG,), "start": 60
    }),
    (songs.upload_extend, {**BASE, "defaultParamFlag": False, "uploadUrl": SONG}, {"count": 2, "audio": (SONG,)}),
    (songs.add_instrumental, BACKING, {
        "count": 2, "audio": (SONG,), "title": "T", "style": "folk", "avoid": "drums"
    }),
    (songs.add_vocals, {**VOCALS, "audioWeight": 0.25}, {
        "count": 2, "audio": (SONG,), "title": "T", "style": "folk", "avoid": "rap", "prompt": "hum",
        "weights": {"audio": 0.25},
    }),
    (songs.replace_section, OWN_SECTION, {
        "audio": (OWN,), "lyrics": "Keep", "style": "pop", "title": "T", "start": 30.5, "end": 48.25,
        "facts": {**FACTS, "fullLyrics": "all"},
    }),
    (songs.replace_section, UP_SECTION, {
        "audio": (SONG,), "lyrics": "Keep", "style": "pop", "title": "T", "start": 30.5, "end": 48.25,
        "facts": {"fullLyrics": "all"},
    }),
    (songs.sounds, NOISE, {"count": 2, "prompt": "Rain", "instrumental": True, "facts": {"version": "V5"}}),
    (songs.sounds, {**NOISE, "soundLoop": True, "soundTempo": 90, "soundKey": "D#m"}, {
        "count": 2, "prompt": "Rain", "instrumental": True, "loop": True, "tempo": 90, "key": "D#m",
        "facts": {"version": "V5"},
    }),
    (songs.sounds, {**NOISE, "soundKey": "Any", "soundTempo": None}, {
        "count": 2, "prompt": "Rain", "instrumental": True, "facts": {"version": "V5"}
    }),
    (works.stems, TRACK, {
        "audio": (OWN,), "stems": ("separate_vocal",), "title": "Harbour Lights", "facts": FACTS
    }),
    (works.stems, {"audioUrl": SONG, "type": "split_stem", "callBackUrl": HOOK}, {
        "audio": (SONG,), "stems": ("split_stem",)
    }),
    (works.stems, {"audioUrl": SONG, "type": "split_stem_advanced", "stemName": "Piano", "callBackUrl": HOOK}, {
        "audio": (SONG,), "stems": ("split_stem_advanced:Piano",)
    }),
    (voices.validate, SAMPLE, {"audio": (SONG,), "start": 0.0, "end": 10.0, "facts": {"language": "en"}}),
    (voices.validate, {**SAMPLE, "language": "ja"}, {
        "audio": (SONG,), "start": 0.0, "end": 10.0, "facts": {"language": "ja"}
    }),
]  # fmt: skip


@pytest.mark.parametrize(("parse", "body", "request_"), UNDERSTOOD)
async def test_a_good_body_becomes_a_request(parse: Parse, body: dict[str, Any], request_: dict[str, Any]) -> None:
    draft = await parsed(parse, body, task())
    wishes = {"avoid": "", "voice": "", "weights": {}, "persona": ""}
    assert draft.request == MusicRequest(**{**wishes, **request_})
    assert draft.family == "suno"
    assert draft.model in family.models
    assert json.loads(draft.params) == body


@pytest.mark.parametrize(
    ("parse", "body", "operation", "model", "price"),
    [
        (songs.generate, IDEA, "music.generate", "suno/V5", 12_000),
        (songs.upload_cover, {**IDEA, "uploadUrl": SONG}, "music.cover", "suno/V5", 12_000),
        (songs.mashup, MIX, "music.mashup", "suno/V5", 12_000),
        (songs.extend, {**GO_ON, "prompt": "x"}, "music.extend", "suno/V5", 12_000),
        (songs.upload_extend, UP_ON, "music.extend", "suno/V5", 12_000),
        (songs.add_instrumental, BACKING, "music.instrumental", "suno/V4_5PLUS", 12_000),
        (songs.add_vocals, {**VOCALS, "model": "V5"}, "music.vocals", "suno/V5", 12_000),
        (songs.replace_section, OWN_SECTION, "music.replace", "suno/V5", 5_000),
        (songs.sounds, NOISE, "music.sounds", "suno/sounds", 2_500),
        (works.stems, TRACK, "music.stems", "suno/stems", 10_000),
        (works.stems, {**TRACK, "type": "split_stem"}, "music.stems", "suno/stems", 50_000),
        (works.stems, {**TRACK, "type": "split_stem_advanced", "stemName": "808"}, "music.stems", "suno/stems", 20_000),
        (works.video, TRACK, "video.clip", "suno/mp4", 2_000),
        (voices.validate, SAMPLE, "music.voice_validate", "suno/voice", 0),
    ],
)
async def test_each_operation_has_its_name_model_and_price(
    parse: Parse, body: dict[str, Any], operation: str, model: str, price: int
) -> None:
    draft = await parsed(parse, body, task())
    assert (draft.operation, draft.model, draft.price) == (operation, model, price)
    assert draft.callback_url == body.get("callBackUrl")
    assert draft.parent == (TASK_ID if "audioId" in body else None)


@pytest.mark.parametrize(
    ("url", "named"),
    [
        (HOOK, True),
        ("http://10.0.0.1/cb", True),
        ("nowhere", True),
        ("http://[", True),
        ("https://localhost/cb", False),
        ("https://hooks.localhost:3000/cb", False),
    ],
)
async def test_only_the_dummy_addresses_of_polling_clients_are_not_judged_at_once(url: str, named: bool) -> None:
    draft = await parsed(songs.generate, {**IDEA, "callBackUrl": url})
    assert draft.callback_url == url
    assert ("callBackUrl" in draft.urls) is named


async def test_the_callers_addresses_are_named_by_their_fields() -> None:
    draft = await parsed(songs.mashup, MIX)
    assert draft.urls == {"uploadUrlList[0]": SONG, "uploadUrlList[1]": OTHER, "callBackUrl": HOOK}
    assert (await parsed(voices.validate, SAMPLE)).urls == {"voiceUrl": SONG}
    # Ours are not the caller's to be judged.
    assert (await parsed(songs.replace_section, OWN_SECTION, task())).urls == {}


LONG = "x" * 5001
REFUSED: list[tuple[Parse, dict[str, Any], str | None, str]] = [
    (songs.generate, {**IDEA, "callBackUrl": None}, "callBackUrl", "Please enter callBackUrl."),
    (songs.generate, {**IDEA, "callBackUrl": " "}, "callBackUrl", "Please enter callBackUrl."),
    (songs.generate, {**IDEA, "prompt": None}, "prompt", "prompt: is required"),
    (songs.generate, {**IDEA, "prompt": "x" * 3001}, "prompt", "prompt: at most 3000 characters, got 3001"),
    (songs.generate, {**IDEA, "customMode": None}, "customMode", "customMode: must be true or false"),
    (songs.generate, {**IDEA, "model": "V4.5"}, "model", "model: must be one of V3_5, V4, V4_5, V4_5PLUS, V4_5ALL"),
    (songs.generate, {**CUSTOM, "prompt": " "}, "prompt", "prompt: is required"),
    (songs.generate, {**CUSTOM, "style": None}, "style", "style: is required"),
    (songs.generate, {**CUSTOM, "title": None}, "title", "title: is required"),
    (songs.generate, {**CUSTOM, "prompt": LONG}, "prompt", "prompt: at most 5000 characters, got 5001"),
    (songs.generate, {**CUSTOM, "model": "V4", "prompt": LONG}, "prompt", "prompt: at most 3000 characters"),
    (songs.generate, {**CUSTOM, "model": "V3_5", "style": "x" * 201}, "style", "style: at most 200 characters"),
    (songs.generate, {**CUSTOM, "style": "x" * 1001}, "style", "style: at most 1000 characters, got 1001"),
    (songs.generate, {**CUSTOM, "title": "x" * 81}, "title", "title: at most 80 characters, got 81"),
    (songs.generate, {**CUSTOM, "styleWeight": 1.01}, "styleWeight", "styleWeight: has to be from 0 to 1"),
    (songs.generate, {**CUSTOM, "audioWeight": -0.1}, "audioWeight", "audioWeight: has to be from 0 to 1"),
    (songs.generate, {**CUSTOM, "weirdnessConstraint": 0.125}, "weirdnessConstraint", "has two decimals at the most"),
    (songs.generate, {**CUSTOM, "vocalGender": "x"}, "vocalGender", "vocalGender: must be one of m, f"),
    (songs.generate, {**CUSTOM, "personaModel": "x"}, "personaModel", "must be one of style_persona, voice_persona"),
    (songs.generate, {**CUSTOM, "personaId": "x"}, "personaId", "personaId: you have no such persona or voice"),
    (songs.generate, {**CUSTOM, "personaId": AUDIO}, "personaId", "personaId: you have no such persona or voice"),
    (songs.generate, {**CUSTOM, "model": "V5_5", "duration": 9}, "duration", "has to be from 10 to 360 seconds"),
    (songs.generate, {**CUSTOM, "model": "V6", "duration": 361}, "duration", "has to be from 10 to 360 seconds"),
    (songs.upload_cover, {**IDEA, "uploadUrl": ""}, "uploadUrl", "uploadUrl: is required"),
    (songs.upload_cover, IDEA, "uploadUrl", "uploadUrl: is required"),
    (songs.upload_cover, {**IDEA, "uploadUrl": SONG, "prompt": "x" * 501}, "prompt", "at most 500 characters"),
    (
        songs.upload_cover,
        {**CUSTOM, "uploadUrl": SONG, "model": "V4_5ALL", "title": "x" * 81},
        "title",
        "at most 80 characters",
    ),
    (songs.upload_cover, {**CUSTOM, "uploadUrl": SONG, "title": "x" * 101}, "title", "at most 100 characters"),
    (songs.mashup, {**MIX, "uploadUrlList": [SONG]}, "uploadUrlList", "uploadUrlList: needs exactly 2 URLs, got 1"),
    (songs.mashup, {**MIX, "uploadUrlList": [SONG] * 3}, "uploadUrlList", "needs exactly 2 URLs, got 3"),
    (songs.mashup, {**MIX, "prompt": "x" * 501}, "prompt", "at most 500 characters"),
    (songs.mashup, {**MIX, "customMode": True}, "style", "style: is required"),
    (songs.extend, {**GO_ON, "prompt": None}, "prompt", "prompt: is required"),
    (songs.extend, {**GO_ON, "prompt": "x", "style": None}, "style", "style: is required"),
    (songs.extend, {**GO_ON, "prompt": "x", "title": None}, "title", "title: is required"),
    (songs.extend, {**GO_ON, "prompt": "x", "continueAt": None}, "continueAt", "continueAt: is required"),
    (songs.extend, {**GO_ON, "prompt": "x", "continueAt": 0}, "continueAt", "continueAt: has to be above 0"),
    (songs.extend, {**GO_ON, "prompt": "x", "continueAt": 171.84}, "continueAt", "has to be below 171.84, the length"),
    (songs.extend, {**GO_ON, "prompt": "x", "model": "V4"}, "model", "has to be V5, which the track was made with"),
    (songs.extend, {**GO_ON, "prompt": "x", "continueAt": -1}, "continueAt", "continueAt: has to be above 0"),
    (songs.extend, {**GO_ON, "audioId": "x", "continueAt": 1e308}, "continueAt", "has to be 86400 at the most"),
    (songs.upload_extend, {**UP_ON, "continueAt": 1e308}, "continueAt", "continueAt: has to be 86400 at the most"),
    (songs.upload_extend, {**UP_ON, "continueAt": None}, "continueAt", "continueAt: is required"),
    (songs.upload_extend, {**UP_ON, "title": "x" * 101}, "title", "title: at most 100 characters, got 101"),
    (songs.add_instrumental, {**BACKING, "tags": ""}, "tags", "tags: is required"),
    (songs.add_instrumental, {**BACKING, "tags": "x" * 1001}, "tags", "tags: at most 1000 characters, got 1001"),
    (songs.add_instrumental, {**BACKING, "negativeTags": "x" * 201}, "negativeTags", "at most 200 characters"),
    (songs.add_instrumental, {**BACKING, "model": "V4"}, "model", "model: must be one of V4_5PLUS, V5, V5_5"),
    (songs.add_vocals, {**VOCALS, "prompt": ""}, "prompt", "prompt: is required"),
    (songs.replace_section, SECTION, "uploadUrl", "give either taskId and audioId, or uploadUrl and model"),
    (songs.replace_section, {**OWN_SECTION, "uploadUrl": SONG}, "uploadUrl", "give either taskId and audioId"),
    (songs.replace_section, {**SECTION, "uploadUrl": SONG}, "model", "model: is required"),
    (songs.replace_section, {**SECTION, "taskId": TASK_ID}, "audioId", "audioId: is required"),
    (songs.replace_section, {**OWN_SECTION, "fullLyrics": None}, "fullLyrics", "fullLyrics: is required"),
    (songs.replace_section, {**UP_SECTION, "infillEndS": 30.5}, "infillEndS", "has to be above infillStartS"),
    (songs.replace_section, {**UP_SECTION, "infillEndS": 40}, "infillEndS", "of 10 seconds at the least"),
    (songs.replace_section, {**UP_SECTION, "infillEndS": 1e308}, "infillEndS", "has to be 86400 at the most"),
    (songs.replace_section, {**UP_SECTION, "infillStartS": -1}, "infillStartS", "must not be negative"),
    (songs.replace_section, {**OWN_SECTION, "infillEndS": 120}, "infillEndS", "half of the track at the most"),
    (songs.sounds, {"prompt": "x"}, "model", "model: is required"),
    (songs.sounds, {**NOISE, "model": "V4"}, "model", "model: must be one of V5, V5_5"),
    (songs.sounds, {**NOISE, "prompt": "x" * 501}, "prompt", "prompt: at most 500 characters, got 501"),
    (songs.sounds, {**NOISE, "soundTempo": 0}, "soundTempo", "has to be a whole number from 1 to 300"),
    (songs.sounds, {**NOISE, "soundTempo": 90.5}, "soundTempo", "has to be a whole number from 1 to 300"),
    (songs.sounds, {**NOISE, "soundKey": "H"}, "soundKey", "soundKey: must be one of Any, Cm"),
    (works.stems, {"callBackUrl": HOOK}, "audioUrl", "give either taskId and audioId, or audioUrl"),
    (works.stems, {**TRACK, "audioUrl": SONG}, "audioUrl", "give either taskId and audioId, or audioUrl"),
    (works.stems, {**TRACK, "audioId": None}, "audioId", "audioId: is required"),
    (works.stems, {**TRACK, "type": "stem"}, "type", "must be one of separate_vocal, split_stem"),
    (works.stems, {**TRACK, "type": "split_stem_advanced"}, "stemName", "is required with split_stem_advanced"),
    (works.stems, {**TRACK, "stemName": "Kazoo"}, "stemName", "stemName: must be one of Lead Vocal"),
    (works.stems, {**TRACK, "callBackUrl": None}, "callBackUrl", "Please enter callBackUrl."),
    (works.midi, {"taskId": TASK_ID}, "callBackUrl", "Please enter callBackUrl."),
    (works.video, {**TRACK, "callBackUrl": ""}, "callBackUrl", "Please enter callBackUrl."),
    (works.video, {**TRACK, "author": "x" * 51}, "author", "author: at most 50 characters, got 51"),
    (works.video, {**TRACK, "domainName": "x" * 51}, "domainName", "domainName: at most 50 characters, got 51"),
    (voices.validate, {**SAMPLE, "vocalEndS": 0}, "vocalEndS", "vocalEndS: has to be above vocalStartS"),
    (voices.validate, {**SAMPLE, "vocalStartS": -1}, "vocalStartS", "vocalStartS: must not be negative"),
    (voices.validate, {**SAMPLE, "vocalEndS": 10**30}, "vocalEndS", "vocalEndS: has to be 86400 at the most"),
    (voices.validate, {**SAMPLE, "vocalStartS": 10**400, "vocalEndS": 10**400 + 9}, "vocalStartS", "at the most"),
    (voices.validate, {**SAMPLE, "vocalEndS": 9.5}, "vocalEndS", "vocalEndS: must be a whole number"),
    (voices.validate, {**SAMPLE, "language": "la"}, "language", "language: must be one of en, zh"),
    (voices.regenerate, {"taskId": TASK_ID}, "callBackUrl", "Please enter callBackUrl."),
    (voices.generate, {"taskId": TASK_ID}, "verifyUrl", "verifyUrl: is required"),
]


@pytest.mark.parametrize(("parse", "body", "field", "rule"), REFUSED)
async def test_a_refusal_names_the_field_and_the_rule(
    parse: Parse, body: dict[str, Any], field: str | None, rule: str
) -> None:
    with pytest.raises(Invalid) as caught:
        await parsed(parse, body, task())
    assert caught.value.field == field
    assert rule in str(caught.value)


NOBODYS = part("019a0c9a7be27d4c95a1b2c3d4e5f600", 0)
UNFOUND: list[tuple[Parse, dict[str, Any]]] = [
    (songs.replace_section, {**OWN_SECTION, "taskId": "x"}),
    (songs.replace_section, {**OWN_SECTION, "audioId": NOBODYS}),
    (works.stems, {**TRACK, "taskId": "x"}),
    (works.stems, {**TRACK, "audioId": NOBODYS}),
    (works.stems, {**TRACK, "audioId": part(TASK_ID, 2)}),
    (works.video, {**TRACK, "audioId": "x"}),
    (works.midi, {"taskId": TASK_ID, "callBackUrl": HOOK}),
    (voices.regenerate, {"taskId": TASK_ID, "calBackUrl": HOOK}),
    (voices.generate, {"taskId": TASK_ID, "verifyUrl": SONG}),
]


@pytest.mark.parametrize(("parse", "body"), UNFOUND)
async def test_what_does_not_exist_is_refused_in_the_recorded_words(parse: Parse, body: dict[str, Any]) -> None:
    with pytest.raises(NotFound, match=r"^Record does not exist$"):
        await parsed(parse, body, task())


@pytest.mark.parametrize(
    "audio_id",
    [
        "http://127.0.0.1:8099/x.mp3",
        "HTTPS://in.example.org/song.mp3",
        " ftp://in.example.org/x",
        "//127.0.0.1/x.mp3",
        "file:/etc/passwd",
        "data:audio/mpeg;base64,AAAA",
        "x://y",
        OWN,
    ],
)
async def test_an_address_is_no_id_of_a_track(audio_id: str) -> None:
    body = {**BASE, "defaultParamFlag": False, "audioId": audio_id}
    with pytest.raises(NotFound, match=r"^Record does not exist$"):
        await parsed(songs.extend, body, task())


@pytest.mark.parametrize("audio_id", ["nobody's", NOBODYS, "127.0.0.1", "files/s/x.mp3", "../x", "www.example.org"])
async def test_an_id_that_names_no_track_is_never_used_as_an_address(audio_id: str) -> None:
    draft = await parsed(songs.extend, {**BASE, "defaultParamFlag": False, "audioId": audio_id}, task())
    (source_,) = draft.request.sources()
    assert source_.url == songs.NOWHERE
    # It fails by its text alone, before anything is looked up, even where private addresses are allowed.
    with pytest.raises(Refused, match="must begin with http"):
        vet(source_.url, Policy(allow_private=True))


async def test_a_track_is_found_by_either_spelling_of_its_id() -> None:
    for audio_id in (AUDIO, AUDIO.upper(), AUDIO.replace("-", "")):
        draft = await parsed(works.video, {**TRACK, "audioId": audio_id}, task())
        assert isinstance(draft.request, VideoRequest)
        assert (draft.request.audio, draft.request.first) == (OWN, link(output(1, "png")))
        assert draft.request.title == "Harbour Lights"


async def test_a_track_that_is_not_ready_or_not_kept_cannot_be_worked_on() -> None:
    running = task(state=State.RUNNING, pieces=(), outputs=())
    with pytest.raises(Invalid, match="taskId: the task is not finished yet"):
        await parsed(works.video, TRACK, running)
    text = task(state=State.RUNNING, stage="text", pieces=(Piece(facts=FACTS),), outputs=())
    with pytest.raises(Invalid, match="audioId: this has no audio file, or none yet"):
        await parsed(works.video, TRACK, text)
    gone = task(outputs=(output(0, "mp3", purged_at=NOON), *task().outputs[1:]))
    with pytest.raises(Invalid, match="Temporarily supports records within 14 days"):
        await parsed(works.video, TRACK, gone)


async def test_a_persona_or_a_voice_goes_along_with_all_that_is_known_of_it() -> None:
    for operation in ("music.persona", "music.voice_generate"):
        own = task(operation, pieces=(Piece(facts={"name": "Quay Singer"}),), outputs=())
        persona_id = part(own.id, 0).replace("-", "")
        draft = await parsed(songs.generate, {**CUSTOM, "personaId": persona_id}, own)
        assert isinstance(draft.request, MusicRequest)
        assert draft.request.persona == persona_id
        assert draft.request.facts == {"persona": {"name": "Quay Singer"}}


async def test_a_persona_of_another_family_is_none_of_ours() -> None:
    stranger = task("music.persona", family="elsewhere", pieces=(Piece(facts={"name": "Quay Singer"}),), outputs=())
    with pytest.raises(Invalid, match=r"^personaId: you have no such persona or voice$"):
        await parsed(songs.generate, {**CUSTOM, "personaId": part(stranger.id, 0)}, stranger)


@pytest.mark.parametrize(("start", "field"), [(1e15, "vocalStart"), (86_390, "vocalEnd"), (-1, "vocalStart")])
async def test_a_persona_is_taken_from_where_a_track_can_be(start: float, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        await voices.persona(call(**{**PERSONA, "vocalStart": start, "vocalEnd": start + 20}), Room(task()))
    assert caught.value.field == field


# ---- what is answered at once ----


async def test_word_times_that_are_known_cost_nothing_and_ask_nobody() -> None:
    room = Room(task())
    answer = await words.timestamps(call(taskId=TASK_ID, audioId=AUDIO), room)
    assert msgspec.to_builtins(answer) == {
        "alignedWords": [{"word": "[Verse]\nLanterns", "startS": 1.36, "endS": 1.79, "success": True, "palign": 0}],
        "waveformData": [],
        "hootCer": None,
        "isStreamed": False,
    }
    assert not room.accepted


async def test_word_times_that_are_not_known_are_listened_for_once() -> None:
    plain = task(pieces=(Piece(files={"audio": 0}, facts={"title": "T"}),))
    body = {"taskId": TASK_ID, "audioId": AUDIO}
    facts = {"words": [{"word": "a", "startS": 0, "endS": 1, "success": False, "palign": 2}], "waveform": [0, 0.5]}
    heard = task(
        "music.timing", id="t2", parent=TASK_ID, params=json.dumps(body), pieces=(Piece(facts=facts),), outputs=()
    )
    room = Room(plain, ends=heard)
    answer = msgspec.to_builtins(await words.timestamps(call(**body), room))
    assert answer["alignedWords"] == facts["words"]
    assert answer["waveformData"] == [0, 0.5]
    ((draft, once),) = room.accepted
    assert (draft.operation, draft.price, draft.parent) == ("music.timing", 400, TASK_ID)
    assert once == f"suno-timing-{AUDIO}-0"
    room = Room(plain, heard)
    assert msgspec.to_builtins(await words.timestamps(call(**body), room)) == answer
    assert not room.accepted


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (task("music.style", state=State.RUNNING), 408),
        (failed(Reason.CONTENT), 400),
        (failed(Reason.PROVIDER), 501),
        (failed(Reason.INPUT_UNREACHABLE), 451),
        (failed(Reason.DEADLINE), 408),
        (failed(Reason.CANCELED), 500),
        (failed(Reason.UNAVAILABLE), 500),
    ],
)
async def test_who_waits_is_told_why_there_is_no_result(end: Task, code: int) -> None:
    answer: Any = await words.style(call(content="Pop"), Room(ends=end))
    assert (answer.code, answer.data) == (code, None)


PERSONA = {"taskId": TASK_ID, "audioId": AUDIO, "name": "Quay", "description": "Alto", "vocalStart": 0, "vocalEnd": 25}


async def test_a_persona_is_made_once_for_each_track() -> None:
    made = task("music.persona", id=NOBODYS.replace("-", ""), parent=TASK_ID, params=json.dumps(PERSONA))
    room = Room(task(), ends=made)
    answer = msgspec.to_builtins(await voices.persona(call(**PERSONA), room))
    assert answer == {"personaId": part(made.id, 0).replace("-", ""), "name": "Quay", "description": "Alto"}
    ((draft, _),) = room.accepted
    assert draft.request == MusicRequest(audio=(OWN,), title="Quay", prompt="Alto", start=0.0, end=25.0, facts=FACTS)
    again: Any = await voices.persona(call(**PERSONA), Room(task(), made))
    assert (again.code, again.msg, again.data) == (409, "Persona already exists for this music", None)
    other = Room(task(), made, ends=made)
    await voices.persona(call(**{**PERSONA, "audioId": part(TASK_ID, 1)}), other)
    assert len(other.accepted) == 1


async def test_a_persona_that_is_still_made_is_waited_for() -> None:
    making = task("music.persona", id="p1", parent=TASK_ID, params=json.dumps(PERSONA), state=State.RUNNING)
    room = Room(task(), making)
    answer: Any = await voices.persona(call(**PERSONA), room)
    assert (answer.code, room.accepted) == (408, [])


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"vocalEnd": 9}, "vocalEnd: has to be 10 to 30 seconds after vocalStart"),
        ({"vocalEnd": 31}, "vocalEnd: has to be 10 to 30 seconds after vocalStart"),
        ({"vocalStart": -1}, "vocalStart: must not be negative"),
        ({"name": " "}, "name: is required"),
        ({"description": ""}, "description: is required"),
    ],
)
async def test_a_persona_is_refused_by_field_and_rule(fields: dict[str, Any], rule: str) -> None:
    with pytest.raises(Invalid, match=f"^{rule}$"):
        await voices.persona(call(**{**PERSONA, **fields}), Room(task()))


@pytest.mark.parametrize(
    ("source_task", "rule"),
    [
        (task(state=State.RUNNING), "taskId: the task has not finished with success"),
        (task(model="suno/V3_5"), "taskId: needs a track of a model newer than V3_5"),
    ],
)
async def test_a_persona_needs_a_finished_track_of_a_newer_model(source_task: Task, rule: str) -> None:
    with pytest.raises(Invalid, match=f"^{rule}$"):
        await voices.persona(call(**PERSONA), Room(source_task))


# ---- what was made before ----


async def test_a_wav_is_made_once_for_each_track_and_again_after_a_failure() -> None:
    body = json.dumps(TRACK)
    before = task("music.wav", id="w1", parent=TASK_ID, params=body)
    again: Any = await works.wav(call(**TRACK), Room(task(), before))
    assert (again.code, again.msg, again.data) == (409, "WAV record already exists", None)
    room = Room(task(), replace(before, state=State.FAILED, failure=Failure(Reason.PROVIDER, "No")))
    await works.wav(call(**TRACK), room)
    ((draft, once),) = room.accepted
    assert once == f"suno-wav-{AUDIO}-1"
    assert draft.request == MusicRequest(audio=(OWN,), title="Harbour Lights", facts=FACTS)


async def test_a_cover_that_is_there_is_answered_with_its_task() -> None:
    drawing = task("music.art", id="c1", parent=TASK_ID, state=State.RUNNING)
    again: Any = await works.cover(call(taskId=TASK_ID), Room(task(), drawing))
    assert (again.code, again.msg) == (400, "Cover already generated for this task")
    assert again.data.taskId == "c1"
    with pytest.raises(Invalid, match="taskId: the task has not finished with success"):
        await works.cover(call(taskId=TASK_ID), Room(task(state=State.RUNNING)))


async def test_of_two_that_ask_for_the_same_at_the_same_moment_one_makes_it() -> None:
    wav: Any = await works.wav(call(**TRACK), Room(task(), rival=task("music.wav", id="w1", parent=TASK_ID)))
    assert (wav.code, wav.msg) == (409, "WAV record already exists")
    cover: Any = await works.cover(call(taskId=TASK_ID), Room(task(), rival=task("music.art", id="c1", parent=TASK_ID)))
    assert (cover.code, cover.data.taskId) == (400, "c1")
    other = task("music.persona", id="p1", parent=TASK_ID)
    persona: Any = await voices.persona(call(**PERSONA), Room(task(), rival=other))
    assert (persona.code, persona.msg) == (409, "Persona already exists for this music")
    plain = task(pieces=(Piece(files={"audio": 0}, facts={"title": "T"}),))
    body = {"taskId": TASK_ID, "audioId": AUDIO}
    heard = task("music.timing", id="t1", parent=TASK_ID, params=json.dumps(body), pieces=(Piece(facts={"words": []}),))
    times: Any = await words.timestamps(call(**body), Room(plain, rival=heard))
    assert times.alignedWords == []


class Taken(Room):
    """Somebody has begun it already, but what they began is nowhere to be found."""

    looks = 0

    async def children(self, parent: Task, operation: str) -> list[Task]:
        self.looks += 1
        return []

    async def accept(self, draft: Draft, *, once: str | None = None) -> str:
        raise IdempotencyConflict


async def test_what_somebody_else_began_is_looked_for_once_more_and_no_further() -> None:
    plain = task(pieces=(Piece(files={"audio": 0}, facts={"title": "T"}),))
    room = Taken(plain)
    with pytest.raises(Invalid, match=r"^audioId: somebody else is asking for this track; ask again in a moment$"):
        await words.timestamps(call(taskId=TASK_ID, audioId=AUDIO), room)
    assert room.looks == 2
    room = Taken(task())
    with pytest.raises(Invalid, match=r"^taskId: somebody else is asking for these covers; ask again in a moment$"):
        await works.cover(call(taskId=TASK_ID), room)
    assert room.looks == 2


# ---- notes ----


def separated(**changes: Any) -> Task:
    pieces = (
        Piece(files={"audio": 0}, facts={"name": "Vocals", "seconds": 171.84}),
        Piece(files={"audio": 1}, facts={"name": "Instrumental", "seconds": 171.84}),
    )
    return task(
        "music.stems",
        **{
            "pieces": pieces,
            "outputs": (output(0, "mp3"), output(1, "mp3")),
            "request": MusicRequest(audio=(OWN,), facts=FACTS),
            "params": json.dumps(TRACK),
            "parent": "019a0c9a7be27d4c95a1b2c3d4e5f600",
        }
        | changes,
    )


async def test_notes_are_taken_from_all_stems_or_from_one() -> None:
    stems = separated()
    both = await parsed(works.midi, {"taskId": TASK_ID, "callBackUrl": HOOK}, stems)
    assert both.request == MusicRequest(
        audio=(link(stems.outputs[0]), link(stems.outputs[1])),
        facts={**FACTS, "stems": [piece.facts for piece in stems.pieces]},
    )
    body = {"taskId": TASK_ID, "audioId": part(TASK_ID, 1), "callBackUrl": HOOK}
    one = await parsed(works.midi, body, stems)
    assert isinstance(one.request, MusicRequest)
    assert one.request.audio == (link(stems.outputs[1]),)
    assert (one.price, one.parent) == (0, TASK_ID)
    with pytest.raises(Invalid, match="taskId: the task has not finished with success"):
        await parsed(works.midi, body, replace(stems, state=State.RUNNING))


# ---- voices ----


def phrase(id_: str, text: str = "Gentle waves", **changes: Any) -> Task:
    made = {
        "id": id_,
        "pieces": (Piece(facts={"phrase": text}),),
        "outputs": (),
        "params": json.dumps(SAMPLE),
        "request": MusicRequest(audio=(SONG,), start=0.0, end=10.0, facts={"language": "de"}),
    }
    return task("music.voice_validate", **{**made, **changes})


async def test_another_phrase_is_another_task_and_knows_the_earlier_ones() -> None:
    first = phrase("p1")
    assert isinstance(first.request, MusicRequest)
    second = phrase("p2", "Silver tides", parent="p1", created_at=NOON + timedelta(seconds=1))
    for given in ("p1", "p2"):
        draft = await parsed(voices.regenerate, {"taskId": given, "calBackUrl": HOOK}, first, second)
        assert draft.parent == "p1"
        assert draft.request == replace(
            first.request, facts={"language": "de", "phrases": ["Gentle waves", "Silver tides"], "turn": 2}
        )
    shown: Any = await voices.phrase_info(Call(query={"taskId": ["p1"]}), Room(first, second))
    assert (shown.taskId, shown.validateInfo) == ("p1", "Silver tides")


async def test_a_voice_is_made_of_the_newest_phrase_and_found_by_either_id() -> None:
    first = phrase("p1")
    second = phrase("p2", "Silver tides", parent="p1", created_at=NOON + timedelta(seconds=1))
    body = {"taskId": "p1", "verifyUrl": OTHER, "voiceName": "My alto", "singerSkillLevel": "advanced"}
    draft = await parsed(voices.generate, body, first, second)
    assert draft.request == MusicRequest(
        audio=(OTHER,),
        title="My alto",
        facts={"phrase": "Silver tides", "language": "de", "skill": "advanced"},
    )
    made = task("music.voice_generate", parent="p1", pieces=(Piece(),), outputs=())
    room = Room(first, second, made)
    for task_id in ("p1", made.id):
        shown: Any = await voices.voice_info(Call(query={"taskId": [task_id]}), room)
        assert (shown.taskId, shown.status, shown.voiceId) == (task_id, "success", part(made.id, 0).replace("-", ""))
        ready: Any = await voices.check(call(task_id=task_id), room)
        assert ready.isAvailable
    with pytest.raises(NotFound):
        await voices.check(call(taskId="x"), room)


async def test_a_voice_needs_its_phrase() -> None:
    waiting = phrase("p1", state=State.RUNNING, pieces=())
    with pytest.raises(Invalid, match=r"^taskId: its phrase is not there yet$"):
        await parsed(voices.generate, {"taskId": "p1", "verifyUrl": OTHER}, waiting)
    shown: Any = await voices.voice_info(Call(query={"taskId": ["p1"]}), Room(waiting))
    assert (shown.status, shown.voiceId) == ("processing_validate", "")


@pytest.mark.parametrize("query", [{}, {"taskId": [""]}, {"taskId": ["x"]}, {"taskId": [TASK_ID]}])
async def test_a_voice_record_that_is_not_there_is_a_success_without_data(query: dict[str, list[str]]) -> None:
    assert await voices.voice_info(Call(query=query), Room(task())) is None
    assert await voices.phrase_info(Call(query=query), Room(task())) is None


# ---- states ----

STATES: list[tuple[Task, str, str, str]] = [
    (task(state=State.WAITING, pieces=(), started_at=None), "PENDING", "PENDING", "PENDING"),
    (task(state=State.RUNNING, pieces=()), "PENDING", "PENDING", "PENDING"),
    (task(state=State.RUNNING, stage="text"), "TEXT_SUCCESS", "PENDING", "PENDING"),
    (task(state=State.RUNNING, stage="first"), "FIRST_SUCCESS", "PENDING", "PENDING"),
    (task(), "SUCCESS", "SUCCESS", "SUCCESS"),
    (task(stage="first"), "SUCCESS", "SUCCESS", "SUCCESS"),
    (failed(Reason.CONTENT), "SENSITIVE_WORD_ERROR", "SENSITIVE_WORD_ERROR", "FAILED"),
    (failed(Reason.INPUT_UNREACHABLE), "CREATE_TASK_FAILED", "CREATE_TASK_FAILED", "CREATE_TASK_FAILED"),
    (failed(Reason.UNAVAILABLE), "CREATE_TASK_FAILED", "CREATE_TASK_FAILED", "CREATE_TASK_FAILED"),
    (failed(Reason.PROVIDER), "GENERATE_AUDIO_FAILED", "GENERATE_LYRICS_FAILED", "FAILED"),
    (failed(Reason.DEADLINE), "GENERATE_AUDIO_FAILED", "GENERATE_LYRICS_FAILED", "FAILED"),
    (failed(Reason.CANCELED, state=State.CANCELED), "GENERATE_AUDIO_FAILED", "GENERATE_LYRICS_FAILED", "FAILED"),
    (
        failed(Reason.CANCELED, state=State.CANCELED, started_at=None),
        "CREATE_TASK_FAILED",
        "CREATE_TASK_FAILED",
        "CREATE_TASK_FAILED",
    ),
]


@pytest.mark.parametrize(("shown", "music", "lyrics", "plain"), STATES)
def test_every_state_has_its_word_in_every_record(shown: Task, music: str, lyrics: str, plain: str) -> None:
    assert stages.record(shown, link).status == music
    assert words.lyrics_record(shown, link).status == lyrics
    assert terms.word(shown) == plain
    wav = works.wav_record(shown, link).successFlag
    assert wav == ("GENERATE_WAV_FAILED" if plain == "FAILED" else plain)


@pytest.mark.parametrize(
    ("shown", "cover", "midi"),
    [
        (task(state=State.WAITING), 0, 0),
        (task(state=State.RUNNING), 2, 0),
        (task(), 1, 1),
        (failed(Reason.INPUT_INVALID), 3, 2),
        (failed(Reason.PROVIDER), 3, 3),
    ],
)
def test_two_records_count_their_states(shown: Task, cover: int, midi: int) -> None:
    assert works.cover_record(shown, link).successFlag == cover
    assert works.midi_record(shown, link).successFlag == midi


@pytest.mark.parametrize(
    ("operation", "params", "type_"),
    [
        ("music.generate", {}, "generate"),
        ("music.extend", {"audioId": AUDIO}, "extend"),
        ("music.extend", {"uploadUrl": SONG}, "upload_extend"),
        ("music.cover", {}, "upload_cover"),
        ("music.instrumental", {}, "add_instrumental"),
        ("music.vocals", {}, "add_vocals"),
        ("music.replace", {}, "replace_section"),
        ("music.mashup", {}, "mashup"),
        ("music.sounds", {}, "sounds"),
    ],
)
def test_a_record_names_its_operation(operation: str, params: dict[str, Any], type_: str) -> None:
    assert stages.operation_type(task(operation, params=json.dumps(params))) == type_


@pytest.mark.parametrize(
    ("name", "shown"), [("V4", "chirp-v4"), ("V4_5PLUS", "chirp-bluejay"), ("V5", "chirp-crow"), ("V6", "V6")]
)
def test_a_record_names_the_upstream_model(name: str, shown: str) -> None:
    record = stages.record(task(params=json.dumps({"model": name})), link)
    assert record.type == shown
    assert record.response is not None
    assert {track.modelName for track in record.response.sunoData} == {shown}


def test_a_callback_of_a_stage_tells_what_was_there_then() -> None:
    # By the time that it is delivered there is more.
    text: Any = stages.callback(task(state=State.RUNNING, stage="text", completed_at=None), link)
    assert (text.code, text.data.callbackType, text.data.data) == (200, "text", [])
    first: Any = stages.callback(task(state=State.RUNNING, stage="first", completed_at=None), link)
    assert first.data.callbackType == "first"
    assert [track.id for track in first.data.data] == [AUDIO]
    whole: Any = stages.callback(task(), link)
    assert whole.data.callbackType == "complete"
    assert [track.duration for track in whole.data.data] == [171.84, 184.2]


@pytest.mark.parametrize(
    ("reason", "record", "told"),
    [
        (Reason.CONTENT, 400, 400),
        (Reason.INPUT_INVALID, 400, 400),
        (Reason.INPUT_UNREACHABLE, 451, 500),
        (Reason.DEADLINE, 408, 408),
        (Reason.PROVIDER, 501, 501),
        (Reason.STORAGE, 500, 500),
        (Reason.UNKNOWN, 500, 500),
        (Reason.CANCELED, 499, 531),
    ],
)
def test_every_reason_has_its_code(reason: Reason, record: int, told: int) -> None:
    shown = failed(reason, "Because")
    assert (stages.record(shown, link).errorCode, stages.record(shown, link).errorMessage) == (record, "Because")
    callback: Any = stages.callback(shown, link)
    assert (callback.code, callback.msg, callback.data.callbackType) == (told, "Because", "error")
    wav: Any = works.wav_told(shown, link)
    assert wav.code == 500


def test_the_error_of_a_callback_has_the_form_of_its_page() -> None:
    def data(operation: str) -> Any:
        told: Any = stages.callback(failed(Reason.PROVIDER, operation=operation), link)
        return msgspec.to_builtins(told.data)

    assert data("music.generate") == {"callbackType": "error", "task_id": TASK_ID, "data": None}
    assert data("music.cover") == {"callbackType": "error", "task_id": TASK_ID, "data": []}
    assert data("music.replace") == {"callbackType": "error", "task_id": TASK_ID, "error": "No"}


# ---- stems ----


@pytest.mark.parametrize(
    ("name", "field", "told"),
    [
        ("Vocals", "vocalUrl", "vocal_url"),
        ("vocals", "vocalUrl", "vocal_url"),
        ("Instrumental", "instrumentalUrl", "instrumental_url"),
        ("Backing Vocals", "backingVocalsUrl", "backing_vocals_url"),
        ("Drums", "drumsUrl", "drums_url"),
        ("Bass", "bassUrl", "bass_url"),
        ("Guitar", "guitarUrl", "guitar_url"),
        ("Piano", "pianoUrl", "piano_url"),
        ("Keyboard", "keyboardUrl", "keyboard_url"),
        ("Percussion", "percussionUrl", "percussion_url"),
        ("Strings", "stringsUrl", "strings_url"),
        ("Synth", "synthUrl", "synth_url"),
        ("FX", "fxUrl", "fx_url"),
        ("Brass", "brassUrl", "brass_url"),
        ("Woodwinds", "woodwindsUrl", "woodwinds_url"),
    ],
)
def test_a_stem_stands_in_the_field_of_its_name(name: str, field: str, told: str) -> None:
    shown = separated(pieces=(Piece(files={"audio": 0}, facts={"name": name}),))
    response = msgspec.to_builtins(works.stems_record(shown, link).response)
    assert {key for key, value in response.items() if key.endswith("Url") and value} == {"originUrl", field}
    assert response[field] == link(shown.outputs[0])
    callback: Any = works.stems_told(shown, link)
    assert callback.data["vocal_separation_info"] == {"origin_url": OWN, told: link(shown.outputs[0])}


def test_an_instrument_pulled_out_is_there_in_both_shapes() -> None:
    params = json.dumps({**TRACK, "type": "split_stem_advanced", "stemName": "Flute"})
    names = ("Flute", "No Flute")
    pieces = tuple(Piece(files={"audio": index}, facts={"name": name}) for index, name in enumerate(names))
    response = msgspec.to_builtins(works.stems_record(separated(pieces=pieces, params=params), link).response)
    (item,) = response["originData"]
    assert (item["stem_type_group_name"], item["id"]) == ("Flute", part(TASK_ID, 0))
    assert item["extract"]["stem_type_group_name"] == "Flute"
    assert item["remove"] == {
        "duration": None,
        "audio_url": link(output(1, "mp3")),
        "stem_type_group_name": "No Flute",
        "id": part(TASK_ID, 1),
    }


def test_a_failed_separation_says_which_one() -> None:
    vocal: Any = works.stems_told(failed(Reason.PROVIDER, params="{}"), link)
    stem: Any = works.stems_told(failed(Reason.PROVIDER, params='{"type":"split_stem"}'), link)
    assert (vocal.msg, stem.msg) == ("Vocal separation failed", "Instrument separation failed.")


# ---- recovery ----


async def test_recovery_asks_for_every_track_and_gives_what_is_still_kept() -> None:
    gone = task(outputs=(output(0, "mp3", purged_at=NOON), *task().outputs[1:]))
    room = Room(gone)
    answer: Any = await recovery.recover(call(task_id=TASK_ID, call_back_url=HOOK), room)
    assert answer.task_id == "new"
    ((draft, _),) = room.accepted
    assert isinstance(draft.request, MusicRequest)
    assert draft.request.audio == (link(gone.outputs[2]),)
    first, second = draft.request.facts["tracks"]
    assert (first["id"], "audio" in first) == (AUDIO, False)
    assert (second["id"], second["audio"], second["memo"]) == (part(TASK_ID, 1), 0, "{}")


def test_the_state_of_a_recovery_is_its_code() -> None:
    asked = MusicRequest(facts={"tracks": [{"id": "a", "title": "A"}, {"id": "b", "title": "B"}]})
    half = (Piece(files={"audio": 0}), Piece(facts={"error": "clip_not_complete"}))
    done = recovery.record(task("music.recover", request=asked, pieces=half), link)
    assert (done.code, done.msg, done.task_id) == (200, "success", TASK_ID)
    assert msgspec.to_builtins(done.data) == [
        {"id": "a", "audio_url": OWN, "title": "A", "status": "success", "error": ""},
        {"id": "b", "audio_url": "", "title": "", "status": "failed", "error": "clip_not_complete"},
    ]
    running = recovery.record(task("music.recover", request=asked, state=State.RUNNING), link)
    assert (running.code, running.msg, running.data) == (201, "processing", None)
    lost = recovery.record(failed(Reason.PROVIDER, operation="music.recover", request=asked), link)
    assert (lost.code, [each.error for each in lost.data]) == (500, ["clip_error", "clip_error"])
    none = recovery.record(task("music.recover", request=asked, pieces=(Piece(), Piece())), link)
    assert none.code == 500


@pytest.mark.parametrize(
    ("query", "code", "msg"),
    [({}, 400, "task_id: is required"), ({"task_id": ["x"]}, 404, "Record does not exist")],
)
async def test_a_recovery_that_is_not_there_has_a_documented_code(
    query: dict[str, list[str]], code: int, msg: str
) -> None:
    answer: Any = await recovery.recovery_info(Call(query=query), Room())
    assert (answer.code, answer.msg, answer.data) == (code, msg, None)


# ---- the family ----


def test_a_body_that_is_too_deep_to_be_read_again_does_not_spoil_its_record() -> None:
    deep = "[" * 100_000 + "]" * 100_000
    record = stages.record(task("music.extend", params=f'{{"audioId":"x","deep":{deep}}}'), link)
    assert (record.status, record.type) == ("SUCCESS", "chirp-crow")


def test_every_model_and_every_work_can_be_routed() -> None:
    assert {"suno/V5", "suno/wav", "suno/voice"} <= family.models
    assert all(price >= 0 for price in terms.PRICES.values())


async def test_lyrics_that_are_asked_for_at_too_great_length_have_a_code_of_their_own() -> None:
    room = Room()
    long: Any = await words.lyrics(call(prompt="x" * 201), room)
    assert (long.code, long.msg, room.accepted) == (413, "Theme or prompt too long", [])
    made: Any = await words.lyrics(call(prompt=" x" * 100 + " "), room)
    assert made.taskId == "new"
    with pytest.raises(Invalid, match="prompt: is required"):
        await words.lyrics(call(prompt=" "), room)


def test_a_piece_without_a_file_has_no_link() -> None:
    assert source.linked(task(), Piece(files={"audio": 9}), "audio", link) == ""
    assert source.linked(task(), Piece(), "audio", link) == ""
