"""The torture itself: start everything, let clients work and chaos reign, then calm down and read the books.

A run is bounded in tasks and in seconds and seeded; every process it starts is a child that ends with it.
"""

import asyncio
import hashlib
import signal
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import TypeVar

import aiohttp
import msgspec

from tessera import config, wiring
from tessera.config import Config
from tessera.db import audit
from tessera.db import ledger as db_ledger
from tessera.db.connection import Database
from tessera.db.migrate import Queue, migrate
from tessera.db.standalone import HOST, Standalone
from tessera.domain.errors import NotFound
from tessera.domain.task import Mode
from tessera.engine import queue
from tessera.engine.retention import ORPHANS
from tessera.testing import s3_server
from tessera.testing.s3_server import S3Server
from tessera.testing.torture.books import Books, House, ReceiverBook, UpstreamBook
from tessera.testing.torture.children import Child
from tessera.testing.torture.clients import Clients
from tessera.wiring import DEFAULT_ACCOUNT, open_accounts

B = TypeVar("B", UpstreamBook, ReceiverBook)

API_KEY = "tsk_live_torture_torture_torture"
SECRET = "whsec_dG9ydHVyZXRvcnR1cmV0b3J0dXJldG9ydHVyZQ=="
SCHEDULE = ("200ms", "400ms", "800ms", "1500ms")
CREDITS = 1_000_000_000

TOMORROW = ORPHANS + timedelta(hours=1)
"""From now: by then a sweep takes what nobody wrote a row for."""

WORKER_PLACES = (
    "run.claimed",
    "run.intended",
    "run.calling",
    "run.called",
    "run.submitted",
    "run.ingesting",
    "run.fetched",
    "run.finishing",
    "run.finished",
    "callback.sending",
    "callback.sent",
    "callback.recorded",
    "retention",
    "drain",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordeal:
    """What is done to the gateway. ``seconds`` is how long chaos reigns, ``settle`` how long all may take to end then.

    ``heartbeat`` is the lease of a job in seconds, ``lease`` the bound of a take-over, ``every`` the mean time between
    two blows. ``rate`` is the rate limit, ``s3`` stores in a bucket of an S3 server of its own. With ``quick`` the
    provider behaves, and every job takes so many seconds. ``concurrency`` is how many jobs one worker holds,
    ``life`` how often it passes the place of its death at the most.
    """

    seed: int = 1
    tasks: int = 400
    seconds: float = 110.0
    settle: float = 120.0
    workers: int = 2
    apis: int = 1
    heartbeat: float = 3.0
    lease: float = 30.0
    every: float = 3.0
    deadline: float = 25.0
    late: float = 5.0
    restarts: int = 2
    rate: str = "0"
    s3: bool = False
    quick: float | None = None
    concurrency: int = 10_000
    life: int = 30


FULL = Ordeal()
SHORT = Ordeal(tasks=45, seconds=6, settle=40, heartbeat=1.0, every=1.2, deadline=5, late=1, restarts=1, life=6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run brought: the books, what was done to whom, and how long it took in seconds."""

    ordeal: Ordeal
    books: Books
    blows: Mapping[str, int]
    seconds: float
    quiet: bool
    """Whether everything had ended in time after the chaos."""


@dataclass(slots=True, kw_only=True)
class Field:
    """Everything that runs. ``say`` is told what happens."""

    ordeal: Ordeal
    settings: "Settings"
    say: Callable[[str], None]
    random: Random
    server: Standalone
    database: Database
    upstream: Child
    receiver: Child
    apis: list[Child]
    workers: list[Child]
    http: aiohttp.ClientSession
    blows: Counter[str] = field(default_factory=Counter)

    @property
    def gateway(self) -> list[Child]:
        return [*self.apis, *self.workers]


def free_port() -> int:
    with socket.create_server((HOST, 0)) as taken:
        return int(taken.getsockname()[1])


async def torture(ordeal: Ordeal, folder: Path, say: Callable[[str], None] = lambda _: None) -> Outcome:
    """One run in ``folder``, which has to be empty. Raises NotReady where a process does not even start."""
    began = time.monotonic()
    async with opened(ordeal, folder, say) as ground:
        clients = Clients(
            urls=[f"http://{HOST}:{api.port}" for api in ground.apis],
            receiver=f"http://{HOST}:{ground.receiver.port}",
            api_key=API_KEY,
            random=Random(f"{ordeal.seed} clients"),
            http=ground.http,
        )
        say(f"{ordeal.tasks} tasks over {ordeal.seconds:g} s, seed {ordeal.seed}")
        await _chaos(ground, clients)
        await _calm(ground)
        quiet = await _quiet(ground)
        books = await _read(ground, clients)
        ground.blows.update(clients.counts)
    blows = ground.blows + Counter(_faults(ground))
    return Outcome(ordeal=ordeal, books=books, blows=blows, seconds=time.monotonic() - began, quiet=quiet)


@asynccontextmanager
async def opened(ordeal: Ordeal, folder: Path, say: Callable[[str], None]) -> AsyncIterator[Field]:
    """The outside world, a database and a gateway in many processes; all gone after the block."""
    async with AsyncExitStack() as stack:
        server = Standalone(folder / "postgres", free_port())
        stack.push_async_callback(asyncio.to_thread, server.stop)
        url = await asyncio.to_thread(server.start)
        database = await _prepare(url, stack)
        http = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        bucket = stack.enter_context(s3_server.serve(folder / "s3")) if ordeal.s3 else None
        ground = _lay_out(folder, say, server, database, http, Settings(ordeal, folder, url, bucket))
        for child in (ground.upstream, ground.receiver):
            stack.push_async_callback(child.close)
            await child.start()
        for child in ground.gateway:
            stack.push_async_callback(child.close)
        await asyncio.gather(*(child.start() for child in ground.gateway))
        yield ground


async def _prepare(url: str, stack: AsyncExitStack) -> Database:
    """A migrated database with an auditor in it, and an account that can afford everything."""
    await migrate(url, Queue(queue.VERSION, queue.install))
    database = Database(url, size=3)
    await database.open()
    stack.push_async_callback(database.close)
    await audit.watch(database)
    return database


@dataclass(frozen=True, slots=True)
class Settings:
    """What the gateway's processes are told by their environment."""

    ordeal: Ordeal
    folder: Path
    url: str
    bucket: S3Server | None

    def environ(self, port: int) -> dict[str, str]:
        """For processes whose links lead to ``port``."""
        ordeal = self.ordeal
        return {
            "TESSERA_DATABASE_URL": self.url,
            "TESSERA_DATABASE_POOL": "10",
            "TESSERA_DATA_DIR": str(self.folder / "data"),
            "TESSERA_PORT": str(port),
            "TESSERA_RATE_LIMIT": ordeal.rate,
            "TESSERA_HEARTBEAT_SECONDS": f"{ordeal.heartbeat:g}",
            "TESSERA_DEQUEUE_SECONDS": "0.5",
            "TESSERA_DRAIN_SECONDS": "3",
            "TESSERA_WORKER_CONCURRENCY": str(ordeal.concurrency),
            "TESSERA_TASK_DEADLINE": f"{ordeal.deadline:g}s",
            "TESSERA_LATE_WINDOW": f"{ordeal.late:g}s",
            "TESSERA_WEBHOOK_TIMEOUT": "1s",
            "TESSERA_WEBHOOK_SCHEDULE": ",".join(SCHEDULE),
            "TESSERA_BOOTSTRAP_LIVE_KEY": API_KEY,
            "TESSERA_BOOTSTRAP_WEBHOOK_SECRET": SECRET,
            **self._storage(),
        }

    def _storage(self) -> dict[str, str]:
        if self.bucket is None:
            return {}
        return {
            "TESSERA_STORAGE": "s3",
            "TESSERA_S3_ENDPOINT": self.bucket.endpoint,
            "TESSERA_S3_BUCKET": self.bucket.bucket,
            "TESSERA_S3_ACCESS_KEY_ID": self.bucket.access_key_id,
            "TESSERA_S3_SECRET_ACCESS_KEY": self.bucket.secret_access_key,
        }

    def config(self) -> Config:
        return config.load(self.environ(1))

    @property
    def objects(self) -> Path:
        """The folder in which the store, of either kind, keeps its objects under their keys."""
        if self.bucket is None:
            return self.folder / "data" / "files"
        return self.folder / "s3" / "objects" / self.bucket.bucket


def _lay_out(
    folder: Path,
    say: Callable[[str], None],
    server: Standalone,
    database: Database,
    http: aiohttp.ClientSession,
    settings: Settings,
) -> Field:
    ordeal = settings.ordeal
    logs, seed = folder / "logs", str(ordeal.seed)
    manners = [seed] if ordeal.quick is None else [seed, f"{ordeal.quick:g}"]
    logs.mkdir(parents=True)
    upstream = Child(role="upstream", name="upstream", arguments=lambda _: manners, environ={}, folder=logs)
    receiver = Child(role="receiver", name="receiver", arguments=lambda _: [seed, SECRET], environ={}, folder=logs)

    def where(actor: str) -> list[str]:
        return [actor, f"http://{HOST}:{upstream.port}"]

    chance = Random(f"{ordeal.seed} faults")
    places = _endless(list(WORKER_PLACES), chance)
    ports = [free_port() for _ in range(ordeal.apis)]
    apis = [
        Child(
            role="api",
            name=f"api-{number}",
            arguments=where,
            environ=settings.environ(port),
            folder=logs,
            plan=lambda: _api_plan(chance),
        )
        for number, port in enumerate(ports, 1)
    ]
    workers = [
        Child(
            role="worker",
            name=f"worker-{number}",
            arguments=where,
            environ=settings.environ(ports[0]),
            folder=logs,
            plan=lambda: _worker_plan(chance, places, ordeal.life),
        )
        for number in range(1, ordeal.workers + 1)
    ]
    return Field(
        ordeal=ordeal,
        settings=settings,
        say=say,
        random=Random(f"{ordeal.seed} blows"),
        server=server,
        database=database,
        upstream=upstream,
        receiver=receiver,
        apis=apis,
        workers=workers,
        http=http,
    )


def _endless(places: list[str], chance: Random) -> Callable[[], str]:
    """Every place once, in an order of chance, and then again."""
    left: list[str] = []

    def following() -> str:
        if not left:
            left.extend(chance.sample(places, len(places)))
        return left.pop()

    return following


def _worker_plan(chance: Random, places: Callable[[], str], life: int) -> str:
    """Faults of one incarnation: mostly sudden death at one place, sometimes errors or hanging at others."""
    place = places()
    nth = 1 if place in {"retention", "drain"} else chance.randint(1, life)
    plan = f"seed={chance.randrange(10**6)},{place}=exit@{nth}"
    if chance.random() < 0.4:
        other = chance.choice(WORKER_PLACES[:12])
        if other != place:
            plan += f",{other}={chance.choice(['raise:0.1', 'raise:0.1', 'hang:0.03'])}"
    return plan


def _api_plan(chance: Random) -> str | None:
    kind = chance.choice([None, f"exit@{chance.randint(3, 25)}", "raise:0.05"])
    return f"seed={chance.randrange(10**6)},intake.committed={kind}" if kind else None


# ---- chaos ----


async def _chaos(ground: Field, clients: Clients) -> None:
    """Clients work while blows fall; the last blow falls when the last client is done."""
    await endow(ground)
    beating = asyncio.create_task(_beat(ground))
    try:
        async with asyncio.timeout(ground.ordeal.seconds * 3 + 60):
            await clients.run(ground.ordeal.tasks, ground.ordeal.seconds)
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)


async def endow(ground: Field) -> None:
    """Credits for the account that the first start has made."""
    async with open_accounts(ground.settings.config()) as accounts:
        account = await accounts.find(DEFAULT_ACCOUNT)
        await accounts.grant(account, Mode.LIVE, CREDITS, "for the torture")


async def _beat(ground: Field) -> None:
    """Until it is cancelled: a blow now and then, at whoever stands."""
    ordeal, chance = ground.ordeal, ground.random
    restarts = sorted(chance.uniform(0.25, 0.85) * ordeal.seconds for _ in range(ordeal.restarts))
    began = time.monotonic()
    stops: set[asyncio.Task[None]] = set()
    try:
        while True:
            await asyncio.sleep(ordeal.every * chance.uniform(0.4, 1.6))
            if restarts and time.monotonic() - began > restarts[0]:
                restarts.pop(0)
                await _restart_database(ground)
                continue
            kind = chance.choices(["kill worker", "stop worker", "drain worker", "kill api"], [45, 20, 15, 20])[0]
            child = chance.choice(ground.apis if kind == "kill api" else ground.workers)
            if child.stopped or not child.ready.is_set():
                continue
            if kind == "stop worker":
                task = asyncio.create_task(_stop_for_a_while(ground, child))
                stops.add(task)
                task.add_done_callback(stops.discard)
            else:
                number = signal.SIGTERM if kind == "drain worker" else signal.SIGKILL
                _strike(ground, child, number, kind)
    finally:
        for task in stops:
            task.cancel()
        await asyncio.gather(*stops, return_exceptions=True)


def _strike(ground: Field, child: Child, number: signal.Signals, kind: str) -> None:
    if child.signal(number, kind):
        ground.blows[kind] += 1
        ground.say(f"{kind}: {child.actor}")


async def _stop_for_a_while(ground: Field, child: Child) -> None:
    """Longer than its lease: when it goes on, its jobs are another's and it does not know."""
    incarnation = child.incarnation
    _strike(ground, child, signal.SIGSTOP, "stop worker")
    try:
        await asyncio.sleep(ground.ordeal.heartbeat * 2.5 + 1)
    finally:
        if child.incarnation == incarnation:
            child.signal(signal.SIGCONT, "continue")


async def _restart_database(ground: Field) -> None:
    ground.blows["restart postgres"] += 1
    ground.say("restart postgres")
    await asyncio.to_thread(ground.server.restart)


# ---- calm ----


async def _calm(ground: Field) -> None:
    """No more faults: the outside world behaves, and every process of the gateway is replaced by a sound one."""
    for child in (ground.upstream, ground.receiver):
        async with ground.http.post(f"http://{HOST}:{child.port}/calm") as response:
            response.raise_for_status()
    for child in ground.gateway:
        child.plan = lambda: None
    for child in ground.gateway:
        child.signal(signal.SIGCONT, "continue")
        child.signal(signal.SIGKILL, "last kill")
    ground.blows["last kill"] += len(ground.gateway)
    ground.say("calm: all is killed once more, and sound processes take over")


async def _quiet(ground: Field) -> bool:
    """Wait until nothing is under way; False when that took too long."""
    until = time.monotonic() + ground.ordeal.settle
    left: audit.Open | None = None
    while time.monotonic() < until:
        left = await audit.under_way(ground.database)
        if left.total == 0:
            return True
        await asyncio.sleep(0.25)
    ground.say(f"not quiet in time: {left}")
    return False


async def _read(ground: Field, clients: Clients) -> Books:
    upstream = await _fetch(ground, ground.upstream, UpstreamBook)
    receiver = await _fetch(ground, ground.receiver, ReceiverBook)
    deaths = [death for child in ground.gateway for death in child.deaths]
    return Books(
        sent=tuple(clients.sent),
        upstream=upstream,
        receiver=receiver,
        house=await _house(ground),
        deaths=tuple(sorted(deaths, key=lambda death: death.at)),
        schedule=len(SCHEDULE),
        lease=ground.ordeal.lease,
    )


async def _fetch(ground: Field, child: Child, kind: type[B]) -> B:
    async with ground.http.get(f"http://{HOST}:{child.port}/book") as response:
        return msgspec.json.decode(await response.read(), type=kind)


async def _house(ground: Field) -> House:
    database = ground.database
    assets = await audit.assets(database)
    lies, lying = await _store(ground, [asset.key for asset in assets])
    now = datetime.now(UTC)
    ill = [*await db_ledger.anomalies(database), *await audit.holds(database)]
    ill += await audit.attempts_open(database, now + audit.FORGOTTEN)
    return House(
        tasks=await audit.tasks(database),
        attempts=await audit.attempts(database),
        ledger=await audit.ledger(database),
        wallets=await audit.wallets(database),
        assets=assets,
        deliveries=await audit.deliveries(database),
        writes=await audit.writes(database),
        jobs=await audit.jobs(database),
        bytes=lies,
        lying=lying,
        ill=tuple(ill),
    )


async def _store(ground: Field, keys: list[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """SHA-256 of what really lies under these keys, as the gateway itself would read it; and all that lies there.

    The gateway is asked on the next day, so that a last sweep takes what a crash has left without a row.
    """
    found = {}
    async with wiring.House(
        ground.settings.config(), work=False, environ={}, provided={}, now=lambda: datetime.now(UTC) + TOMORROW
    ) as house:
        await house.retention.sweep()
        for key in keys:
            digest = hashlib.sha256()
            with suppress(NotFound):
                async for chunk in house.store.read(key):
                    digest.update(chunk)
                found[key] = digest.hexdigest()
    return found, await asyncio.to_thread(_listed, ground.settings.objects)


def _listed(folder: Path) -> tuple[str, ...]:
    """The keys of all objects in a store's folder. What a store stages there before it has a key begins with a dot."""
    names = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return tuple(sorted(name.as_posix() for name in names if not name.parts[0].startswith(".")))


def _faults(ground: Field) -> Counter[str]:
    """What the logs tell: faults that struck, claims that were lost."""
    counts: Counter[str] = Counter()
    for child in ground.gateway:
        for line in child.log().splitlines():
            if line.startswith("fault: "):
                counts[line] += 1
            elif '"claim lost"' in line:
                counts["claim lost"] += 1
    return counts


def facts(outcome: Outcome) -> dict[str, object]:
    """The run as JSON can hold it, without its books."""
    return {"ordeal": asdict(outcome.ordeal), "seconds": outcome.seconds, "blows": dict(outcome.blows)}
