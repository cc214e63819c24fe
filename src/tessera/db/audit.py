"""Everything that was written, read back by an auditor who trusts nobody.

``holds`` and ``attempts_open`` are what a doctor looks at in production, beside ``ledger.anomalies``; tests of
durability ask them, too. Those go further: they compare all rows with the books of the outside world. ``watch`` adds
a history of all claims and writes to a database of a test; the rest only reads.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from tessera.db.connection import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """``request`` is the stored JSON; ``price`` in milli-credits."""

    id: str
    account_id: str
    state: str
    reason: str | None
    epoch: int
    price: int
    request: str
    callback_url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRow:
    task_id: str
    number: int
    provider: str
    idempotency_key: str
    state: str
    upstream_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRow:
    account_id: str
    mode: str
    kind: str
    amount: int
    charge: int
    task_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletRow:
    account_id: str
    mode: str
    balance: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetRow:
    key: str
    task_id: str | None
    position: int
    size: int
    sha256: str
    purged: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRow:
    """``tries`` are the numbers of the recorded attempts, ``statuses`` their answers (None: there was none)."""

    id: str
    task_id: str
    url: str
    event: str
    state: str
    tries: tuple[int, ...]
    statuses: tuple[int | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """A change of a task's row: ``actor`` is the application name of whoever made it."""

    task_id: str
    actor: str
    at: datetime
    epoch_before: int
    epoch: int
    state_before: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRow:
    kind: str
    subject: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """How much is under way."""

    tasks: int
    deliveries: int
    jobs: int

    @property
    def total(self) -> int:
        return self.tasks + self.deliveries + self.jobs


FORGOTTEN = timedelta(hours=1)
"""By then the provider of a canceled task was told, or its attempt says why it was not."""

SHOWN = 20
"""Anomalies that are told of in words."""


async def holds(database: Database, *, timeout: float = 60.0) -> list[str]:
    """Tasks whose money does not go with their state, in words; an empty list is the promise kept.

    Every task has one hold of its price, whoever is over has its end, who is not has none, and only a success is
    settled. (One that came after its deadline is released: it is free.) It reads every task there is, and tells of
    the first ``SHOWN``. Raises TimeoutError after ``timeout`` seconds.
    """
    rows = await database.pool.fetch(
        """
        SELECT t.id, t.state, t.price, h.amount AS held, e.kind AS ending, e.charge, e.amount AS back
        FROM tasks t
        LEFT JOIN ledger h ON h.task_id = t.id AND h.kind = 'hold'
        LEFT JOIN ledger e ON e.task_id = t.id AND e.kind IN ('settle', 'release')
        WHERE h.amount IS DISTINCT FROM -t.price
           OR (t.state IN ('succeeded', 'failed', 'canceled')) IS DISTINCT FROM (e.kind IS NOT NULL)
           OR e.kind = 'settle' AND (t.state <> 'succeeded' OR e.charge <> t.price)
           OR e.kind = 'release' AND e.amount <> t.price
        ORDER BY t.created_at LIMIT $1
        """,
        SHOWN,
        timeout=timeout,
    )
    return [
        f"{row['id']} ({row['state']}, price {row['price']}): hold {row['held']}, "
        f"{row['ending'] or 'no end'} {row['charge'] or row['back'] or 0}"
        for row in rows
    ]


async def attempts_open(database: Database, now: datetime, *, timeout: float = 60.0) -> list[str]:
    """Attempts without a verdict though their task has one, in words.

    A task that failed by its deadline may have one: its late result is still waited for. Tells of the first ``SHOWN``.
    Raises TimeoutError after ``timeout`` seconds.
    """
    rows = await database.pool.fetch(
        """
        SELECT a.task_id, a.number, a.provider, a.state, a.upstream_id, t.state AS task
        FROM attempts a JOIN tasks t ON t.id = a.task_id
        WHERE a.state IN ('intent', 'submitted')
          AND (t.state = 'succeeded' OR t.state = 'failed' AND t.reason <> 'deadline_passed'
               OR t.state = 'canceled' AND t.completed_at < $1)
        ORDER BY a.created_at LIMIT $2
        """,
        now - FORGOTTEN,
        SHOWN,
        timeout=timeout,
    )
    return [
        f"{row['task_id']} ({row['task']}), attempt {row['number']} at {row['provider']}: {row['state']}, "
        f"upstream id {row['upstream_id'] or 'unknown'}"
        for row in rows
    ]


async def live_keys(database: Database, now: datetime) -> int:
    """How many live keys open the door at this moment."""
    count = await database.pool.fetchval(
        """
        SELECT count(*) FROM api_keys
        WHERE mode = 'live' AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $1)
        """,
        now,
    )
    return int(count)


HISTORY = (
    """
    CREATE TABLE IF NOT EXISTS task_history (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        task_id text NOT NULL,
        actor text NOT NULL,
        at timestamptz NOT NULL DEFAULT clock_timestamp(),
        epoch_before integer NOT NULL,
        epoch integer NOT NULL,
        state_before text NOT NULL,
        state text NOT NULL
    )
    """,
    """
    CREATE OR REPLACE FUNCTION note_task() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO task_history (task_id, actor, epoch_before, epoch, state_before, state)
        VALUES (new.id, current_setting('application_name'), old.epoch, new.epoch, old.state, new.state);
        RETURN NULL;
    END
    $$
    """,
    "CREATE OR REPLACE TRIGGER note_task AFTER UPDATE ON tasks FOR EACH ROW EXECUTE FUNCTION note_task()",
)


async def watch(database: Database) -> None:
    """From now on keep every change of a task's row, with its author."""
    for statement in HISTORY:
        await database.pool.execute(statement)


async def tasks(database: Database) -> tuple[TaskRow, ...]:
    rows = await database.pool.fetch(
        "SELECT id, account_id, state, reason, epoch, price, request, callback_url FROM tasks ORDER BY created_at, id"
    )
    return tuple(TaskRow(**row) for row in rows)


async def attempts(database: Database) -> tuple[AttemptRow, ...]:
    rows = await database.pool.fetch(
        """
        SELECT task_id, number, provider, idempotency_key, state, upstream_id FROM attempts ORDER BY task_id, number
        """
    )
    return tuple(AttemptRow(**row) for row in rows)


async def ledger(database: Database) -> tuple[LedgerRow, ...]:
    rows = await database.pool.fetch("SELECT account_id, mode, kind, amount, charge, task_id FROM ledger ORDER BY id")
    return tuple(LedgerRow(**row) for row in rows)


async def wallets(database: Database) -> tuple[WalletRow, ...]:
    rows = await database.pool.fetch("SELECT account_id, mode, balance FROM wallets ORDER BY account_id, mode")
    return tuple(WalletRow(**row) for row in rows)


async def assets(database: Database) -> tuple[AssetRow, ...]:
    rows = await database.pool.fetch(
        """
        SELECT key, task_id, position, size, sha256, purged_at IS NOT NULL AS purged
        FROM assets ORDER BY task_id, position
        """
    )
    return tuple(AssetRow(**row) for row in rows)


async def deliveries(database: Database) -> tuple[DeliveryRow, ...]:
    rows = await database.pool.fetch(
        """
        SELECT d.id, d.task_id, d.url, d.event, d.state,
               array_remove(array_agg(a.number ORDER BY a.number), NULL) AS tries,
               array_agg(a.status ORDER BY a.number) FILTER (WHERE a.number IS NOT NULL) AS statuses
        FROM deliveries d LEFT JOIN delivery_attempts a ON a.delivery_id = d.id
        GROUP BY d.id ORDER BY d.created_at, d.id
        """
    )
    return tuple(
        DeliveryRow(**{**row, "tries": tuple(row["tries"] or ()), "statuses": tuple(row["statuses"] or ())})
        for row in rows
    )


async def writes(database: Database) -> tuple[Write, ...]:
    """What ``watch`` kept, in the order of the commits' statements."""
    rows = await database.pool.fetch(
        "SELECT task_id, actor, at, epoch_before, epoch, state_before, state FROM task_history ORDER BY id"
    )
    return tuple(Write(**row) for row in rows)


async def jobs(database: Database) -> tuple[QueueRow, ...]:
    rows = await database.pool.fetch(
        """
        SELECT entrypoint AS kind, convert_from(payload, 'UTF8') AS subject, status::text AS status
        FROM pgqueuer ORDER BY id
        """
    )
    return tuple(QueueRow(**row) for row in rows)


async def under_way(database: Database) -> Open:
    """How many tasks, deliveries and jobs are not over."""
    row = await database.pool.fetchrow(
        """
        SELECT (SELECT count(*) FROM tasks WHERE state IN ('waiting', 'running')) AS tasks,
               (SELECT count(*) FROM deliveries WHERE state = 'pending') AS deliveries,
               (SELECT count(*) FROM pgqueuer) AS jobs
        """
    )
    return Open(**row)
