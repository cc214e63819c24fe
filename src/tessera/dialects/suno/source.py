"""What an operation goes on from: a track of an earlier task, its files, and what is known of it."""

from collections.abc import Iterator
from dataclasses import dataclass

from tessera.dialects.base import Desk, Link, sent
from tessera.dialects.files import too_old
from tessera.dialects.suno.terms import NAME
from tessera.domain.asset import Asset
from tessera.domain.errors import Invalid, NotFound
from tessera.domain.task import Piece, State, Task
from tessera.kit.ids import PARTS, part, whole

MUSIC = frozenset(
    f"music.{name}" for name in ("generate", "extend", "cover", "instrumental", "vocals", "replace", "mashup", "sounds")
)
"""The operations whose tasks have tracks."""

MISSING = "Record does not exist"


@dataclass(frozen=True, slots=True)
class Track:
    """One song of a task."""

    task: Task
    index: int

    @property
    def id(self) -> str:
        return part(self.task.id, self.index)

    @property
    def piece(self) -> Piece:
        return self.task.pieces[self.index]

    @property
    def seconds(self) -> float | None:
        found = self.piece.facts.get("seconds")
        return float(found) if isinstance(found, int | float) else None

    def fact(self, name: str) -> str:
        """A text that is known of it, or an empty one."""
        return said(self.piece, name)


def said(piece: Piece, *names: str) -> str:
    """The first of these facts that is there, as a text."""
    return next((str(piece.facts[name]) for name in names if piece.facts.get(name)), "")


def file(task: Task, piece: Piece, role: str) -> Asset | None:
    """The file of a piece; None where there is none, or none yet."""
    position = piece.files.get(role)
    return task.outputs[position] if position is not None and 0 <= position < len(task.outputs) else None


def linked(task: Task, piece: Piece, role: str, link: Link) -> str:
    """The link to a file of a piece, empty where there is no file."""
    asset = file(task, piece, role)
    return link(asset) if asset else ""


def piece_id(task: Task, index: int) -> str | None:
    """The public id of a piece; None beyond the number of pieces that can have one."""
    return part(task.id, index) if index < PARTS else None


def numbered(task_id: str, piece: str) -> int | None:
    """Which piece of a task an id names."""
    given = piece.strip().lower().replace("-", "")
    return next((index for index in range(PARTS) if part(task_id, index).replace("-", "") == given), None)


async def work(desk: Desk, task_id: str, operations: frozenset[str]) -> Task:
    """The caller's task of one of these operations. Raises NotFound."""
    task = await desk.task(task_id.strip())
    if task is None or task.family != NAME or task.operation not in operations:
        raise NotFound(MISSING)
    return task


async def track(desk: Desk, task_id: str, audio_id: str) -> Track:
    """A track of the caller's. Raises NotFound."""
    task = await work(desk, task_id, MUSIC)
    index = numbered(task.id, audio_id)
    if index is not None and index < len(task.pieces):
        return Track(task, index)
    if index is not None and not task.state.terminal:
        raise Invalid("taskId: the task is not finished yet", field="taskId")
    raise NotFound(MISSING)


async def by_audio(desk: Desk, audio_id: str) -> Track | None:
    """A track of the caller's by its own id alone."""
    found = whole(audio_id.strip())
    task = await desk.task(found[0]) if found else None
    if found is None or task is None or task.family != NAME or task.operation not in MUSIC:
        return None
    return Track(task, found[1]) if found[1] < len(task.pieces) else None


def usable(desk: Desk, task: Task, piece: Piece, *, field: str, role: str = "audio") -> str:
    """A link to a file that a new task can work on. Raises Invalid."""
    asset = file(task, piece, role)
    if asset is None:
        raise Invalid(f"{field}: this has no {role} file, or none yet", field=field)
    if asset.purged_at is not None:
        raise Invalid(too_old(desk.kept), field=field)
    return desk.link(asset)


def finished(task: Task, *, field: str = "taskId") -> None:
    """Raises Invalid for a task that has not succeeded."""
    if task.state is not State.SUCCEEDED:
        raise Invalid(f"{field}: the task has not finished with success", field=field)


def standing(tasks: list[Task]) -> Iterator[Task]:
    """Those of them that made what they were to make, or may yet."""
    return (task for task in tasks if task.state not in {State.FAILED, State.CANCELED})


def of_track(tasks: list[Task], index: int) -> list[Task]:
    """Those of the children of a task that are about one of its tracks."""
    return [task for task in tasks if position(task) == index]


def position(task: Task) -> int | None:
    """Which track of its parent a task is about."""
    audio_id = sent(task).get("audioId")
    return numbered(task.parent, audio_id) if task.parent and isinstance(audio_id, str) else None
