"""Recovery: the files of an old music task once more, also after we have let go of them."""

from tessera.contract.operations import Operation
from tessera.contract.suno import (
    SunoRecovered,
    SunoRecovery,
    SunoRecoveryCreated,
    SunoRecoveryRecord,
)
from tessera.dialects.base import Call, Desk, Link, Route, bounded, read
from tessera.dialects.suno import source
from tessera.dialects.suno.source import MUSIC
from tessera.dialects.suno.terms import NAME, PRICES, draft, hook
from tessera.domain.errors import Invalid
from tessera.domain.task import Draft, MusicRequest, Piece, State, Task

RECOVER = "music.recover"
LOST = "clip_error"
"""What is said of a track that could not be had; one of the documented words."""


async def recover(call: Call, desk: Desk) -> object:
    wire = read(SunoRecovery, call.body)
    task_id = bounded("sunoTaskId", wire.sunoTaskId or wire.task_id, 100, required=True)
    callback = hook(wire.callBackUrl or wire.call_back_url)
    old = await source.work(desk, task_id, MUSIC)
    source.finished(old, field="sunoTaskId")
    return SunoRecoveryCreated(task_id=await desk.accept(_draft(call.body, old, desk, callback)))


def _draft(body: bytes, old: Task, desk: Desk, callback: str | None) -> Draft:
    """The tracks with all that is known of them, and with those of their files that are still kept."""
    links: list[str] = []
    tracks = []
    for index, piece in enumerate(old.pieces):
        asset = source.file(old, piece, "audio")
        kept = {"audio": len(links)} if asset and asset.purged_at is None else {}
        links += [desk.link(asset)] if asset and kept else []
        tracks.append({**piece.facts, "id": source.piece_id(old, index), **kept})
    request = MusicRequest(count=max(1, len(tracks)), audio=tuple(links), facts={"tracks": tracks})
    return draft(body, RECOVER, "recovery", request, price=PRICES["recovery"], callback=callback, parent=old)


async def recovery_info(call: Call, desk: Desk) -> object:
    try:
        task_id = call.one("task_id")
    except Invalid as error:  # this operation has no code 422
        return SunoRecoveryRecord(code=400, msg=str(error), task_id=None)
    task = await desk.task(task_id)
    if task is None or task.family != NAME or task.operation != RECOVER:
        return SunoRecoveryRecord(code=404, msg=source.MISSING, task_id=task_id)
    return record(task, desk.link)


def record(task: Task, link: Link) -> SunoRecoveryRecord:
    """The state is the code: 201 running, 200 something recovered, 500 nothing."""
    if not task.state.terminal:
        return SunoRecoveryRecord(code=201, msg="processing", task_id=task.id)
    tracks = _tracks(task, link)
    if task.failure is None and any(each.status == "success" for each in tracks):
        return SunoRecoveryRecord(code=200, msg="success", data=tracks, task_id=task.id)
    said = task.failure.message if task.failure else "No track could be recovered"
    return SunoRecoveryRecord(code=500, msg=said, data=tracks, task_id=task.id)


def _tracks(task: Task, link: Link) -> list[SunoRecovered]:
    asked = task.request.facts.get("tracks") if isinstance(task.request, MusicRequest) else None
    return [_recovered(task, index, str(old.get("id") or ""), link) for index, old in enumerate(asked or ())]


def _recovered(task: Task, index: int, track_id: str, link: Link) -> SunoRecovered:
    done = task.state is State.SUCCEEDED and index < len(task.pieces)
    piece = task.pieces[index] if done else Piece()
    url = source.linked(task, piece, "audio", link)
    error = "" if url else source.said(piece, "error") or LOST
    title = source.said(piece, "title") or _title(task, index)
    return SunoRecovered(
        id=track_id, audio_url=url, title=title if url else "", status="success" if url else "failed", error=error
    )


def _title(task: Task, index: int) -> str:
    asked = task.request.facts["tracks"][index] if isinstance(task.request, MusicRequest) else {}
    return str(asked.get("title") or "")


ROUTES = (
    Route(
        Operation(
            method="post",
            path="/api/v1/suno/recovery",
            id="recoveryAudio",
            summary="Get fresh links for an old music task",
            tag="Suno Recovery",
            body=SunoRecovery,
            data=SunoRecoveryCreated,
            creates=True,
        ),
        recover,
    ),
    Route(
        Operation(
            method="get",
            path="/api/v1/suno/recovery/record-info",
            id="getRecoveryAudioDetails",
            summary="State and links of a recovery task",
            tag="Suno Recovery",
            query=("task_id!",),
            data=list[SunoRecovered],
        ),
        recovery_info,
    ),
)
