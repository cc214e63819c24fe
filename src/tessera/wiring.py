"""The one file that knows every concrete class: a House is the whole gateway, built from its settings."""

import asyncio
import base64
import os
import secrets
import shutil
import tempfile
import tomllib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from types import TracebackType

import structlog

from tessera import __version__
from tessera.config import Config, StorageKind
from tessera.db import facts
from tessera.db.connection import Database
from tessera.db.embedded import Embedded
from tessera.db.migrate import NOTHING, Queue, Standing, migrate, standing
from tessera.dialects import chat_models
from tessera.dialects import registry as families
from tessera.domain.admission import RateLimit
from tessera.domain.asset import Asset
from tessera.domain.errors import ConfigError, Invalid, TesseraError
from tessera.domain.finding import Finding, Grade, note
from tessera.domain.price import PriceList
from tessera.engine import backup, checkup, queue
from tessera.engine.accounts import Accounts
from tessera.engine.accounts import Welcome as Welcome  # noqa: PLC0414 - shown by whoever opens a House
from tessera.engine.backup import Backup
from tessera.engine.backup import Report as Report  # noqa: PLC0414 - shown by a command
from tessera.engine.cancel import PassOn
from tessera.engine.faults import PLACES
from tessera.engine.finish import Finish
from tessera.engine.inputs import Inputs
from tessera.engine.intake import Intake
from tessera.engine.keep import Bounds, Keep
from tessera.engine.outbox import Outbox
from tessera.engine.outbox import Told as Told  # noqa: PLC0414 - shown by a command
from tessera.engine.retention import Retention, Terms
from tessera.engine.routes import Routes
from tessera.engine.run import Run
from tessera.engine.step import Patience, Steps
from tessera.engine.talks import Talks
from tessera.engine.worker import Pace, Worker
from tessera.kit import clock, faults, ids, trace
from tessera.kit.cpu import Crew
from tessera.kit.meter import Book
from tessera.kit.outbound import Outbound, Policy, Refused, Resolve
from tessera.providers import registry
from tessera.providers.base import Provider
from tessera.providers.chat import registry as endpoints
from tessera.providers.chat.registry import Chats
from tessera.providers.sandbox.talk import Talk
from tessera.storage import blocking, names
from tessera.storage.base import Store
from tessera.storage.links import Links
from tessera.storage.local import LocalStore
from tessera.storage.s3 import S3Store
from tessera.storage.sigv4 import Credentials
from tessera.webhooks import sign
from tessera.webhooks.deliver import Deliver

log = structlog.get_logger(__name__)

BUCKET = "tessera"
REGION = "local"
DEFAULT_ACCOUNT = "default"
SPARE = timedelta(minutes=1)
"""How much older than the longest chat call one has to be, to be taken for lost: clocks of machines differ."""
QUEUE = Queue(queue.VERSION, queue.install)


class House:
    """A gateway: open it, use its parts, close it. ``work`` says whether this process runs tasks.

    ``provided`` replaces the discovered providers (tests and benchmarks), ``now`` and ``new_id`` bring time and ids,
    ``resolver`` looks up the names in callers' URLs instead of the operating system.
    """

    def __init__(
        self,
        config: Config,
        *,
        work: bool = True,
        environ: Mapping[str, str] | None = None,
        provided: Mapping[str, Provider] | None = None,
        now: clock.Clock = clock.system,
        new_id: ids.Ids | None = None,
        tracer: trace.Tracer | None = None,
        resolver: Resolve | None = None,
    ) -> None:
        self.config = config
        self.clock = now
        self.ids = new_id or ids.timed(now)
        self.families = families.discover()
        self.welcome: Welcome | None = None
        self._work = work
        self._environ = dict(os.environ if environ is None else environ)
        self._provided = provided
        self._tracer = tracer
        self._resolver = resolver
        self.meter = Book()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "House":
        try:
            await self._open()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _open(self) -> None:
        if self.config.faults:
            _arm(self.config.faults)
        self.tracer = self._open_tracer()
        self.scratch = await asyncio.to_thread(self._folders)
        self.database = await self._open_database()
        self.accounts = Accounts(self.database, clock=self.clock, new_secret=sign.new_secret)
        secret = await self._signing_key()
        self.public_url = self.config.base_url
        self.links = Links(self.public_url, secret.encode())
        self.store = await self._open_store(secret)
        self.outbound = Outbound(
            Policy(allow_loopback=self.config.policy.allow_loopback, allow_private=self.config.policy.allow_private),
            resolver=self._resolver,
        )
        self._stack.push_async_callback(self.outbound.close)
        self.routes = Routes(self._build_providers(), self.config.routes)
        self.routes.check(self._installed())
        self._check_routed_models()
        self.chats = self._build_chats()
        self._stack.push_async_callback(self.chats.close)
        # Last of all that can go wrong: keys that are shown once must not be burnt by a start that fails.
        config = self.config
        self.welcome = await self.accounts.bootstrap(
            DEFAULT_ACCOUNT,
            test_key=config.bootstrap_test_key,
            live_key=config.bootstrap_live_key,
            webhook_secret=config.bootstrap_webhook_secret,
            test_credits=config.bootstrap_test_credits,
        )
        self.intake = self._build_intake()
        self.talks = self._build_talks()
        self.retention = self._build_retention()
        self.finish = Finish(self.database, clock=self.clock, ids=self.ids, meter=self.meter)
        self.worker = self._build_worker()
        if self._work:
            await self.worker.start()
            self._stack.push_async_callback(self.worker.stop)

    def link(self, asset: Asset) -> str:
        """The public URL of a file, good as long as the file is kept."""
        return self.links.url(asset.key)

    def check_url(self, field: str, url: str) -> None:
        """Raises Invalid for a URL that we would never call; our own links are always good."""
        if self.links.key(url) is not None:
            return
        try:
            self.outbound.check(url)
        except Refused as error:
            raise Invalid(f"{field}: {error}", field=field) from error

    async def check_queue(self) -> None:
        """Prove that the queue can be asked, and that this process still works on it if it should."""
        async with self.database.transaction() as connection:
            await queue.depth(connection)
        if self._work and not self.worker.alive:
            raise TesseraError("the worker has stopped")

    def _folders(self) -> Path:
        """The data folder, and scratch space of this process that is empty at its start."""
        root = self.config.data_dir.resolve() / "scratch"
        root.mkdir(parents=True, exist_ok=True)
        root.chmod(0o700)
        for left in root.iterdir():
            if not _alive(left.name.partition("-")[0]):  # a killed process could not tidy up
                shutil.rmtree(left, ignore_errors=True)
        scratch = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=root))
        self._stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        return scratch

    def _open_tracer(self) -> trace.Tracer:
        """Traces go where OpenTelemetry's variables say; without them there are none. Raises ConfigError."""
        if self._tracer is not None:
            return self._tracer
        if not trace.wanted(self._environ):
            return trace.OFF
        try:
            tracer = trace.exporting(self._environ, "tessera", __version__)
        except ImportError:
            log.warning("no traces: OpenTelemetry's SDK is not installed", next="make setup EXTRAS=otel")
            return trace.OFF
        except ValueError as error:
            raise ConfigError(str(error)) from error
        self._stack.push_async_callback(asyncio.to_thread, tracer.close)
        return tracer

    async def _open_database(self, *, upgrade: bool = True) -> Database:
        url = self.config.database_url
        if url is None:
            embedded = Embedded(self.config.data_dir / "postgres")
            # Registered first, and waited for even when canceled: a start that was given up leaves no server behind.
            self._stack.push_async_callback(asyncio.to_thread, embedded.stop)
            url = await blocking.run(embedded.start)
        if upgrade and await migrate(url, QUEUE):
            log.info("schema is up to date now")
        database = Database(url, size=self.config.database_pool)
        await database.open()
        self._stack.push_async_callback(database.close)
        return database

    async def _signing_key(self) -> str:
        return self.config.signing_key or await facts.once(
            self.database, "signing_key", base64.b64encode(secrets.token_bytes(32)).decode()
        )

    async def _open_store(self, secret: str) -> Store:
        config = self.config
        if config.storage is StorageKind.S3:
            return S3Store(
                config.s3_bucket or "",
                endpoint=config.s3_endpoint,
                region=config.s3_region,
                access_key_id=config.s3_access_key_id or "",
                secret_access_key=config.s3_secret_access_key or "",
                prefix=config.s3_prefix,
            )
        credentials = Credentials(access_key_id="TESSERA", secret_access_key=secret)
        root = _files(config)
        return LocalStore(root, public_url=self.public_url, bucket=BUCKET, credentials=credentials, region=REGION)

    def _build_providers(self) -> Mapping[str, Provider]:
        if self._provided is not None:
            return self._provided
        self.crew = Crew()
        self._stack.push_async_callback(self.crew.close)
        environ = {**self._environ, **self.config.provider_environ}
        providers = registry.build(
            registry.Context(clock=self.clock, cpu=self.crew, outbound=self.outbound, environ=environ)
        )
        for provider in providers.values():
            self._stack.push_async_callback(provider.close)
        return providers

    def _installed(self) -> list[str]:
        return list(self._provided) if self._provided is not None else [name for name, _ in registry.discover()]

    def _price_list(self) -> PriceList:
        """The operator's own prices. Raises ConfigError."""
        own = self.config.prices
        try:
            return PriceList(tomllib.loads(own.read_text()) if own else {})
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"prices: the file {own} cannot be read ({error})") from error

    def _check_routed_models(self) -> None:
        known = {model for family in self.families.values() for model in family.models}
        for model in self.config.routes:
            if model not in known:
                near = get_close_matches(model, known, 3, 0.3) or sorted(known)[:3]
                raise ConfigError(f"routes: there is no model {model!r}; did you mean {', '.join(near)}?")

    def _build_intake(self) -> Intake:
        limit = self.config.rate_limit
        return Intake(
            self.database,
            self.routes,
            self._price_list(),
            check=self.check_url,
            limit=RateLimit(limit.count, limit.window) if limit else None,
            clock=self.clock,
            ids=self.ids,
        )

    def _build_chats(self) -> Chats:
        """The endpoints of chat models; a test key is always answered by the sandbox."""
        seconds = timedelta(seconds=self.config.sandbox_seconds)
        found = Chats(endpoints.build(self._environ), Talk(seconds), self.config.chat_routes)
        found.check({model.id: frozenset(model.names) for model in chat_models.models().values()})
        return found

    def _build_talks(self) -> Talks:
        limit = self.config.rate_limit
        return Talks(
            self.database,
            {model.id: model.rates for model in chat_models.models().values()},
            self._price_list(),
            limit=RateLimit(limit.count, limit.window) if limit else None,
            longest=self.config.chat_timeout + SPARE,
            clock=self.clock,
            ids=self.ids,
            meter=self.meter,
        )

    async def _sweep(self) -> None:
        """What is done every ten minutes, by one worker of all."""
        await self.retention.sweep()
        await self.talks.sweep()

    def _build_retention(self) -> Retention:
        config = self.config
        terms = Terms(
            outputs=config.retention_outputs,
            uploads=config.retention_uploads,
            records=config.retention_records,
            late=config.late_window,
        )
        return Retention(self.database, self.store, terms, clock=self.clock)

    def _build_worker(self) -> Worker:
        config = self.config
        inputs = Inputs(
            self.outbound,
            self.store,
            self.links.key,
            max_bytes=config.input_max_bytes,
            max_pixels=config.max_pixels,
        )
        late = config.late_window
        patience = Patience(deadline=config.task_deadline, late=late, resend_ambiguous=config.resend_ambiguous)
        steps = Steps(self.database, patience, clock=self.clock, ids=self.ids, meter=self.meter)
        bounds = Bounds(bytes=config.output_max_bytes, pixels=config.max_pixels)
        run = Run(
            self.database,
            self.routes,
            inputs,
            steps,
            Keep(self.store, self.outbound, steps, bounds, clock=self.clock),
            self.finish,
            scratch=self.scratch,
            clock=self.clock,
            late=late,
        )
        deliver = Deliver(
            self.database,
            self.families,
            self.link,
            self.outbound,
            schedule=config.webhook_schedule,
            timeout=config.webhook_timeout,
            clock=self.clock,
            meter=self.meter,
        )
        return Worker(
            self.database,
            run,
            deliver,
            PassOn(self.database, self.routes, scratch=self.scratch, clock=self.clock, meter=self.meter),
            self._sweep,
            Pace(
                concurrency=config.worker_concurrency,
                test_concurrency=config.worker_test_concurrency,
                heartbeat=timedelta(seconds=config.heartbeat_seconds),
                dequeue=timedelta(seconds=config.dequeue_seconds),
                drain=timedelta(seconds=config.drain_seconds),
                longest=timedelta(seconds=max(config.drain_seconds, config.openai_timeout + 15)),
            ),
            meter=self.meter,
            tracer=self.tracer,
        )


def _files(config: Config) -> Path:
    """Where a local store keeps its files."""
    return config.data_dir.resolve() / "files"


def _arm(plan: str) -> None:
    """Make this process stumble where a test wants it to. Raises ConfigError."""
    try:
        faults.arm_all(faults.parse(plan), PLACES)
    except ValueError as error:
        raise ConfigError(f"faults: {error}") from error
    log.warning("this process will stumble: it is a test", faults=plan)


async def examine(config: Config, environ: Mapping[str, str]) -> list[Finding]:
    """Look at every part of this gateway, running or not. Nothing is made or upgraded."""
    house = House(config, work=False, environ=environ)
    house.public_url = config.base_url
    async with house._stack:
        findings = await checkup.examined(
            "database",
            _examine_database(house),
            "check TESSERA_DATABASE_URL; without one, postgres/log in the data folder",
        )
        findings += await checkup.examined(
            "storage", _examine_storage(house), "check the data folder, or the settings of the bucket"
        )
    manifests = [(name, factory.manifest) for name, factory in registry.discover()]
    findings += checkup.providers(manifests, environ)
    findings += checkup.chats({name: known.key for name, known in endpoints.KNOWN.items()}, environ)
    models = {name: family.models for name, family in house.families.items()}
    return findings + checkup.models(manifests, environ, config.routes, models)


async def _examine_database(house: House) -> list[Finding]:
    config = house.config
    if config.database_url is None and not (config.data_dir / "postgres" / "PG_VERSION").exists():
        return [note("database", f"none yet in {config.data_dir}", "start the gateway once: it makes one")]
    database = await house._open_database(upgrade=False)
    found = await checkup.database(database, house.clock)
    if any(each.name == "schema" and each.grade is Grade.GOOD for each in found):
        for name, check in (
            ("queue", checkup.queue(database)),
            ("ledger", checkup.books(database)),
            ("callbacks", checkup.callbacks(database, house.clock)),
        ):
            found += await checkup.examined(name, check, "see the log of the database")
    return found


async def _examine_storage(house: House) -> list[Finding]:
    local = house.config.storage is StorageKind.LOCAL
    if local and not house.config.data_dir.exists():
        return [note("storage", f"{house.config.data_dir} is not there yet", "start the gateway once")]
    store = await house._open_store(secrets.token_hex(32))
    # The operator's own bucket may well be on a private network.
    outbound = Outbound(Policy(allow_loopback=True, allow_private=True))
    house._stack.push_async_callback(outbound.close)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        async def fetch(url: str) -> bytes:
            await outbound.download(url, folder / "fetched", max_bytes=1_000_000, timeout=15)
            return await asyncio.to_thread((folder / "fetched").read_bytes)

        # Links to a local store are answered by ourselves, and only while we run.
        return await checkup.storage(store, folder, None if local else fetch)


@asynccontextmanager
async def open_backup(config: Config) -> AsyncIterator[Backup]:
    """What makes a backup, of a gateway that runs or of one that does not. Nothing is changed. Raises ConfigError."""
    _only_embedded(config, "pg_dump")
    if not (config.data_dir / "postgres" / "PG_VERSION").exists():
        raise ConfigError(f"there is no gateway's data in {config.data_dir}: name its folder with --data-dir")
    house, root = House(config, work=False), _files(config)
    local = config.storage is StorageKind.LOCAL
    async with house._stack:
        yield Backup(
            await house._open_database(upgrade=False),
            (lambda key: root.joinpath(*names.key(key).split("/"))) if local else None,
            version=__version__,
            clock=house.clock,
            signing_key_is_a_setting=config.signing_key is not None,
        )


async def restore(config: Config, source: Path, part: Callable[[float], None]) -> Report:
    """Make a gateway anew from a backup, in a data folder that is empty or missing. Raises TesseraError."""
    _only_embedded(config, "pg_restore")
    return await backup.restore(source, config.data_dir, storage=config.storage.value, part=part)


def _only_embedded(config: Config, tool: str) -> None:
    if config.database_url is not None:
        raise ConfigError(
            f"this command is for the embedded database, and TESSERA_DATABASE_URL names another one: use {tool} on it, "
            "or what its host offers, and copy the files apart"
        )


async def upgrade(config: Config, *, check: bool = False) -> tuple[Standing, Sequence[str]]:
    """Bring the schema up to date; answers what the database had, and the steps that were to do.

    With ``check`` nothing is done or made. Raises TesseraError where this program does not fit, or was not let.
    """
    if check and config.database_url is None and not (config.data_dir / "postgres" / "PG_VERSION").exists():
        return NOTHING, NOTHING.pending(QUEUE)
    house = House(config, work=False)
    async with house._stack:
        url = (await house._open_database(upgrade=False)).url
        found = await standing(url)
        found.check(QUEUE)
        if not check:
            await migrate(url, QUEUE)
        return found, found.pending(QUEUE)


@asynccontextmanager
async def open_outbox(config: Config) -> AsyncIterator[Outbox]:
    """The callbacks alone, likewise."""
    house = House(config, work=False)
    async with house._stack:
        database = await house._open_database()
        yield Outbox(database, Finish(database, clock=house.clock, ids=house.ids))


def _alive(pid: str) -> bool:
    """Whether a process of this number runs; a name that is no number is not ours to judge."""
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (ValueError, PermissionError):
        return True
    return True


@asynccontextmanager
async def open_accounts(config: Config) -> AsyncIterator[Accounts]:
    """The accounts alone, for an operator's command: beside a running gateway, or on a database of the moment."""
    house = House(config, work=False)
    async with house._stack:
        yield Accounts(await house._open_database(), clock=house.clock, new_secret=sign.new_secret)
