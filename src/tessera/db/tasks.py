"""Task rows: written at acceptance, moved by compare-and-set, read in groups.

Every write of a worker carries the epoch of its claim: a worker that lost its claim changes nothing.
"""

from collections.abc import Sequence
from datetime import datetime

import asyncpg
import msgspec

from tessera.db import assets
from tessera.db.connection import Connection, Database
from tessera.domain.asset import Asset
from tessera.domain.task import REQUESTS, Failure, Mode, Piece, Reason, State, Task

COLUMNS = """id, account_id, key_id, mode, family, operation, model, request, params, callback_url, fallback, price,
    state, progress, epoch, created_at, started_at, completed_at, reason, message, parent, stage, pieces"""

WIDTH = len(COLUMNS.split(","))
WITH_OUTPUTS = ", ".join(
    [f"t.{name.strip()}" for name in COLUMNS.split(",")]
    + [f"a.{name} AS asset_{name}" for name in assets.READ.split(", ")]
)
"""A task, and from ``WIDTH`` on one of its outputs."""

encode = msgspec.json.Encoder().encode
decoders = {kind: msgspec.json.Decoder(request).decode for kind, request in REQUESTS.items()}
decode_pieces = msgspec.json.Decoder(tuple[Piece, ...]).decode


async def insert(connection: Connection, tasks: Sequence[Task]) -> None:
    """Write new tasks with the holds that pay for them, in one statement.

    They travel as one document, in which a request is already the text that its column holds: both sides are done
    with it sooner than with an array for each column.
    """
    await connection.execute(
        """
        WITH n AS MATERIALIZED (
            SELECT * FROM json_to_recordset($1) AS n (
                id text, account_id text, key_id text, mode text, family text, operation text, model text, request text,
                params text, callback_url text, fallback text, price bigint, created_at timestamptz, parent text
            )
        ), t AS (
            INSERT INTO tasks (id, account_id, key_id, mode, family, operation, model, request, params,
                               callback_url, fallback, price, created_at, parent)
            SELECT * FROM n
        )
        INSERT INTO ledger (account_id, mode, kind, amount, task_id, created_at)
        SELECT account_id, mode, 'hold', -price, id, created_at FROM n
        """,
        encode(tasks).decode(),
    )


async def get(database: Database, task_id: str) -> Task | None:
    return (await get_many(database, [task_id])).get(task_id)


async def get_many(database: Database, ids: Sequence[str], owners: Sequence[str] | None = None) -> dict[str, Task]:
    """The tasks with these ids, their outputs with them; an unknown one is not in the answer.

    With ``owners``, ids of accounts, only theirs are read: nobody can tell another's task from an unknown one, not
    even by the time that it takes.
    """
    rows = await database.pool.fetch(
        f"""
        SELECT {WITH_OUTPUTS} FROM tasks t LEFT JOIN assets a ON a.task_id = t.id AND a.origin = 'output'
        WHERE t.id = ANY($1) AND ($2::text[] IS NULL OR t.account_id = ANY($2)) ORDER BY a.position
        """,
        ids,
        owners,
    )
    first: dict[str, asyncpg.Record] = {}
    outputs: dict[str, list[Asset]] = {}
    for row in rows:  # one for each output, and one for a task without
        task_id = row["id"]
        first[task_id] = row
        if row["asset_key"] is not None:
            outputs.setdefault(task_id, []).append(assets.to_asset(row[WIDTH:]))
    return {task_id: to_task(row, tuple(outputs.get(task_id, ()))) for task_id, row in first.items()}


async def claim(database: Database, task_id: str, now: datetime, late: datetime) -> Task | None:
    """Take a task over: its epoch goes up, so whoever held it before can write no more. None when it is over.

    The first claim is the task's start. One that passed its deadline after ``late`` can be claimed, too: its result
    may still come.
    """
    row = await database.pool.fetchrow(
        f"""
        UPDATE tasks SET epoch = epoch + 1, started_at = coalesce(started_at, $3)
        WHERE id = $1 AND (state IN ('waiting', 'running')
                           OR state = 'failed' AND reason = 'deadline_passed' AND completed_at > $2)
        RETURNING {COLUMNS}
        """,
        task_id,
        late,
        now,
    )
    return to_task(row, ()) if row else None


async def start(connection: Connection, task: Task) -> bool:
    """waiting -> running (or still running); False when the claim was lost or the task is over."""
    status = await connection.execute(
        """
        UPDATE tasks SET state = 'running'
        WHERE id = $1 AND epoch = $2 AND state IN ('waiting', 'running')
        """,
        task.id,
        task.epoch,
    )
    return bool(status == "UPDATE 1")


async def progress_all(database: Database, steps: Sequence[tuple[Task, float]]) -> set[str]:
    """``progress`` of many tasks in one statement; answers the ids of those that are running under this claim."""
    rows = await database.pool.fetch(
        """
        UPDATE tasks t SET progress = greatest(progress, n.value)
        FROM unnest($1::text[], $2::bigint[], $3::float8[]) AS n (id, epoch, value)
        WHERE t.id = n.id AND t.epoch = n.epoch AND t.state = 'running' RETURNING t.id
        """,
        [task.id for task, _ in steps],
        [task.epoch for task, _ in steps],
        [value for _, value in steps],
    )
    return {row["id"] for row in rows}


async def progress(database: Database, task: Task, value: float) -> bool:
    """Write how far a running task is (0..1); it never goes back. False when the claim was lost or the task is over."""
    status = await database.pool.execute(
        """
        UPDATE tasks SET progress = greatest(progress, $3)
        WHERE id = $1 AND epoch = $2 AND state = 'running'
        """,
        task.id,
        task.epoch,
        value,
    )
    return bool(status == "UPDATE 1") or await held(database, task)


async def advance(connection: Connection, task: Task, stage: str, pieces: Sequence[Piece]) -> bool:
    """Write the stage that a running task has reached, and what it has made. False when it is over, or not ours."""
    status = await connection.execute(
        """
        UPDATE tasks SET stage = $3, pieces = $4
        WHERE id = $1 AND epoch = $2 AND state = 'running'
        """,
        task.id,
        task.epoch,
        stage,
        _pieces(pieces),
    )
    return bool(status == "UPDATE 1")


async def begin_anew(connection: Connection, task: Task) -> bool:
    """An attempt at a running task is over: it is at no stage any more. False when it was at none, or is not ours."""
    status = await connection.execute(
        """
        UPDATE tasks SET stage = NULL, pieces = NULL
        WHERE id = $1 AND epoch = $2 AND state = 'running' AND stage IS NOT NULL
        """,
        task.id,
        task.epoch,
    )
    return bool(status == "UPDATE 1")


async def children(database: Database, parent: str, operation: str, account_id: str) -> list[str]:
    """Ids of the tasks of one operation that go on from a task, the newest first."""
    rows = await database.pool.fetch(
        "SELECT id FROM tasks WHERE parent = $1 AND operation = $2 AND account_id = $3 ORDER BY id DESC LIMIT 50",
        parent,
        operation,
        account_id,
    )
    return [row["id"] for row in rows]


async def held(database: Database, task: Task) -> bool:
    """Whether this claim may still bring the task to success: it is running, or it is merely past its deadline."""
    return bool(
        await database.pool.fetchval(
            """
            SELECT state = 'running' OR state = 'failed' AND reason = 'deadline_passed'
            FROM tasks WHERE id = $1 AND epoch = $2
            """,
            task.id,
            task.epoch,
        )
    )


async def revive(connection: Connection, task: Task, now: datetime, pieces: Sequence[Piece] = ()) -> bool:
    """A late success: from failed at the deadline to succeeded. Its hold was released, so it costs nothing."""
    status = await connection.execute(
        """
        UPDATE tasks SET state = 'succeeded', reason = NULL, message = NULL, completed_at = $3, progress = 1,
                         pieces = $4
        WHERE id = $1 AND epoch = $2 AND state = 'failed' AND reason = 'deadline_passed'
        """,
        task.id,
        task.epoch,
        now,
        _pieces(pieces),
    )
    return bool(status == "UPDATE 1")


async def end(
    connection: Connection,
    task: Task,
    state: State,
    failure: Failure | None,
    now: datetime,
    pieces: Sequence[Piece] = (),
) -> bool:
    """To a terminal state, by compare-and-set; False when the claim was lost or another end came first."""
    status = await connection.execute(
        """
        UPDATE tasks SET state = $3, reason = $4, message = $5, completed_at = $6,
                         progress = CASE WHEN $3 = 'succeeded' THEN 1 ELSE progress END, pieces = $7
        WHERE id = $1 AND epoch = $2 AND state IN ('waiting', 'running')
        """,
        task.id,
        task.epoch,
        state.value,
        failure.reason.value if failure else None,
        failure.message if failure else None,
        now,
        _pieces(pieces),
    )
    return bool(status == "UPDATE 1")


async def cancel(connection: Connection, task_id: str, account_id: str, failure: Failure, now: datetime) -> Task | None:
    """End an open task of this account for good; whoever holds it has lost its claim. None when it was over already.

    A chat is no task that waits: what was streamed of it is paid for, and it ends when its caller goes away.
    """
    row = await connection.fetchrow(
        f"""
        UPDATE tasks SET state = 'canceled', reason = $3, message = $4, completed_at = $5, epoch = epoch + 1
        WHERE id = $1 AND account_id = $2 AND state IN ('waiting', 'running') AND family <> 'chat'
        RETURNING {COLUMNS}
        """,
        task_id,
        account_id,
        failure.reason.value,
        failure.message,
        now,
    )
    return to_task(row, ()) if row else None


async def forget(connection: Connection, before: datetime, *, limit: int) -> int:
    """Remove records that ended before ``before``, with all that hangs on them but the ledger; answers how many.

    A task whose files still have their bytes stays: files go first.
    """
    rows = await connection.fetch(
        """
        SELECT id FROM tasks t WHERE completed_at < $1
        AND NOT EXISTS (SELECT FROM assets a WHERE a.task_id = t.id AND a.purged_at IS NULL)
        ORDER BY completed_at LIMIT $2 FOR UPDATE SKIP LOCKED
        """,
        before,
        limit,
    )
    ids = [row["id"] for row in rows]
    for statement in (
        "DELETE FROM delivery_attempts USING deliveries d WHERE d.id = delivery_id AND d.task_id = ANY($1)",
        "DELETE FROM deliveries WHERE task_id = ANY($1)",
        "DELETE FROM attempts WHERE task_id = ANY($1)",
        "DELETE FROM assets WHERE task_id = ANY($1)",
        "DELETE FROM tasks WHERE id = ANY($1)",
    ):
        await connection.execute(statement, ids)
    return len(ids)


def _pieces(pieces: Sequence[Piece]) -> str | None:
    return encode(pieces).decode() if pieces else None


def to_task(row: asyncpg.Record, outputs: tuple[Asset, ...]) -> Task:
    return Task(
        id=row["id"],
        account_id=row["account_id"],
        key_id=row["key_id"],
        mode=Mode(row["mode"]),
        family=row["family"],
        operation=row["operation"],
        model=row["model"],
        request=decoders[row["operation"].partition(".")[0]](row["request"]),
        params=row["params"],
        callback_url=row["callback_url"],
        fallback=row["fallback"],
        price=row["price"],
        state=State(row["state"]),
        progress=row["progress"],
        epoch=row["epoch"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        completed_at=row["completed_at"],
        failure=Failure(Reason(row["reason"]), row["message"] or "") if row["reason"] else None,
        outputs=outputs,
        parent=row["parent"],
        stage=row["stage"],
        pieces=decode_pieces(row["pieces"]) if row["pieces"] else (),
    )
