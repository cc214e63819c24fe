"""The Market: one pair of calls for every model of the catalog, and voices and characters for Gemini Omni."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import msgspec

from tessera.contract import catalog, market_price
from tessera.contract.catalog import CHAT, Model
from tessera.contract.decode import Mismatch
from tessera.contract.envelope import Envelope
from tessera.contract.market import (
    DONE,
    FAILED,
    NO_RECORD,
    NO_TASK_ID,
    UNKNOWN_MODEL,
    VOICES,
    CreateTask,
    JobCallbackData,
    JobCreated,
    JobRecord,
    OmniAudio,
    OmniAudioMade,
    OmniCharacter,
    OmniCharacterMade,
)
from tessera.contract.market import (
    State as WireState,
)
from tessera.contract.operations import Operation
from tessera.dialects import market_requests
from tessera.dialects.base import Call, Desk, Link, Route, bounded, compact, read, sent, urls
from tessera.dialects.files import too_old
from tessera.dialects.market_requests import Form
from tessera.domain.asset import Asset
from tessera.domain.credit import UNIT, credits
from tessera.domain.errors import Invalid, NotFound
from tessera.domain.progress import shown
from tessera.domain.task import Draft, ImageRequest, Line, Reason, SpeechRequest, State, Task, VideoRequest
from tessera.kit.clock import millis
from tessera.kit.ids import part

NAME = "market"
VOICE = "gemini-omni-audio"
CHARACTER = "gemini-omni-character"

VOICE_PRICE = 1_000
CHARACTER_PRICE = 8_000
"""Milli-credits. No price was found for either: a short sample of speech, and two pictures at 4 credits."""

SHORTEST = 1.0
"""Seconds that are paid for a file at the least: its length is what its own header says."""

PORTRAITS = 2
PATIENCE = timedelta(seconds=60)
"""How long a character's pictures are waited for, and a voice that is used while its sample is being made."""

STATES: Mapping[State, WireState] = {
    State.WAITING: "waiting",
    State.RUNNING: "generating",
    State.SUCCEEDED: "success",
    State.FAILED: "fail",
    State.CANCELED: "fail",
}
"""Nothing is ever ``queuing``: a client is known that takes it for a failure."""

FAIL_CODES = {
    Reason.CONTENT: "400",
    Reason.INPUT_INVALID: "422",
    Reason.INPUT_UNREACHABLE: "422",
    Reason.DEADLINE: "408",
    Reason.CANCELED: "499",
}
"""All else is 500."""

EARLIER = ("task_id", "taskId")
"""Fields that name an earlier task, whose result is worked on."""

OF_FILMS = ("video-to-video", "upscale")
"""What works on the film of an earlier task; all else works on pictures."""

EXTRA_FILES = {"firstFrameUrl": "first", "lastFrameUrl": "last", "resultWaterMarkUrls": "watermark"}
"""Names in a result, and the part that such a file plays among the files of a piece."""

ID_LENGTH = 32


def _creating(path: str, identifier: str, summary: str, body: Any, data: Any) -> Operation:
    return Operation(
        method="post", path=path, id=identifier, summary=summary, tag="Market", body=body, data=data, creates=True
    )


def _reading(path: str, identifier: str, summary: str) -> Operation:
    query = ("taskId!",)
    return Operation(method="get", path=path, id=identifier, summary=summary, tag="Market", query=query, data=JobRecord)


CREATE = _creating("/api/v1/jobs/createTask", "createTask", "Start a task of any model", CreateTask, JobCreated)
OLD_CREATE = _creating(
    "/api/v1/playground/createTask", "createPlaygroundTask", "Start a task: the path of 2025", CreateTask, JobCreated
)
RECORD = _reading("/api/v1/jobs/recordInfo", "getTaskDetails", "State and result of a task")
OLD_RECORD = _reading(
    "/api/v1/playground/recordInfo", "getPlaygroundTask", "State and result of a task: the path of 2025"
)
AUDIO = _creating(
    "/api/v1/omni/audio/create", "geminiOmniAudio", "Make a reusable voice for films", OmniAudio, OmniAudioMade
)
CAST = _creating(
    "/api/v1/omni/character/create",
    "geminiOmniCharacter",
    "Make a reusable character for films",
    OmniCharacter,
    OmniCharacterMade,
)


class Market:
    name = NAME

    @cached_property
    def models(self) -> frozenset[str]:
        """Those of the catalog, each of which can have a route of its own, and the makers of voices and characters."""
        return frozenset({*catalog.models(), VOICE, CHARACTER})

    @property
    def routes(self) -> tuple[Route, ...]:
        return (
            Route(CREATE, self.create),
            Route(OLD_CREATE, self.create),
            Route(RECORD, self.read),
            Route(OLD_RECORD, self.read),
            Route(AUDIO, self.voice),
            Route(CAST, self.character),
        )

    async def create(self, call: Call, desk: Desk) -> JobCreated:
        task_id = await desk.accept(await self.parse(call.body, desk))
        return JobCreated(taskId=task_id, recordId=task_id)

    async def parse(self, body: bytes, desk: Desk) -> Draft:
        """A body as it was understood, with what it names of earlier tasks. Raises Invalid."""
        wire = read(CreateTask, body)
        given = wire.input or {}
        model = _model(wire.model, given)
        taken = _checked(model, given)
        parent, form = await _gathered(Form(model=model, sent=taken, full=catalog.filled(model, taken)), desk)
        operation, request = market_requests.understood(form)
        asked = market_requests.asked(form)
        addresses, callback = market_requests.given_urls(form), _callback_url(wire, given)
        return Draft(
            family=self.name,
            operation=operation,
            model=model.id,
            request=request,
            params=compact(body),
            callback_url=callback,
            urls={**addresses, **urls(callBackUrl=callback)},
            parent=parent,
            price=math.ceil(market_price.price(model, asked) * UNIT),
            units={"output": asked.outputs, **({} if isinstance(request, ImageRequest) else {"second": asked.seconds})},
        )

    async def read(self, call: Call, desk: Desk) -> object:
        task_id = call.maybe("taskId")
        if task_id is None:
            return Envelope(400, NO_TASK_ID)
        task = await desk.task(plain(task_id))
        if task is None or task.family != self.name or catalog.find(task.model) is None:
            raise NotFound(NO_RECORD)
        return self.record(task, desk.link, desk.now)

    def record(self, task: Task, link: Link, now: datetime) -> JobRecord:
        done = task.state is State.SUCCEEDED
        param, result = _param(task), _result(task, link) if done else {}
        return JobRecord(
            taskId=task.id,
            model=_named(task),
            state=STATES[task.state],
            param=param,
            resultJson=_text(result) if done else "",
            failCode=_fail_code(task),
            failMsg=task.failure.message if task.failure else None,
            costTime=_cost(task),
            completeTime=millis(task.completed_at) if task.completed_at else None,
            createTime=millis(task.created_at),
            creditsConsumed=credits(task.price) if done else 0,
            operationType=_named(task),
            response=result if done else msgspec.UNSET,
            successFlag=1 if done else 3 if task.state.terminal else 0,
            paramJson=param,
            updateTime=millis(task.completed_at or task.started_at or task.created_at),
            progress=round(100 * shown(task, now)),
        )

    def callback(self, task: Task, link: Link) -> Envelope:
        done = task.state is State.SUCCEEDED
        ended = millis(task.completed_at or task.created_at)
        consumed = credits(task.price) if done else 0
        data = JobCallbackData(
            taskId=task.id,
            model=_named(task),
            state=STATES[task.state],
            param=_param(task),
            resultJson=_text(_result(task, link)) if done else None,
            failCode=_fail_code(task),
            failMsg=task.failure.message if task.failure else None,
            costTime=_cost(task) or 0,
            createTime=millis(task.created_at),
            completeTime=ended,
            updateTime=ended,
            creditsConsumed=consumed,
            consumeCredits=consumed,
        )
        return Envelope(200, DONE, data) if done else Envelope(501, FAILED, data)

    async def voice(self, call: Call, desk: Desk) -> OmniAudioMade:
        """A voice is a task of ours that speaks its sample; its id is the voice's. It is ready when it is used."""
        wire = read(OmniAudio, call.body)
        if wire.audio_id not in VOICES:
            raise Invalid(f"audio_id: must be one of {', '.join(VOICES)}", field="audio_id")
        said = (wire.example_dialogue or "").strip() or bounded("name", wire.name, 210, required=True)
        request = SpeechRequest(
            prompt=wire.voice_description or "", lines=(Line(text=said, voice=wire.audio_id),), voice=wire.audio_id
        )
        draft = Draft(
            family=self.name,
            operation="speech.generate",
            model=VOICE,
            request=request,
            params=compact(call.body),
            price=VOICE_PRICE,
        )
        task_id = await desk.accept(draft)
        return OmniAudioMade(audioId=task_id, kieAudioId=task_id, name=wire.name)

    async def character(self, call: Call, desk: Desk) -> object:
        """A character is a task of ours that makes its two portraits; its id is the character's."""
        wire = read(OmniCharacter, call.body)
        words = bounded("descriptions", wire.descriptions or wire.description, 20_000, required=True)
        await _voices("audio_ids", wire.audio_ids or (), desk, desk.now + PATIENCE)
        draft = Draft(
            family=self.name,
            operation="image.edit",
            model=CHARACTER,
            request=ImageRequest(prompt=words, ratio="auto", count=PORTRAITS, images=tuple(wire.image_urls)),
            params=compact(call.body),
            urls=urls(image_urls=wire.image_urls),
            price=CHARACTER_PRICE,
        )
        task = await desk.done(await desk.accept(draft), PATIENCE)
        if task.failure:
            return Envelope(501, task.failure.message)
        links = [desk.link(asset) for asset in task.outputs]
        return OmniCharacterMade(
            characterId=task.id,
            characterName=wire.character_name or "",
            imageUrl=links[0] if links else msgspec.UNSET,
            bodyImageUrl=links[-1] if links else msgspec.UNSET,
        )


def plain(given: str) -> str:
    """An id as it was answered, with or without the name that the documents' samples put before it."""
    tail = given.rpartition("_")[2]
    return tail if len(tail) == ID_LENGTH else given


# ---- what was asked for ----


def _model(name: str, given: Mapping[str, Any]) -> Model:
    model = catalog.find(name)
    if model is None:
        raise Invalid(UNKNOWN_MODEL, field="model")
    if model.modality == CHAT:
        path = model.endpoint.path if model.endpoint else "its own path"
        raise Invalid(f"model: {name} is a chat model and makes no tasks; POST to {path} instead", field="model")
    other = model.accepts.instead
    return catalog.models()[other.model] if other is not None and other.field in given else model


def _checked(model: Model, given: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return catalog.check(model, given)
    except Mismatch as error:
        raise Invalid(str(error), field=error.field) from error


def _callback_url(wire: CreateTask, given: Mapping[str, Any]) -> str | None:
    """Clients put it in the wrong place, and spell it in two ways; an empty one is none."""
    inside = given.get("callBackUrl")
    return wire.callBackUrl or wire.callbackUrl or (inside if isinstance(inside, str) else None) or None


async def _gathered(form: Form, desk: Desk) -> tuple[str | None, Form]:
    """The id of the task that this one goes on from, and the form with all that lies here."""
    parent, found = await _earlier(form, desk)
    until = desk.now + PATIENCE
    return parent, replace(
        found,
        voices=await _voices("input.audio_ids", form.sent.get("audio_ids") or (), desk, until),
        cast=await _characters("input.character_ids", form.sent.get("character_ids") or (), desk, until),
        lengths={**found.lengths, **await _lengths(form, desk)},
    )


async def _earlier(form: Form, desk: Desk) -> tuple[str | None, Form]:
    """What an earlier task made, where the input names one. Pictures that are sent as well win."""
    name = next((name for name in EARLIER if name in form.sent), None)
    if name is None or form.urls(market_requests.PICTURES):
        return None, form
    field = f"input.{name}"
    task = await _done(field, form.sent[name], desk)
    if "mask_indexs" in form.sent:
        return task.id, _masked(form, field, task, desk)
    film = form.model.modality in OF_FILMS and form.model.output.kind == "video"
    asset = _kept(field, _made(form, field, task, film=film), desk)
    if film != asset.media_type.startswith("video/"):
        raise Invalid(f"{field}: the result of the task is {'no film' if film else 'a film'}", field=field)
    if film:
        link, made = desk.link(asset), task.request
        told = asset.seconds or (made.seconds if isinstance(made, VideoRequest) else None)
        tier = made.resolution if isinstance(made, VideoRequest) else None
        return task.id, replace(form, film=link, lengths={link: max(told, SHORTEST)} if told else {}, source=tier)
    return task.id, replace(form, pictures=(desk.link(asset),))


async def _done(field: str, given: str, desk: Desk) -> Task:
    task = await desk.task(plain(given))
    if task is None:
        raise Invalid(f"{field}: there is no such task", field=field)
    if task.state is not State.SUCCEEDED:
        raise Invalid(f"{field}: the task has not succeeded", field=field)
    return task


def _made(form: Form, field: str, task: Task, *, film: bool) -> Asset:
    """The result that is meant, where there are films and covers one of the wanted kind; of an extension the whole.

    Another family shows its extension as the new piece and the whole, and an index counts them as it shows them.
    """
    index = int(form.full.get("index", 0))
    kind = "video/" if film else "image/"
    made = [asset for asset in task.outputs if asset.media_type.startswith(kind)] or list(task.outputs)
    if task.operation == "video.extend" and (task.family == NAME or "index" not in form.sent):
        made = made[-1:]
    if index >= len(made):
        raise Invalid(f"{field}: the task has no result {index}", field=field)
    return made[index]


def _kept(field: str, asset: Asset, desk: Desk) -> Asset:
    if asset.purged_at is not None:
        raise Invalid(f"{field}: {too_old(desk.kept)}", field=field)
    return asset


def _masked(form: Form, field: str, task: Task, desk: Desk) -> Form:
    """The picture of a segmentation, and the area that is to be edited. Of several areas none is marked."""
    wanted = [int(index) for index in form.sent["mask_indexs"]]
    if task.operation != "image.segment" or not isinstance(task.request, ImageRequest):
        raise Invalid(f"{field}: must be a task of grok-imagine-image-2-0/segment-map", field=field)
    if max(wanted) >= len(task.outputs):
        raise Invalid(f"input.mask_indexs: the task has {len(task.outputs)} segments", field="input.mask_indexs")
    asset = _kept(field, task.outputs[wanted[0]], desk)
    mask = desk.link(asset) if len(wanted) == 1 else None
    return replace(form, pictures=task.request.images[:1], mask=mask)


async def _voices(field: str, ids: Sequence[str], desk: Desk, until: datetime) -> tuple[str, ...]:
    """Links to the samples of voices that were made here. Raises Invalid for one that is unknown, or has failed."""
    found = [await _asset_of(f"{field}[{index}]", each, VOICE, desk, until) for index, each in enumerate(ids)]
    return tuple(links[0] for links in found)


async def _characters(field: str, ids: Sequence[str], desk: Desk, until: datetime) -> tuple[str, ...]:
    """Links to the portraits of characters that were made here. Raises Invalid."""
    found = [await _asset_of(f"{field}[{index}]", each, CHARACTER, desk, until) for index, each in enumerate(ids)]
    return tuple(link for links in found for link in links)


async def _asset_of(field: str, given: str, model: str, desk: Desk, until: datetime) -> tuple[str, ...]:
    """The files of a voice or a character, which is waited for ``until`` a moment that all of a request share."""
    task = await desk.task(plain(given))
    if task is None or task.model != model:
        raise Invalid(f"{field}: there is no such {'voice' if model == VOICE else 'character'}", field=field)
    if not task.state.terminal:
        task = await desk.done(task.id, max(until - desk.now, timedelta()))
    if task.state is not State.SUCCEEDED or not task.outputs:
        raise Invalid(f"{field}: it is not ready; make it again", field=field)
    return tuple(desk.link(_kept(field, asset, desk)) for asset in task.outputs)


async def _lengths(form: Form, desk: Desk) -> dict[str, float]:
    """The seconds of the films and recordings that lie here: what is paid by the second is counted, not guessed."""
    found: dict[str, float] = {}
    for url in form.urls((*market_requests.FILM, *market_requests.AUDIO)):
        key = desk.key(url)
        asset = await desk.asset(key) if key else None
        if asset is not None and asset.seconds:
            found[url] = max(asset.seconds, SHORTEST)
    return found


# ---- what came of it ----


def _named(task: Task) -> str:
    """The model as it was sent: an alias stays one."""
    return str(sent(task).get("model", task.model))


def _param(task: Task) -> str:
    """The request in the recorded form: a JSON text, and in it the input as a JSON text of its own, keys sorted."""
    body = sent(task)
    shown: dict[str, Any] = {"input": msgspec.json.encode(body.get("input") or {}, order="sorted").decode()}
    if task.callback_url:
        shown["callBackUrl"] = task.callback_url
    return _text({**shown, "model": body.get("model", task.model)})


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _cost(task: Task) -> int | None:
    return round((task.completed_at - task.created_at).total_seconds()) if task.completed_at else None


def _fail_code(task: Task) -> str | None:
    return FAIL_CODES.get(task.failure.reason, "500") if task.failure else None


def _result(task: Task, link: Link) -> dict[str, Any]:
    """The result of a task that has succeeded: addresses of files, or an object where it is no file."""
    model = catalog.find(task.model)
    if model is not None and model.output.place == "resultObject":
        make = OBJECTS[(model.output.result or "").split(".")[-1].split(" ")[0].removesuffix("[]")]
        return {"resultObject": make(task, link)}
    extra = {
        name: link(task.outputs[piece.files[role]])
        for name, role in EXTRA_FILES.items()
        for piece in task.pieces
        if piece.files.get(role, len(task.outputs)) < len(task.outputs)
    }
    found = [link(asset) for asset in (task.outputs[-1:] if task.operation == "video.extend" else task.outputs)]
    marked = {"resultWaterMarkUrls": [extra.pop("resultWaterMarkUrls")]} if "resultWaterMarkUrls" in extra else {}
    apart = {*extra.values(), *marked.get("resultWaterMarkUrls", ())}
    return {"resultUrls": [url for url in found if url not in apart], **extra, **marked}


def _transcript(task: Task, link: Link) -> dict[str, Any]:
    return dict(task.pieces[0].facts) if task.pieces else {}


def _character_id(task: Task, link: Link) -> dict[str, Any]:
    """The provider's id where it has told one, else ours of the clip."""
    told = task.pieces[0].facts.get("character_id") if task.pieces else None
    return {"character_id": told or part(task.id, 0)}


def _subject_status(task: Task, link: Link) -> dict[str, Any]:
    return {"subject_status": int(bool(task.outputs))}


def _mask_urls(task: Task, link: Link) -> dict[str, Any]:
    return {"mask_urls": [link(asset) for asset in task.outputs]}


def _segments(task: Task, link: Link) -> dict[str, Any]:
    names = {piece.files["mask"]: piece.facts.get("name") for piece in task.pieces if "mask" in piece.files}
    return {
        "segments": [
            {"maskUrl": link(asset), "name": names.get(index) or f"segment {index}", "index": index}
            for index, asset in enumerate(task.outputs)
        ]
    }


OBJECTS: Mapping[str, Callable[[Task, Link], dict[str, Any]]] = {
    "resultObject": _transcript,
    "character_id": _character_id,
    "subject_status": _subject_status,
    "mask_urls": _mask_urls,
    "segments": _segments,
}
"""By the name of the result in the catalog."""

family = Market()
