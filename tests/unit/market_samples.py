"""Inputs for the models of the Market, made out of their own schemas."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from tessera.contract import catalog
from tessera.contract.catalog import CHAT, Model
from tessera.domain.asset import Asset, Origin
from tessera.domain.task import Draft, ImageRequest, Mode, State, Task

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
EARLIER = "0197a3b1c0de7000800000000000beef"
HOST = "https://media.example.com"

MEDIA = re.compile(r"(url|urls|image|image_input|frame|video|voice)$")
FILES = (("video", "mp4"), ("clip", "mp4"), ("character_file", "mp4"), ("audio", "mp3"), ("voice", "mp3"))

GENERATING: tuple[Model, ...] = tuple(model for model in catalog.models().values() if model.modality != CHAT)
CHATTING: tuple[Model, ...] = tuple(model for model in catalog.models().values() if model.modality == CHAT)


def minimal(model: Model, host: str = HOST, earlier: str = EARLIER) -> dict[str, Any]:
    """The least that the schema asks for: what is required, and one of what is wanted instead of each other."""
    names = list(model.input.get("required", ()))
    for keyword in ("anyOf", "oneOf"):
        names += next((option["required"] for option in model.input.get(keyword, ())), ())
    if "template_id" in model.fields and "duration" in model.fields:
        names.append("duration")
    return {name: value(name, model.fields[name], host, earlier) for name in dict.fromkeys(names)}


def value(name: str, schema: Mapping[str, Any], host: str = HOST, earlier: str = EARLIER) -> Any:
    """Something that a field takes, of a kind that its name promises."""
    for keyword in ("default", "const"):
        if keyword in schema:
            return schema[keyword]
    if schema.get("enum"):
        return schema["enum"][0]
    if "type" not in schema:
        return value(name, schema["anyOf"][0], host, earlier)
    kind = schema["type"]
    if kind == "array":
        return [value(name, schema["items"], host, earlier)] * schema.get("minItems", 1)
    if kind == "object":
        wanted = schema.get("required") or list(schema["properties"])
        return {each: value(each, schema["properties"][each], host, earlier) for each in wanted}
    if kind in ("integer", "number"):
        return schema.get("minimum", 1)
    return kind == "boolean" if kind == "boolean" else _text(name, host, earlier)


def _text(name: str, host: str, earlier: str) -> str:
    if name.casefold() in ("task_id", "taskid"):
        return earlier
    if name == "url" or MEDIA.search(name):
        ending = next((ending for part, ending in FILES if part in name), "mp4" if name == "url" else "png")
        return f"{host}/{name}.{ending}"
    return "A paper boat"


def asset(name: str, media_type: str, *, task_id: str = EARLIER, **more: Any) -> Asset:
    return Asset(
        key=f"out/{name}",
        account_id="a",
        origin=Origin.OUTPUT,
        media_type=media_type,
        size=10,
        sha256="0" * 64,
        created_at=NOON,
        task_id=task_id,
        **more,
    )


def task(**more: Any) -> Task:
    """A task of the Market that has succeeded, with one film."""
    given: dict[str, Any] = {
        "id": EARLIER,
        "account_id": "a",
        "key_id": "k",
        "mode": Mode.TEST,
        "family": "market",
        "operation": "video.generate",
        "model": "veo-3-1",
        "request": ImageRequest(prompt="x", images=(f"{HOST}/source.png",)),
        "params": '{"model":"veo-3-1","input":{"prompt":"x"}}',
        "callback_url": None,
        "fallback": None,
        "price": 60_000,
        "state": State.SUCCEEDED,
        "progress": 1.0,
        "epoch": 1,
        "created_at": NOON,
        "started_at": NOON,
        "completed_at": NOON + timedelta(seconds=8),
        "outputs": (asset("film.mp4", "video/mp4", width=1280, height=720, seconds=8.0),),
    }
    return Task(**{**given, **more})


class PaperDesk:
    """A desk without a gateway: it knows the tasks and files that it is given, and keeps the drafts."""

    def __init__(self, *tasks: Task) -> None:
        self.tasks = {each.id: each for each in tasks}
        self.drafts: list[Draft] = []
        self.now = NOON
        self.kept = timedelta(days=14)

    def link(self, asset: Asset) -> str:
        return f"https://files.test/{asset.key}"

    def direct(self, asset: Asset) -> str:
        return f"{self.link(asset)}?signed"

    def key(self, url: str) -> str | None:
        return url.removeprefix("https://files.test/") if url.startswith("https://files.test/") else None

    async def asset(self, key: str) -> Asset | None:
        return next((each for task in self.tasks.values() for each in task.outputs if each.key == key), None)

    async def task(self, task_id: str) -> Task | None:
        return self.tasks.get(task_id)

    async def children(self, parent: Task, operation: str) -> list[Task]:
        return []

    async def accept(self, draft: Draft, *, once: str | None = None) -> str:
        self.drafts.append(draft)
        return EARLIER

    async def credits(self) -> float:
        return 999.6

    async def done(self, task_id: str, within: timedelta) -> Task:
        return self.tasks[task_id]
