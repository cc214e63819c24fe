"""What the tests of the video dialects share: tasks in every state, and a desk that keeps its tasks in memory."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import msgspec

from tessera.dialects.base import Call
from tessera.domain.asset import Asset, Origin
from tessera.domain.task import Draft, Failure, Mode, Reason, State, Task, VideoRequest
from tessera.testing.ticker import NOON

TASK_ID = "0193a9c4be217c55a1b2c3d4e5f60718"
UUID = "0193a9c4-be21-7c55-a1b2-c3d4e5f60718"
HOOK = "https://client.example.net/hook?run=1"
PICTURE = "https://client.example.net/in/a.png"
FILM = "https://client.example.net/in/a.mp4"
CREATED, COMPLETED = 1795348800000, 1795348865000
OVER = NOON + timedelta(seconds=65)

TASK = Task(
    id=TASK_ID,
    account_id="a",
    key_id="k",
    mode=Mode.TEST,
    family="?",
    operation="video.generate",
    model="?",
    request=VideoRequest(prompt="A paper boat"),
    params="{}",
    callback_url=None,
    fallback=None,
    price=10_000,
    state=State.WAITING,
    progress=0.0,
    epoch=0,
    created_at=NOON,
)


def running(task: Task) -> Task:
    return replace(task, state=State.RUNNING, started_at=NOON + timedelta(seconds=1), progress=0.5)


def file(name: str, position: int = 0, **changes: Any) -> Asset:
    known = {"mp4": "video/mp4", "png": "image/png"}
    asset = Asset(
        key=f"s/{name}",
        account_id="a",
        origin=Origin.OUTPUT,
        media_type=known[name.rpartition(".")[2]],
        size=1,
        sha256="0" * 64,
        created_at=NOON,
        position=position,
    )
    return replace(asset, **changes)


def done(task: Task, *names: str) -> Task:
    """The task when it has made files of these names."""
    outputs = tuple(file(name, position) for position, name in enumerate(names))
    return replace(running(task), state=State.SUCCEEDED, completed_at=OVER, progress=1.0, outputs=outputs)


def failed(task: Task, reason: Reason = Reason.PROVIDER, message: str = "It failed", *, started: bool = True) -> Task:
    state = State.CANCELED if reason is Reason.CANCELED else State.FAILED
    begun = running(task) if started else task
    return replace(begun, state=state, completed_at=OVER, failure=Failure(reason, message))


def link(asset: Asset) -> str:
    return f"https://files.example.net/{asset.key}"


def wire(value: object) -> Any:
    return json.loads(msgspec.json.encode(value))


def call(body: object = None, **query: str) -> Call:
    return Call(body=json.dumps(body).encode(), query={name: [value] for name, value in query.items()})


@dataclass
class Counter:
    """A ``dialects.base.Desk`` of one caller. What is accepted waits; ``tasks`` may be changed to go on."""

    now: datetime = NOON
    kept: timedelta = timedelta(days=14)
    tasks: dict[str, Task] = field(default_factory=dict)
    drafts: list[Draft] = field(default_factory=list)
    once: dict[str, str] = field(default_factory=dict)
    files: dict[str, Asset] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._count = 0

    def has(self, *tasks: Task) -> "Counter":
        self.tasks |= {task.id: task for task in tasks}
        return self

    def link(self, asset: Asset) -> str:
        return link(asset)

    def direct(self, asset: Asset) -> str:
        return f"{link(asset)}?signed"

    def key(self, url: str) -> str | None:
        ours = "https://files.example.net/"
        return url.removeprefix(ours) if url.startswith(ours) else None

    async def asset(self, key: str) -> Asset | None:
        return self.files.get(key)

    async def task(self, task_id: str) -> Task | None:
        return self.tasks.get(task_id)

    async def children(self, parent: Task, operation: str) -> list[Task]:
        made: Iterable[Task] = reversed(self.tasks.values())
        return [task for task in made if (task.parent, task.operation) == (parent.id, operation)]

    async def accept(self, draft: Draft, *, once: str | None = None) -> str:
        if once in self.once:
            return self.once[once]
        self._count += 1
        task_id = f"child{self._count}"
        self.drafts.append(draft)
        self.tasks[task_id] = replace(
            TASK,
            id=task_id,
            family=draft.family,
            operation=draft.operation,
            model=draft.model,
            request=draft.request,
            params=draft.params,
            callback_url=draft.callback_url,
            parent=draft.parent,
            created_at=self.now,
        )
        if once is not None:
            self.once[once] = task_id
        return task_id

    async def credits(self) -> float:
        return 999.6

    async def done(self, task_id: str, within: timedelta) -> Task:
        return self.tasks[task_id]
