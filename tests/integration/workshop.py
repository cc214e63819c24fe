"""A workshop for tests of the engine: a House that does not work by itself, and walks that a test starts by hand."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Any

from tessera.db import attempts, ledger, tasks, webhooks
from tessera.db.ledger import Entry
from tessera.domain.account import Account, ApiKey
from tessera.domain.task import Attempt, Draft, ImageRequest, Mode, State, Task
from tessera.domain.webhook import Delivery
from tessera.engine.inputs import Inputs
from tessera.engine.intake import Ticket
from tessera.engine.keep import Bounds, Keep
from tessera.engine.run import Run
from tessera.engine.step import Patience, Steps, Wait
from tessera.providers.fake import Fake
from tessera.testing.gateway import OpenHouse
from tessera.wiring import House

PRICE = 10_000
"""What one picture of ``gpt4o-image`` costs, in milli-credits."""


class Pauses:
    """Waits for nothing, and notes how long it would have been. ``tired`` is what happens after so many pauses."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self._tired: Callable[[], object] | None = None
        self._after = 0

    def then(self, after: int, tired: Callable[[], object]) -> None:
        self._after, self._tired = len(self.asked) + after, tired

    async def __call__(self, event: asyncio.Event, seconds: float) -> bool:
        self.asked.append(seconds)
        await asyncio.sleep(0)
        if self._tired is not None and len(self.asked) >= self._after:
            tired, self._tired = self._tired, None
            tired()
        return event.is_set()


@dataclass(frozen=True, slots=True)
class Workshop:
    """``key`` is a test key with credits enough, ``live`` a live one without."""

    house: House
    account: Account
    key: ApiKey
    live: ApiKey
    pauses: Pauses

    async def order(self, *, key: ApiKey | None = None, idempotency_key: str | None = None, **draft: Any) -> str:
        """Accept a task; answers its id."""
        return (await self.accept(key=key, idempotency_key=idempotency_key, **draft)).task_id

    async def accept(self, *, key: ApiKey | None = None, idempotency_key: str | None = None, **draft: Any) -> Ticket:
        return await self.house.intake.accept(make_draft(**draft), key or self.key, idempotency_key)

    def run(
        self,
        *,
        wait: Wait | None = None,
        deadline: timedelta = timedelta(minutes=30),
        late: timedelta = timedelta(minutes=30),
        resend_ambiguous: bool = False,
        input_bytes: int = 10_000,
        output_bytes: int = 10_000,
        pixels: int = 10_000,
    ) -> Run:
        """Another worker's walk, on the same database, store and providers."""
        house = self.house
        patience = Patience(deadline=deadline, late=late, resend_ambiguous=resend_ambiguous)
        steps = Steps(house.database, patience, clock=house.clock, ids=house.ids, wait=wait or self.pauses)
        inputs = Inputs(house.outbound, house.store, house.links.key, max_bytes=input_bytes, max_pixels=pixels)
        bounds = Bounds(bytes=output_bytes, pixels=pixels, seconds=10)
        return Run(
            house.database,
            house.routes,
            inputs,
            steps,
            Keep(house.store, house.outbound, steps, bounds, clock=house.clock),
            house.finish,
            scratch=house.scratch,
            clock=house.clock,
            late=late,
        )

    async def walk(self, task_id: str, **terms: Any) -> Task:
        """Walk a task to its end; answers it."""
        await self.run(**terms).walk(task_id)
        return await self.task(task_id)

    async def task(self, task_id: str) -> Task:
        task = await tasks.get(self.house.database, task_id)
        assert task is not None
        return task

    async def attempts(self, task_id: str) -> list[Attempt]:
        return await attempts.of_task(self.house.database, await self.task(task_id))

    async def states(self, task_id: str) -> list[str]:
        """``provider state`` of every attempt, in order."""
        return [f"{attempt.provider} {attempt.state}" for attempt in await self.attempts(task_id)]

    async def deliveries(self, task_id: str) -> list[Delivery]:
        return await webhooks.of_task(self.house.database, task_id)

    async def balance(self, mode: Mode = Mode.TEST) -> int:
        return await self.house.accounts.balance(self.account, mode)

    async def entries(self, mode: Mode = Mode.TEST) -> list[Entry]:
        """The ledger, oldest first."""
        return (await self.house.accounts.entries(self.account, mode, limit=1000))[::-1]

    async def kinds(self, task_id: str) -> list[str]:
        """What the ledger says of a task, oldest first."""
        both = [*await self.entries(Mode.TEST), *await self.entries(Mode.LIVE)]
        return [entry.kind for entry in both if entry.task_id == task_id]

    async def stored(self, task: Task) -> list[bytes]:
        """The bytes of a task's outputs as the store has them, checked against what the rows say of them."""
        contents = []
        for asset in task.outputs:
            content = b"".join([chunk async for chunk in self.house.store.read(asset.key)])
            assert (len(content), sha256(content).hexdigest()) == (asset.size, asset.sha256)
            contents.append(content)
        return contents

    async def check(self, *, late: bool = False) -> None:
        """The promises that hold at every moment, and those of every task that is over.

        ``late``: what succeeded here did so after its deadline, and is free.
        """
        assert await ledger.anomalies(self.house.database) == []
        rows = await self.house.database.pool.fetch("SELECT id FROM tasks")
        for row in rows:
            await self._check_task(await self.task(row["id"]), late)

    async def _check_task(self, task: Task, late: bool) -> None:
        kinds = await self.kinds(task.id)
        success = "release" if late else "settle"
        end = {State.SUCCEEDED: [success], State.FAILED: ["release"], State.CANCELED: ["release"]}
        assert kinds == ["hold", *end.get(task.state, [])], f"{task.state}: {kinds}"
        way = task.stage is not None and task.state in (State.RUNNING, State.FAILED)  # on it, or late and still on it
        assert bool(task.outputs) == (task.state is State.SUCCEEDED) or way
        assert (task.failure is None) == (task.state not in (State.FAILED, State.CANCELED))
        assert (task.completed_at is None) == (not task.state.terminal)
        await self.stored(task)


def make_draft(
    prompt: str = "a boat",
    *,
    count: int = 1,
    images: tuple[str, ...] = (),
    mask: str | None = None,
    callback: str | None = None,
    fallback: str | None = None,
    model: str = "gpt4o-image",
    params: str | None = None,
) -> Draft:
    urls: Mapping[str, str] = {f"filesUrl[{index}]": url for index, url in enumerate(images)}
    return Draft(
        family="gpt4o-image",
        operation="image.edit" if images else "image.generate",
        model=model,
        request=ImageRequest(prompt=prompt, count=count, images=images, mask=mask),
        price=PRICE * count,
        params=params or f'{{"prompt":"{prompt}","size":"1:1"}}',
        callback_url=callback,
        fallback=fallback,
        urls=urls,
    )


OpenShop = Callable[..., AbstractAsyncContextManager[Workshop]]


def shops(open_house: OpenHouse) -> OpenShop:
    """Opens workshops; see the fixture ``open_shop``."""

    @asynccontextmanager
    async def open_one(*fakes: Fake, live_credits: int = 0, **settings: Any) -> AsyncIterator[Workshop]:
        provided = {fake.manifest.name: fake for fake in fakes}
        async with open_house(**{"provided": provided, "work": False, **settings}) as house:
            account = (await house.accounts.all())[0]
            keys = {key.mode: key for key in await house.accounts.keys(account)}
            if live_credits:
                await house.accounts.grant(account, Mode.LIVE, live_credits)
            yield Workshop(house, account, keys[Mode.TEST], keys[Mode.LIVE], Pauses())

    return open_one
