"""The life of tasks under any order of events: workers that come back from the dead, cancels, deadlines, late results.

The rows are moved by the real repositories and the real end, and held after each step against a model of two dozen
lines. Whatever the order: a task ends once (but for a result that comes after its deadline, which is free), its hold
ends once, and the balance is the sum of the ledger.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from tests.integration.workshop import PRICE, make_draft

from tessera.db import attempts, ledger, tasks, webhooks
from tessera.domain.account import Account, ApiKey
from tessera.domain.asset import Asset, Origin
from tessera.domain.errors import InsufficientCredits
from tessera.domain.task import Attempt, AttemptState, Failure, Mode, Reason, State, Task
from tessera.engine.run import DEADLINE
from tessera.providers.base import Done
from tessera.providers.fake import Fake
from tessera.testing.databases import Databases
from tessera.testing.plugin import configs, houses
from tessera.testing.ticker import Ticker
from tessera.wiring import House

T = TypeVar("T")

LATE = timedelta(hours=1)
OPEN = (State.WAITING, State.RUNNING)
PURSE = 8 * PRICE
BROKEN = Failure(Reason.PROVIDER, "Failed to generate image")


@dataclass
class Known:
    """What the model knows of a task. ``told`` counts its callbacks, ``ledger`` what was written of its money."""

    id: str
    state: State = State.WAITING
    deadline: bool = False
    epoch: int = 0
    attempts: int = 0
    ended_at: float = 0.0
    told: int = 0
    ledger: list[str] = field(default_factory=lambda: ["hold"])

    def end(self, state: State, kind: str) -> None:
        self.state, self.deadline = state, False
        self.told += 1
        self.ledger.append(kind)


@dataclass
class Worker:
    """Somebody who claimed a task once, and does not know what has happened since."""

    task: Task
    known: Known
    attempt: Attempt | None = None

    @property
    def current(self) -> bool:
        return self.task.epoch == self.known.epoch


class Place:
    """One gateway for all runs of the machine; each has an account of its own."""

    def __init__(self, runner: "asyncio.Runner", house: House, clock: Ticker) -> None:
        self.runner, self.house, self.clock = runner, house, clock
        self.numbers = count(1)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    async def account(self) -> tuple[Account, ApiKey]:
        account = await self.house.accounts.create(f"life-{next(self.numbers)}", test_credits=PURSE // 1000)
        return account, (await self.house.accounts.create_key(account, Mode.TEST)).key


class Life(RuleBasedStateMachine):
    """``place`` is set by the test."""

    place: Place
    known = Bundle("known")
    workers = Bundle("workers")

    @initialize()
    def begin(self) -> None:
        self.account, self.key = self.place.run(self.place.account())
        self.other, _ = self.place.run(self.place.account())
        self.all: list[Known] = []
        self.free = PURSE

    # ---- what may happen ----

    @rule(target=known)
    def accept(self) -> Known:
        try:
            draft = make_draft(callback="https://example.com/hook")
            ticket = self.place.run(self.place.house.intake.accept(draft, self.key))
        except InsufficientCredits:
            assert self.free < PRICE
            return Known("none", State.FAILED)
        self.free -= PRICE
        self.all.append(Known(ticket.task_id))
        return self.all[-1]

    @rule(target=workers, known=known)
    def claim(self, known: Known) -> Worker | None:
        now = self.place.clock()
        task = self.place.run(tasks.claim(self.place.house.database, known.id, now, now - LATE))
        young = known.deadline and now.timestamp() - known.ended_at < LATE.total_seconds()
        assert (task is not None) == (known.id != "none" and (known.state in OPEN or young))
        if task is None:
            return Worker(_nothing(known), known)
        known.epoch += 1
        assert task.epoch == known.epoch
        return Worker(task, known)

    @rule(worker=workers)
    def intend(self, worker: Worker) -> None:
        known = worker.known
        began = self.place.run(self._intend(worker))
        assert began == (worker.current and known.state in OPEN)
        if began:
            known.state = State.RUNNING

    async def _intend(self, worker: Worker) -> bool:
        attempt = Attempt(
            task_id=worker.known.id,
            number=worker.known.attempts + 1,
            provider="sandbox",
            model="fake-image",
            idempotency_key=self.place.house.ids(),
            state=AttemptState.INTENT,
            upstream_id=None,
            created_at=self.place.clock(),
        )
        async with self.place.house.database.transaction() as connection:
            if not await tasks.start(connection, worker.task):
                return False
            await attempts.intend(connection, attempt)
        worker.attempt = attempt
        worker.known.attempts += 1
        return True

    @rule(worker=workers, upstream=st.sampled_from(["job-1", "job-2"]))
    def receive(self, worker: Worker, upstream: str) -> None:
        if worker.attempt is not None:
            house = self.place.house
            held = self.place.run(attempts.submitted(house.database, worker.attempt, worker.task.epoch, upstream))
            assert held == worker.current

    @rule(worker=workers, value=st.floats(0, 1))
    def progress(self, worker: Worker, value: float) -> None:
        held = self.place.run(tasks.progress(self.place.house.database, worker.task, value))
        known = worker.known
        assert held == (worker.current and (known.state is State.RUNNING or known.deadline))

    @rule(worker=workers)
    def succeed(self, worker: Worker) -> None:
        attempt = worker.attempt
        if attempt is None:
            return
        known, house = worker.known, self.place.house
        first = worker.current and known.state in OPEN
        late = worker.current and known.deadline
        assert self.place.run(house.finish.succeed(worker.task, attempt, [self._file(worker)], Done(outputs=()))) == (
            first or late
        )
        if first or late:
            known.end(State.SUCCEEDED, "settle" if first else "")

    @rule(worker=workers)
    def fail(self, worker: Worker) -> None:
        ended = self.place.run(self.place.house.finish.fail(worker.task, worker.attempt, AttemptState.FAILED, BROKEN))
        assert ended == (worker.current and worker.known.state in OPEN)
        if ended:
            self._release(worker.known, State.FAILED)

    @rule(worker=workers)
    def run_out_of_time(self, worker: Worker) -> None:
        ended = self.place.run(self.place.house.finish.fail(worker.task, None, AttemptState.FAILED, DEADLINE))
        assert ended == (worker.current and worker.known.state in OPEN)
        if ended:
            self._release(worker.known, State.FAILED)
            worker.known.deadline = True
            worker.known.ended_at = self.place.clock().timestamp()

    @rule(known=known)
    def cancel(self, known: Known) -> None:
        house = self.place.house
        assert self.place.run(house.finish.cancel(known.id, self.other.id)) is None
        canceled = self.place.run(house.finish.cancel(known.id, self.account.id))
        assert (canceled is not None) == (known.id != "none" and known.state in OPEN)
        if canceled is not None:
            self._release(known, State.CANCELED)
            known.epoch += 1

    @rule(worker=consumes(workers))
    def die(self, worker: Worker) -> None:
        """This one never comes back."""

    @rule(minutes=st.integers(1, 50))
    def wait(self, minutes: int) -> None:
        self.place.clock.advance(timedelta(minutes=minutes))

    def _release(self, known: Known, state: State) -> None:
        known.end(state, "release")
        self.free += PRICE

    def _file(self, worker: Worker) -> Asset:
        return Asset(
            key=f"s/{worker.known.id}-{worker.task.epoch}_0.png",
            account_id=self.account.id,
            origin=Origin.OUTPUT,
            media_type="image/png",
            size=1,
            sha256="0" * 64,
            created_at=self.place.clock(),
            task_id=worker.known.id,
            position=0,
        )

    # ---- what is always so ----

    @invariant()
    def every_row_is_as_it_should_be(self) -> None:
        if hasattr(self, "all"):
            self.place.run(self._look())

    async def _look(self) -> None:
        house = self.place.house
        found = await tasks.get_many(house.database, [known.id for known in self.all])
        entries = await house.accounts.entries(self.account, Mode.TEST, limit=1000)
        for known in self.all:
            task = found[known.id]
            assert (task.state, task.epoch) == (known.state, known.epoch)
            assert bool(task.outputs) == (known.state is State.SUCCEEDED)
            assert len(task.outputs) <= 1
            assert (task.failure is None) == (known.state in (*OPEN, State.SUCCEEDED))
            kinds = [entry.kind for entry in entries[::-1] if entry.task_id == known.id]
            assert kinds == [kind for kind in known.ledger if kind]
            assert len(await webhooks.of_task(house.database, known.id)) == known.told
        balance = await house.accounts.balance(self.account, Mode.TEST)
        assert balance == self.free == sum(entry.amount for entry in entries)

    def teardown(self) -> None:
        if hasattr(self, "all"):
            assert self.place.run(ledger.anomalies(self.place.house.database)) == []


def _nothing(known: Known) -> Task:
    """What a worker believes to hold that was too late: a claim that never was."""
    return Task(
        id=known.id,
        account_id="",
        key_id="",
        mode=Mode.TEST,
        family="gpt4o-image",
        operation="image.generate",
        model="gpt4o-image",
        request=make_draft().request,
        params="{}",
        callback_url=None,
        fallback=None,
        price=PRICE,
        state=State.RUNNING,
        progress=0.0,
        epoch=-1,
        created_at=Ticker().now,
    )


def test_no_order_of_events_ends_a_task_or_its_money_twice(postgres: Databases, tmp_path: Path) -> None:
    clock = Ticker()
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()

        async def open_house() -> House:
            url = await stack.enter_async_context(postgres.fresh())
            opener = houses(url, configs(tmp_path))
            return await stack.enter_async_context(opener(provided={"sandbox": Fake("sandbox")}, work=False, now=clock))

        place = Place(runner, runner.run(open_house()), clock)
        try:
            run_state_machine_as_test(
                type("LifeHere", (Life,), {"place": place}),
                settings=settings(
                    max_examples=30,
                    stateful_step_count=30,
                    deadline=None,
                    database=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(stack.aclose())
