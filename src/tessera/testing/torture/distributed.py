"""The gateway on many machines, as far as one can hold them: two APIs and three workers, one PostgreSQL, one bucket.

Each is a process of its own, the database is reached over TCP, the bucket is a real S3 server. Three parts: limits are
exact wherever a request comes in; killing any process loses nothing; and how much work gets done by one, two and three
workers. The third is a measurement and no test: all processes share the cores of one machine.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tessera.db import audit
from tessera.db.standalone import HOST
from tessera.domain.task import Mode
from tessera.testing.torture.books import KEYED
from tessera.testing.torture.check import Finding
from tessera.testing.torture.harness import API_KEY, FULL, Field, Ordeal, endow, opened
from tessera.wiring import open_accounts

MANY = replace(FULL, apis=2, workers=3, s3=True)
"""Torture with everything shared over the network."""

WINDOW = 20
STORM = 200
PRICE = 10_000
"""Milli-credits of one picture."""

LOAD = 240
"""Tasks of one measurement."""


HELD = 20
"""Jobs that a worker holds in a measurement."""


@dataclass(frozen=True, slots=True)
class Throughput:
    """``rate`` is in tasks a second, from the first submission to the last end."""

    workers: int
    tasks: int
    rate: float


async def limits(folder: Path, say: Callable[[str], None]) -> list[Finding]:
    """Storms of requests over both APIs at once, against a rate window and against the last credits."""
    ordeal = replace(MANY, rate=f"{WINDOW}/10s", workers=1, quick=0.05)
    async with opened(ordeal, folder, say) as ground:
        rich = await _account(ground, "rich", 1_000 * PRICE)
        poor = await _account(ground, "poor", PRICE)
        window = Counter(await _storm(ground, rich, WINDOW + 1))
        credits = Counter(await _storm(ground, poor, STORM))
    say(f"{WINDOW + 1} at once in a window of {WINDOW}: {dict(window)}; {STORM} at once for one: {dict(credits)}")
    return [
        _finding(
            "rate_exact",
            f"{WINDOW + 1} at once over two APIs in a window of {WINDOW}: one is refused",
            WINDOW + 1,
            window == {200: WINDOW, 429: 1},
            window,
        ),
        _finding(
            "credits_exact",
            f"{STORM} at once over two APIs with credits for one: one is accepted",
            STORM,
            credits == {200: 1, 402: STORM - 1},
            credits,
        ),
    ]


def _finding(name: str, promise: str, examined: int, good: bool, answers: "Counter[Any]") -> Finding:
    return Finding(name, promise, examined, () if good else (f"answers: {dict(answers)}",), 0 if good else 1)


async def _account(ground: Field, name: str, amount: int) -> str:
    """A new account with so many milli-credits; answers its live key."""
    async with open_accounts(ground.settings.config()) as accounts:
        account = await accounts.create(name)
        key = await accounts.create_key(account, Mode.LIVE)
        await accounts.grant(account, Mode.LIVE, amount)
    return key.secret


async def _storm(ground: Field, key: str, count: int) -> list[int]:
    """So many submissions at the same moment, in turn to each API; answers their codes."""
    # Once before: what the APIs have to load and to look up first shall not spread the storm.
    await asyncio.gather(*(_look(ground, key, api.port) for api in ground.apis))
    ports = [ground.apis[number % len(ground.apis)].port for number in range(count)]
    return list(await asyncio.gather(*(submit(ground, key, port, number) for number, port in enumerate(ports))))


async def _look(ground: Field, key: str, port: int) -> None:
    url = f"http://{HOST}:{port}/api/v1/gpt4o-image/record-info?taskId=none"
    async with ground.http.get(url, headers={"Authorization": f"Bearer {key}"}) as response:
        await response.read()


async def submit(ground: Field, key: str, port: int, number: int) -> int:
    """One submission; the code of its answer."""
    body = {"prompt": f"via {KEYED} d{number:05d}", "size": "1:1"}
    url = f"http://{HOST}:{port}/api/v1/gpt4o-image/generate"
    async with ground.http.post(url, json=body, headers={"Authorization": f"Bearer {key}"}) as response:
        return int((await response.json())["code"])


async def throughput(workers: int, folder: Path, say: Callable[[str], None]) -> Throughput:
    """How fast so many workers bring a load to its end that mostly waits for its provider.

    A worker holds few jobs here, so that it is full long before the processor is.
    """
    ordeal: Ordeal = replace(MANY, workers=workers, quick=0.5, concurrency=HELD)
    async with opened(ordeal, folder, say) as ground:
        await endow(ground)
        await submit(ground, API_KEY, ground.apis[0].port, 0)
        await _idle(ground)
        began = time.monotonic()
        ports = [ground.apis[number % len(ground.apis)].port for number in range(LOAD)]
        codes = await asyncio.gather(*(submit(ground, API_KEY, port, n) for n, port in enumerate(ports, 1)))
        assert set(codes) == {200}, Counter(codes)
        await _idle(ground)
        seconds = time.monotonic() - began
    return Throughput(workers, LOAD, LOAD / seconds)


async def _idle(ground: Field) -> None:
    async with asyncio.timeout(120):
        while (await audit.under_way(ground.database)).total:  # noqa: ASYNC110 - rows cannot be awaited
            await asyncio.sleep(0.05)
