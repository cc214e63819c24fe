"""Keep, and then no longer: what goes when, what stays, and what an interruption leaves behind."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from tests.integration.workshop import OpenShop, Workshop

from tessera.api import uploads
from tessera.db import assets, idempotency, journal, ledger, pending
from tessera.db.connection import SESSION, Database
from tessera.domain.asset import Asset, Origin
from tessera.domain.errors import NotFound, StorageError
from tessera.domain.task import State
from tessera.engine import faults, retention
from tessera.engine.retention import DOUBT, ORPHANS, Retention, Terms
from tessera.engine.worker import SWEEP
from tessera.providers.fake import Fake, accept
from tessera.storage.base import Store, Undeleted
from tessera.storage.ingest import keep
from tessera.testing.gateway import Gateway
from tessera.testing.mailbox import PATIENCE
from tessera.testing.plugin import OpenGateway, Passed
from tessera.testing.servers import Receiver
from tessera.testing.ticker import Ticker
from tessera.wiring import House

MOMENT = timedelta(microseconds=1)
OUTPUTS, UPLOADS, RECORDS = timedelta(days=14), timedelta(days=3), timedelta(days=60)
LATE = timedelta(days=2)
"""The late window of these gateways."""

NOTHING = {"outputs": 0, "uploads": 0, "orphans": 0, "records": 0}
HOOK = "http://127.0.0.1:9/hook"


class StumbleError(BaseException):
    """A test made the process die here: nothing that survives errors survives it."""


def stumble_at(nth: int) -> Callable[[], Awaitable[None]]:
    """Fails at the nth pass, and never again."""
    passes = iter(range(1, nth + 1))

    async def stumble() -> None:
        if next(passes, None) == nth:
            faults.disarm()
            raise StumbleError

    return stumble


@pytest.fixture(autouse=True)
def calm() -> Any:
    yield
    faults.disarm()


@asynccontextmanager
async def held_at(place: Any) -> AsyncIterator[tuple[asyncio.Event, asyncio.Event]]:
    """Whoever comes to this place first waits there: the events say that it came, and let it go."""
    reached, go = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        faults.disarm()
        reached.set()
        await go.wait()

    faults.arm(place, wait)
    try:
        yield reached, go
    finally:
        go.set()
        faults.disarm()


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    """Ask the database until it is so."""
    async with asyncio.timeout(PATIENCE):
        while not await true():
            pass


async def count(database: Database, table: str) -> int:
    return int(await database.pool.fetchval(f"SELECT count(*) FROM {table}"))


def stored(house: House) -> set[str]:
    """The keys of all objects in the local store."""
    root = house.config.data_dir / "files"
    paths = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
    return {path.as_posix() for path in paths if not path.parts[0].startswith(".")}


async def row(house: House, key: str) -> Asset:
    return (await assets.get_many(house.database, [key]))[key]


async def upload(gateway: Gateway, name: str = "note.txt", content: bytes = b"hello") -> str:
    """Upload a file; answers its key."""
    body = {"base64Data": base64.b64encode(content).decode(), "uploadPath": "notes", "fileName": name}
    answer = await gateway.post("/api/file-base64-upload", body)
    assert answer["success"], answer
    return str(answer["data"]["filePath"])


async def task_rows(house: House) -> list[int]:
    tables = ("tasks", "attempts", "assets", "deliveries", "delivery_attempts")
    return [await count(house.database, table) for table in tables]


# ---- what goes when ----


async def test_files_of_a_task_go_after_fourteen_days_and_its_record_says_so(open_shop: OpenShop) -> None:
    ticker = Ticker()
    async with open_shop(Fake("sandbox"), now=ticker) as shop:
        task = await shop.walk(await shop.order(count=2))
        assert len(stored(shop.house)) == 2
        ticker.advance(OUTPUTS)
        assert await shop.house.retention.sweep() == NOTHING
        await shop.check()
        ticker.advance(MOMENT)
        assert await shop.house.retention.sweep() == {**NOTHING, "outputs": 2}
        assert stored(shop.house) == set()
        after = await shop.task(task.id)
        assert after.state is State.SUCCEEDED
        assert [asset.purged_at for asset in after.outputs] == [ticker.now] * 2
        for asset in after.outputs:
            with pytest.raises(NotFound):
                await shop.house.store.stat(asset.key)
        assert await shop.house.retention.sweep() == NOTHING


async def test_uploads_go_after_three_days(open_gateway: OpenGateway) -> None:
    ticker = Ticker()
    async with open_gateway(now=ticker) as gateway:
        key = await upload(gateway)
        ticker.advance(UPLOADS)
        assert await gateway.house.retention.sweep() == NOTHING
        ticker.advance(MOMENT)
        assert await gateway.house.retention.sweep() == {**NOTHING, "uploads": 1}
        assert stored(gateway.house) == set()
        assert (await row(gateway.house, key)).purged_at == ticker.now
        ticker.advance(RECORDS + MOMENT)
        assert await gateway.house.retention.sweep() == {**NOTHING, "records": 1}
        assert await count(gateway.house.database, "assets") == 0


async def test_links_to_files_that_are_gone_say_so(open_gateway: OpenGateway, passed: Passed) -> None:
    ticker, ended = Ticker(), passed("run.finished")

    async def status(url: str) -> int:
        async with gateway.http.get(url) as response:
            return response.status

    async def answers() -> list[tuple[int, str]]:
        bodies = [{"url": url}, {"taskId": task_id, "url": url}]
        both = [await gateway.post(f"/api/v1/{path}/download-url", bodies[0]) for path in ("common", "gpt4o-image")]
        both.append(await gateway.post("/api/v1/gpt4o-image/download-url", bodies[1]))
        return [(answer["code"], answer["msg"]) for answer in both]

    async with open_gateway(now=ticker) as gateway:
        created = await gateway.post("/api/v1/gpt4o-image/generate", {"prompt": "a boat", "size": "1:1"})
        task_id = created["data"]["taskId"]
        await ended.next()
        record = await gateway.get("/api/v1/gpt4o-image/record-info", taskId=task_id)
        (url,) = record["data"]["response"]["resultUrls"]
        (key,) = stored(gateway.house)
        assert await status(url) == 200
        ticker.advance(OUTPUTS + MOMENT)
        await gateway.house.retention.sweep()
        fresh = gateway.house.store.sign(key, expires=timedelta(minutes=20), now=ticker.now)
        assert [await status(each) for each in (url, fresh)] == [410, 410]
        assert await answers() == [(422, "Temporarily supports records within 14 days")] * 3
        record = await gateway.get("/api/v1/gpt4o-image/record-info", taskId=task_id)
        assert record["data"]["successFlag"] == 1, "the record outlives its files"
        ticker.advance(RECORDS)
        await gateway.house.retention.sweep()
        fresh = gateway.house.store.sign(key, expires=timedelta(minutes=20), now=ticker.now)
        assert [await status(each) for each in (url, fresh)] == [404, 404]
        record = await gateway.get("/api/v1/gpt4o-image/record-info", taskId=task_id)
        assert (record["code"], record["data"]) == (422, None)
        assert await answers() == [(422, "url is wrong"), (422, "record is null"), (422, "record is null")]


async def test_records_go_after_sixty_days_with_all_that_hangs_on_them_but_the_ledger(
    open_shop: OpenShop, receiver: Receiver, passed: Passed
) -> None:
    ticker, told, fake = Ticker(), passed("callback.recorded"), Fake("sandbox")
    async with open_shop(fake, now=ticker, work=True) as shop:
        await shop.order(count=2, callback=receiver.url)
        await told.next()
    async with open_shop(fake, now=ticker) as shop:
        canceled = await shop.order(prompt="never", callback=HOOK)
        assert await shop.house.finish.cancel(canceled, shop.account.id)
        balance, entries = await shop.balance(), await shop.entries()
        assert await task_rows(shop.house) == [2, 1, 2, 2, 1]
        ticker.advance(RECORDS)
        await shop.house.retention.sweep()
        assert (await task_rows(shop.house))[0] == 2
        ticker.advance(MOMENT)
        assert (await shop.house.retention.sweep())["records"] == 2
        assert await task_rows(shop.house) == [0] * 5
        assert (await shop.balance(), await shop.entries()) == (balance, entries)
        assert sum(entry.amount for entry in entries) == balance
        assert await ledger.anomalies(shop.house.database) == []


async def test_open_tasks_are_never_removed_however_old(open_shop: OpenShop) -> None:
    ticker, fake, hang = Ticker(), Fake("sandbox"), asyncio.Event()
    fake.script(accept(hang))
    async with open_shop(fake, now=ticker) as shop:
        waiting, running = await shop.order(), await shop.order(prompt="runs")
        walk = asyncio.create_task(shop.run(deadline=timedelta(days=900)).walk(running))
        await asyncio.wait_for(fake.polled.get(), PATIENCE)
        ticker.advance(timedelta(days=400))
        assert await shop.house.retention.sweep() == NOTHING
        assert [(await shop.task(each)).state for each in (waiting, running)] == [State.WAITING, State.RUNNING]
        hang.set()
        await walk
        assert (await shop.task(running)).state is State.SUCCEEDED
        assert (await shop.walk(waiting)).state is State.SUCCEEDED
        await shop.check()


async def test_an_idempotency_key_is_forgotten_after_a_day_and_can_be_used_again(open_shop: OpenShop) -> None:
    ticker = Ticker()
    async with open_shop(Fake("sandbox"), now=ticker) as shop:
        first = await shop.accept(idempotency_key="mine")
        ticker.advance(timedelta(days=1) - MOMENT)
        await shop.house.retention.sweep()
        again = await shop.accept(idempotency_key="mine")
        assert (again.task_id, again.replayed) == (first.task_id, True)
        ticker.advance(MOMENT)
        await shop.house.retention.sweep()
        assert await count(shop.house.database, "idempotency_keys") == 0
        other = await shop.accept(prompt="another", idempotency_key="mine")
        assert (other.task_id != first.task_id, other.replayed) == (True, False)


async def test_the_queues_journal_is_kept_for_a_day_and_what_it_did_not_count_longer(open_shop: OpenShop) -> None:
    async with open_shop(Fake("sandbox")) as shop:
        pool, now = shop.house.database.pool, shop.house.clock()
        await pool.execute("TRUNCATE pgqueuer_log")
        for aggregated, age in ((True, 25), (True, 23), (False, 25)):
            await pool.execute(
                """
                INSERT INTO pgqueuer_log (job_id, status, entrypoint, priority, aggregated, created)
                VALUES (1, 'successful', 'task', 0, $1, $2)
                """,
                aggregated,
                now - timedelta(hours=age),
            )
            await pool.execute(
                """
                INSERT INTO pgqueuer_statistics (count, priority, entrypoint, status, created)
                VALUES (1, 0, 'task', 'successful', $1) ON CONFLICT DO NOTHING
                """,
                now - timedelta(hours=age),
            )
        await shop.house.retention.sweep()
        left = await pool.fetch("SELECT aggregated, created < $1 AS old FROM pgqueuer_log", now - timedelta(days=1))
        assert sorted((each["aggregated"], each["old"]) for each in left) == [(False, True), (True, False)]
        assert await count(shop.house.database, "pgqueuer_statistics") == 1


# ---- interruptions, failures, crowds ----


async def test_a_sweep_that_was_interrupted_between_file_and_row_is_finished_by_the_next(
    open_gateway: OpenGateway, passed: Passed
) -> None:
    ticker, ended = Ticker(), passed("run.finished")
    async with open_gateway(now=ticker) as gateway:
        house = gateway.house
        await gateway.post("/api/v1/gpt4o-image/generate", {"prompt": "a boat", "size": "1:1"})
        await ended.next()
        await upload(gateway)
        ticker.advance(OUTPUTS + MOMENT)
        # First at the output; then the output is done again, and it is at the upload.
        for passes, (files, said) in ((1, (1, 0)), (2, (0, 1))):
            faults.arm("retention", stumble_at(passes))
            with pytest.raises(StumbleError):
                await house.retention.sweep()
            assert len(stored(house)) == files, "the file goes before its row says so"
            purged = await house.database.pool.fetchval("SELECT count(*) FROM assets WHERE purged_at IS NOT NULL")
            assert purged == said
        assert await house.retention.sweep() == {**NOTHING, "uploads": 1}
        assert await house.database.pool.fetchval("SELECT count(*) FROM assets WHERE purged_at IS NULL") == 0
        assert await house.retention.sweep() == NOTHING


class Refusing:
    """A store that deletes nothing as long as ``refuses``."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.refuses = True

    async def delete(self, keys: Sequence[str]) -> None:
        if self.refuses:
            raise StorageError("no")
        await self._store.delete(keys)


def keeper(house: House, store: Any) -> Retention:
    terms = Terms(outputs=OUTPUTS, uploads=UPLOADS, records=RECORDS, late=LATE)
    return Retention(house.database, store, terms, clock=house.clock)


async def test_a_store_that_fails_to_delete_is_asked_again_and_holds_nothing_else_up(open_shop: OpenShop) -> None:
    ticker = Ticker()
    async with open_shop(Fake("sandbox"), now=ticker) as shop:
        store = Refusing(shop.house.store)
        sweeper = keeper(shop.house, store)
        task = await shop.walk(await shop.order(idempotency_key="mine"))
        ticker.advance(RECORDS + MOMENT)
        for _ in range(2):
            assert await sweeper.sweep() == NOTHING
            assert (await shop.task(task.id)).outputs == task.outputs, "what is there is not said to be gone"
            assert len(await shop.stored(task)) == 1
        assert await count(shop.house.database, "idempotency_keys") == 0
        store.refuses = False
        assert await sweeper.sweep() == {**NOTHING, "outputs": 1, "records": 1}
        assert (stored(shop.house), await task_rows(shop.house)) == (set(), [0] * 5)


async def test_more_files_and_records_than_one_step_takes_all_go(
    open_shop: OpenShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "STEP", 3)
    ticker = Ticker()
    async with open_shop(Fake("sandbox"), now=ticker) as shop:
        for task_id in [await shop.order(prompt=str(n)) for n in range(8)]:
            await shop.walk(task_id)
        ticker.advance(RECORDS + MOMENT)
        assert await shop.house.retention.sweep() == {**NOTHING, "outputs": 8, "records": 8}
        assert (stored(shop.house), await task_rows(shop.house)) == (set(), [0] * 5)


async def test_two_sweeps_at_once_remove_everything_once(
    open_shop: OpenShop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(retention, "STEP", 4)
    ticker, terms = Ticker(), {"data_dir": tmp_path / "files of both"}
    async with open_shop(Fake("sandbox"), now=ticker, **terms) as shop, open_shop(now=ticker, **terms) as other:
        for task_id in [await shop.order(prompt=str(n), count=2) for n in range(6)]:
            await shop.walk(task_id)
        ticker.advance(RECORDS + MOMENT)
        both = await asyncio.gather(*(each.house.retention.sweep() for each in (shop, other)))
        last = await shop.house.retention.sweep()
        totals = {name: sum(each[name] for each in (*both, last)) for name in NOTHING}
        assert totals == {**NOTHING, "outputs": 12, "records": 6}
        assert (stored(shop.house), await task_rows(shop.house)) == (set(), [0] * 5)


async def test_a_record_waits_for_its_files_to_go(open_shop: OpenShop) -> None:
    ticker = Ticker()
    async with open_shop(Fake("sandbox"), now=ticker) as shop:
        house = shop.house
        task = await shop.walk(await shop.order())
        terms = Terms(outputs=2 * RECORDS, uploads=UPLOADS, records=RECORDS, late=LATE)
        ticker.advance(RECORDS + MOMENT)
        assert await Retention(house.database, house.store, terms, clock=ticker).sweep() == NOTHING
        assert await shop.stored(await shop.task(task.id))
        await shop.check()


class Stubborn:
    """A store in which some files cannot be removed."""

    def __init__(self, store: Store, stuck: set[str]) -> None:
        self._store = store
        self.stuck = stuck

    async def delete(self, keys: Sequence[str]) -> None:
        await self._store.delete([key for key in keys if key not in self.stuck])
        if stuck := [key for key in keys if key in self.stuck]:
            raise Undeleted(dict.fromkeys(stuck, "it is held"))


async def test_files_that_cannot_be_removed_hold_no_others_up(
    open_gateway: OpenGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "STEP", 2)
    ticker = Ticker()
    async with open_gateway(now=ticker) as gateway:
        keys = [await upload(gateway, f"{number}.txt") for number in range(7)]
        # The first two are a whole step; of the next one, one goes.
        store = Stubborn(gateway.house.store, {keys[0], keys[1], keys[2]})
        sweeper = keeper(gateway.house, store)
        ticker.advance(UPLOADS + MOMENT)
        assert await sweeper.sweep() == {**NOTHING, "uploads": 4}
        assert stored(gateway.house) == store.stuck
        purged = {key for key in keys if (await row(gateway.house, key)).purged_at}
        assert purged == set(keys) - store.stuck
        store.stuck = set()
        assert await sweeper.sweep() == {**NOTHING, "uploads": 3}
        assert stored(gateway.house) == set()


async def test_orphans_that_cannot_be_removed_hold_no_others_up(
    open_gateway: OpenGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "STEP", 2)
    ticker = Ticker()
    async with open_gateway(now=ticker) as gateway:
        keys = [f"kieai/{number}" for number in range(5)]
        await pending.upload(gateway.house.database, keys, ticker.now)
        store = Stubborn(gateway.house.store, set(keys[:3]))
        sweeper = keeper(gateway.house, store)
        ticker.advance(ORPHANS + MOMENT)
        assert await sweeper.sweep() == {**NOTHING, "orphans": 2}
        assert await count(gateway.house.database, "pending_objects") == 3
        store.stuck = set()
        assert await sweeper.sweep() == {**NOTHING, "orphans": 3}


async def test_a_stage_that_fails_does_not_stop_the_later_ones(
    open_gateway: OpenGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticker = Ticker()

    async def fail(*_: Any, **__: Any) -> int:
        raise RuntimeError("no")

    async with open_gateway(now=ticker) as gateway:
        await upload(gateway)
        ticker.advance(UPLOADS + MOMENT)
        with monkeypatch.context() as patch:
            patch.setattr(idempotency, "forget", fail)
            patch.setattr(retention, "_expired", expired_but_not(Origin.OUTPUT))
            assert await gateway.house.retention.sweep() == {**NOTHING, "uploads": 1}
        ticker.advance(RECORDS + MOMENT)
        with monkeypatch.context() as patch:
            patch.setattr(pending, "orphans", fail)
            assert await gateway.house.retention.sweep() == {**NOTHING, "records": 1}


def expired_but_not(origin: Origin) -> Any:
    async def expired(wanted: Origin, *args: Any, **more: Any) -> Any:
        if wanted is origin:
            raise RuntimeError("no")
        return await assets.expired(args[0], wanted, *args[1:], **more)

    return expired


async def test_rows_without_files_go_in_steps_of_a_bounded_size(
    open_gateway: OpenGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "ROWS", 2)
    steps: dict[str, list[int]] = {}

    def watched(name: str, forget: Any) -> Any:
        async def watch(connection: Any, before: Any, *, limit: int) -> int:
            removed = int(await forget(connection, before, limit=limit))
            steps.setdefault(name, []).append(removed)
            return removed

        return watch

    async with open_gateway(now=Ticker()) as gateway:
        pool, now = gateway.house.database.pool, gateway.house.clock()
        await pool.execute("TRUNCATE pgqueuer_log, pgqueuer_statistics")
        for number in range(5):
            moment = now - timedelta(days=2, seconds=number)
            mark = ("a", "test", str(number), b"", "t", moment)
            await pool.execute("INSERT INTO idempotency_keys VALUES ($1, $2, $3, $4, $5, $6)", *mark)
            await pool.execute(
                """
                INSERT INTO pgqueuer_log (job_id, status, entrypoint, priority, aggregated, created)
                VALUES (1, 'successful', 'task', 0, true, $1)
                """,
                moment,
            )
            await pool.execute(
                """
                INSERT INTO pgqueuer_statistics (count, priority, entrypoint, status, created)
                VALUES (1, 0, 'task', 'successful', $1)
                """,
                moment,
            )
        for module, name in ((idempotency, "forget"), (journal, "trim"), (journal, "forget")):
            label = f"{module.__name__}.{name}"
            monkeypatch.setattr(module, name, watched(label, getattr(module, name)))
        await gateway.house.retention.sweep()
        assert list(steps.values()) == [[2, 2, 1]] * 3
        left = [await count(gateway.house.database, name) for name in ("idempotency_keys", "pgqueuer_log")]
        assert (left, await count(gateway.house.database, "pgqueuer_statistics")) == ([0, 0], 0)


# ---- an upload that is replaced meanwhile ----


async def test_an_upload_that_is_replaced_while_it_is_purged_keeps_its_new_bytes(open_gateway: OpenGateway) -> None:
    ticker = Ticker()
    async with open_gateway(now=ticker) as gateway, held_at("retention") as (reached, go):
        await upload(gateway, content=b"old")
        ticker.advance(UPLOADS + MOMENT)
        sweep = asyncio.create_task(gateway.house.retention.sweep())
        await reached.wait()
        replacing = asyncio.create_task(upload(gateway, content=b"new"))
        await until(lambda: waiting_for_a_key(gateway.house))
        go.set()
        assert await sweep == {**NOTHING, "uploads": 1}
        await holds(gateway.house, await replacing, b"new")


async def test_a_sweep_waits_for_an_upload_under_way_and_leaves_its_bytes(
    open_gateway: OpenGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticker, reached, go = Ticker(), asyncio.Event(), asyncio.Event()
    async with open_gateway(now=ticker) as gateway:
        await upload(gateway, content=b"old")
        ticker.advance(UPLOADS + MOMENT)
        rename = gateway.house.store.rename

        async def slowly(key: str, new: str) -> None:
            await rename(key, new)
            reached.set()
            await go.wait()

        monkeypatch.setattr(gateway.house.store, "rename", slowly)
        replacing = asyncio.create_task(upload(gateway, content=b"new"))
        await reached.wait()
        sweep = asyncio.create_task(gateway.house.retention.sweep())
        await until(lambda: waiting_for_a_key(gateway.house))
        go.set()
        assert await sweep == NOTHING
        await holds(gateway.house, await replacing, b"new")


async def test_a_slow_store_does_not_cost_an_upload_its_transaction(
    open_gateway: OpenGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SESSION, "idle_in_transaction_session_timeout", "400ms")
    async with open_gateway() as gateway:
        rename = gateway.house.store.rename

        async def slowly(key: str, new: str) -> None:
            await gateway.house.database.pool.execute("SELECT pg_sleep(0.8)")
            await rename(key, new)

        monkeypatch.setattr(gateway.house.store, "rename", slowly)
        await holds(gateway.house, await upload(gateway, content=b"slow"), b"slow")


async def waiting_for_a_key(house: House) -> bool:
    return bool(
        await house.database.pool.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    )


async def holds(house: House, key: str, content: bytes) -> None:
    asset = await row(house, key)
    assert (asset.size, asset.purged_at) == (len(content), None)
    assert b"".join([chunk async for chunk in house.store.read(key)]) == content


# ---- bytes that belong to nobody ----


async def crash(shop: Workshop, task_id: str, place: Any) -> None:
    faults.arm(place, stumble_at(1))
    with pytest.raises(StumbleError):
        await shop.run().walk(task_id)


async def test_what_a_worker_stored_and_died_over_is_removed_after_a_day(open_shop: OpenShop) -> None:
    ticker, fake = Ticker(), Fake("sandbox")
    fake.script(accept(files=2))
    async with open_shop(fake, now=ticker) as shop:
        task_id = await shop.order()
        await crash(shop, task_id, "run.finishing")
        task = await shop.walk(task_id)
        ours = {asset.key for asset in task.outputs}
        assert len(stored(shop.house)) == 4
        assert await count(shop.house.database, "pending_objects") == 2
        ticker.advance(ORPHANS)
        assert await shop.house.retention.sweep() == NOTHING
        ticker.advance(MOMENT)
        assert await shop.house.retention.sweep() == {**NOTHING, "orphans": 2}
        assert stored(shop.house) == ours
        assert await count(shop.house.database, "pending_objects") == 0
        await shop.check()


async def test_a_task_that_succeeds_leaves_nothing_pending(open_shop: OpenShop) -> None:
    ticker, fake = Ticker(), Fake("sandbox")
    fake.script(accept(files=3))
    async with open_shop(fake, now=ticker) as shop:
        await shop.walk(await shop.order())
        assert await count(shop.house.database, "pending_objects") == 0
        ticker.advance(OUTPUTS)
        assert await shop.house.retention.sweep() == NOTHING
        await shop.check()


@pytest.mark.parametrize("late", [False, True])
async def test_what_a_claim_may_still_bring_home_is_left_alone(open_shop: OpenShop, late: bool) -> None:
    ticker, terms = Ticker(), {"deadline": timedelta(days=30), "late": timedelta(days=90)}
    async with open_shop(Fake("sandbox"), now=ticker) as shop, held_at("run.finishing") as (reached, go):
        task_id = await shop.order()
        walk = asyncio.create_task(shop.walk(task_id, **terms))
        await reached.wait()
        ticker.advance(timedelta(days=20))
        if late:
            await shop.house.database.pool.execute(
                "UPDATE tasks SET state = 'failed', reason = 'deadline_passed', completed_at = $1", ticker.now
            )
        assert await shop.house.retention.sweep() == NOTHING
        go.set()
        task = await walk
        assert task.state is State.SUCCEEDED
        assert len(await shop.stored(task)) == 1


async def test_what_a_late_result_left_is_removed_when_its_window_is_over(open_shop: OpenShop) -> None:
    ticker = Ticker()
    async with open_shop(Fake("sandbox"), now=ticker, late_window="2d") as shop:
        task_id = await shop.order()
        await crash(shop, task_id, "run.finishing")
        await shop.house.database.pool.execute(
            "UPDATE tasks SET state = 'failed', reason = 'deadline_passed', completed_at = $1", ticker.now
        )
        ticker.advance(LATE - MOMENT)
        assert LATE > ORPHANS
        assert await shop.house.retention.sweep() == NOTHING, "another worker may still claim the task"
        ticker.advance(MOMENT)
        assert (await shop.walk(task_id, late=LATE)).state is State.FAILED
        assert await shop.house.retention.sweep() == {**NOTHING, "orphans": 1}
        assert stored(shop.house) == set()
        assert await count(shop.house.database, "pending_objects") == 0


async def test_what_was_stored_for_a_canceled_task_is_removed(open_shop: OpenShop) -> None:
    ticker = Ticker()
    async with open_shop(Fake("sandbox"), now=ticker) as shop, held_at("run.finishing") as (reached, go):
        task_id = await shop.order()
        walk = asyncio.create_task(shop.run().walk(task_id))
        await reached.wait()
        await shop.house.finish.cancel(task_id, shop.account.id)
        go.set()
        await walk
        assert len(stored(shop.house)) == 1
        ticker.advance(ORPHANS + MOMENT)
        assert await shop.house.retention.sweep() == {**NOTHING, "orphans": 1}
        assert stored(shop.house) == set()
        await shop.check()


async def test_whoever_lost_its_claim_stores_nothing_any_more(open_shop: OpenShop) -> None:
    async with open_shop(Fake("sandbox")) as shop, held_at("run.fetched") as (reached, go):
        task_id = await shop.order()
        walk = asyncio.create_task(shop.run().walk(task_id))
        await reached.wait()
        await shop.house.finish.cancel(task_id, shop.account.id)
        go.set()
        await walk
        assert stored(shop.house) == set()
        assert await count(shop.house.database, "pending_objects") == 0


async def test_a_sweep_of_orphans_that_was_interrupted_is_finished_by_the_next(
    open_shop: OpenShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "STEP", 2)
    ticker, fake = Ticker(), Fake("sandbox")
    fake.script(accept(files=5))
    async with open_shop(fake, now=ticker) as shop:
        task_id = await shop.order()
        await crash(shop, task_id, "run.finishing")
        await shop.house.finish.cancel(task_id, shop.account.id)
        ticker.advance(ORPHANS + MOMENT)
        faults.arm("retention", stumble_at(1))
        with pytest.raises(StumbleError):
            await shop.house.retention.sweep()
        assert len(stored(shop.house)) == 3
        assert await count(shop.house.database, "pending_objects") == 5
        assert await shop.house.retention.sweep() == {**NOTHING, "orphans": 5}
        assert (stored(shop.house), await count(shop.house.database, "pending_objects")) == (set(), 0)


async def test_an_upload_that_died_before_its_row_leaves_nothing_for_long(
    open_gateway: OpenGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticker = Ticker()
    async with open_gateway(now=ticker) as gateway:
        kept = await upload(gateway, "kept.txt", b"first")
        rename = gateway.house.store.rename

        async def die(key: str, new: str) -> None:
            await rename(key, new)
            raise StorageError("gone")

        with monkeypatch.context() as patch:
            patch.setattr(gateway.house.store, "rename", die)
            for name in ("lost.txt", "kept.txt"):
                body = {"base64Data": "SGVsbG8=", "uploadPath": "notes", "fileName": name}
                assert not (await gateway.post("/api/file-base64-upload", body))["success"]
        assert len(stored(gateway.house)) == 2
        ticker.advance(DOUBT + MOMENT)
        assert await gateway.house.retention.sweep() == NOTHING
        await holds(gateway.house, kept, b"Hello")
        assert (await row(gateway.house, kept)).sha256 == sha256(b"Hello").hexdigest(), (
            "the row says what the bytes are"
        )
        ticker.advance(ORPHANS)
        assert await gateway.house.retention.sweep() == {**NOTHING, "orphans": 1}
        assert stored(gateway.house) == {kept}, "what has a row goes by its row"
        await upload(gateway, "kept.txt", b"third")
        await holds(gateway.house, kept, b"third")
        assert await count(gateway.house.database, "pending_objects") == 0


@pytest.mark.parametrize("sweeping", [False, True], ids=["later", "meanwhile"])
async def test_an_upload_between_two_steps_of_another_does_not_take_its_doubt_away(
    open_gateway: OpenGateway, monkeypatch: pytest.MonkeyPatch, sweeping: bool
) -> None:
    """Two of one name: the second is whole while the first is on its way, and the first dies before its commit."""
    ticker = Ticker()
    async with open_gateway(now=ticker) as gateway:
        house, rename = gateway.house, gateway.house.store.rename
        keys: list[str] = []

        async def die(key: str, new: str) -> None:
            await rename(key, new)
            raise StorageError("the power went")

        async def overtaken(*args: Any, **more: Any) -> Any:
            kept = await keep(*args, **more)
            monkeypatch.setattr(uploads, "keep", keep)
            keys.append(await upload(gateway, "x.txt", b"the second"))
            if sweeping:
                ticker.advance(DOUBT + MOMENT)
                await house.retention.sweep()
            monkeypatch.setattr(house.store, "rename", die)
            return kept

        monkeypatch.setattr(uploads, "keep", overtaken)
        wire = {"base64Data": "SGVsbG8=", "uploadPath": "notes", "fileName": "x.txt"}
        assert not (await gateway.post("/api/file-base64-upload", wire))["success"]
        ticker.advance(DOUBT + MOMENT)
        await house.retention.sweep()
        await holds(house, keys[0], b"Hello")
        assert (await row(house, keys[0])).sha256 == sha256(b"Hello").hexdigest()
        assert await count(house.database, "pending_objects") == 0


async def test_a_sweep_leaves_the_note_of_whoever_came_after_it_looked(open_gateway: OpenGateway) -> None:
    ticker = Ticker()
    async with open_gateway(now=ticker) as gateway:
        house = gateway.house
        key = await upload(gateway, content=b"first")
        await pending.upload(house.database, [key], ticker())
        ticker.advance(DOUBT + MOMENT)
        read = house.store.stat

        async def noted(asked: str) -> Any:
            found = await read(asked)
            await pending.upload(house.database, [key], ticker())
            return found

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(house.store, "stat", noted)
            await house.retention.sweep()
        assert await count(house.database, "pending_objects") == 1
        ticker.advance(DOUBT + MOMENT)
        await house.retention.sweep()
        assert await count(house.database, "pending_objects") == 0


# ---- the schedule ----


async def test_a_running_worker_sweeps_when_the_schedule_says_so(
    open_shop: OpenShop, passed: Passed, tmp_path: Path
) -> None:
    ticker, terms = Ticker(), {"data_dir": tmp_path / "files of both"}
    async with open_shop(Fake("sandbox"), now=ticker, **terms) as shop:
        task = await shop.walk(await shop.order())
        # The library sets a new schedule to its next moment, which may be ten minutes away: so it is there already.
        await shop.house.database.pool.execute(
            "INSERT INTO pgqueuer_schedules (expression, entrypoint, next_run) VALUES ($1, 'retention', now())", SWEEP
        )
        ticker.advance(OUTPUTS + MOMENT)
        swept = passed("retention")
        async with open_shop(Fake("sandbox"), now=ticker, work=True, **terms):
            await swept.next()

            async def purged() -> bool:
                return all(asset.purged_at for asset in (await shop.task(task.id)).outputs)

            await until(purged)
        assert stored(shop.house) == set()
        schedules = await shop.house.database.pool.fetch("SELECT status, next_run > now() FROM pgqueuer_schedules")
        assert [tuple(each) for each in schedules] == [("queued", True)]


async def test_a_sweep_that_fails_does_not_end_the_worker(open_shop: OpenShop, passed: Passed) -> None:
    ticker, ended = Ticker(), passed("run.finished")
    reached = asyncio.Event()

    async def fail() -> dict[str, int]:
        reached.set()
        raise StorageError("no")

    async with open_shop(Fake("sandbox"), now=ticker) as shop:
        await shop.house.database.pool.execute(
            "INSERT INTO pgqueuer_schedules (expression, entrypoint, next_run) VALUES ($1, 'retention', now())", SWEEP
        )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Retention, "sweep", lambda self: fail())
        async with open_shop(Fake("sandbox"), now=ticker, work=True) as shop:
            async with asyncio.timeout(PATIENCE):
                await reached.wait()
            await shop.order()
            await ended.next()
            assert shop.house.worker.alive
