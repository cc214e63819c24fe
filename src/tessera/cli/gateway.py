"""The life of a gateway process: take the port and the folder, open the house, serve until a signal, close in order."""

import asyncio
import gc
import os
import re
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import replace
from urllib.parse import urlsplit

import uvicorn
import uvloop

from tessera.api import app
from tessera.cli import logs, place
from tessera.cli.fail import Fail
from tessera.cli.stop import on_signal
from tessera.cli.voice import Voice
from tessera.config import SETTINGS, Config, variable
from tessera.wiring import House

FINISH = 10.0
"""Seconds that requests under way get to end at shutdown, where the worker's drain does not ask for fewer."""

YOUNG, MIDDLE, NEVER = 10_000, 5, 1_000_000
"""How many objects are made before the collector looks at the young ones, after how many such looks at those that
outlived one, and that it looks at all of them by its own rule so seldom that it never does."""

OLD, SHARE = 600.0, 300
"""Seconds between two looks at all objects at the least, and how many times as long as the last one took."""

_SECRET_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD)$")


def serve(config: Config, *, work: bool, as_json: bool) -> None:
    """Serve HTTP until a signal comes; with ``work`` run tasks, too. Raises Fail before anything was begun."""
    with place.bind(config.host, config.port) as listener:
        config = replace(config, port=listener.getsockname()[1])
        # Several `tessera api` may share a folder; two gateways in it are a mistake that one wants to hear of.
        held = place.lock(config.data_dir, f"process {os.getpid()}, {config.base_url}") if work else nullcontext()
        with held:
            _run(config, _serve(config, listener, Voice(config, as_json=as_json, listens=True), work=work))


def work(config: Config, *, as_json: bool) -> None:
    """Run tasks until a signal comes."""
    if config.port == 0 and config.public_url is None:
        raise Fail(f"A worker makes links to files, so it has to know where: set {variable('public_url')}.", code=2)
    bound = nullcontext() if config.worker_port is None else place.bind(config.host, config.worker_port)
    with bound as listener:
        _run(config, _work(config, listener, Voice(config, as_json=as_json, listens=False)))


async def _serve(config: Config, listener: socket.socket, voice: Voice, *, work: bool) -> None:
    stop = asyncio.Event()
    with on_signal(stop.set):
        async with _house(config, voice, work=work) as house:
            if not stop.is_set():
                await _Server(_http(house), stop, lambda: voice.ready(house)).serve([listener])


async def _work(config: Config, listener: socket.socket | None, voice: Voice) -> None:
    stop = asyncio.Event()
    with on_signal(stop.set):
        async with _house(config, voice, work=True) as house:
            if listener is not None and not stop.is_set():
                server = _http(house, whole=False)
                await _Server(server, stop, lambda: voice.ready(house)).serve([listener])
                return
            voice.ready(house)
            await stop.wait()


@asynccontextmanager
async def _house(config: Config, voice: Voice, *, work: bool) -> AsyncIterator[House]:
    """An open house. The keys of a first start exist only once, so they are shown even when the start fails."""
    house = House(config, work=work)
    try:
        async with house:
            _settle()
            tidying = asyncio.create_task(_tidy())
            try:
                yield house
            finally:
                tidying.cancel()
    finally:
        voice.welcome(house)


def _settle() -> None:
    """What was loaded stays: the collector need not look at it again, and the pauses become shorter."""
    gc.collect()
    gc.freeze()
    # A busy worker holds a million objects. By its own rule the collector would look at all of them every few seconds,
    # and everything waits a second for it; so that is left to ``_tidy``.
    gc.set_threshold(YOUNG, MIDDLE, NEVER)


async def _tidy(
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep, seconds: Callable[[], float] = time.perf_counter
) -> None:
    """Look at all objects now and then. However many they are, at most one part in SHARE of the time goes into it."""
    took = 0.0
    while True:
        await sleep(max(OLD, SHARE * took))
        began = seconds()
        gc.collect()
        took = seconds() - began


def _http(house: House, *, whole: bool = True) -> uvicorn.Config:
    with logs.kept():
        return app.server(
            house,
            whole=whole,
            backlog=place.BACKLOG,
            timeout_graceful_shutdown=max(1, round(min(FINISH, house.config.drain_seconds))),
        )


class _Server(uvicorn.Server):
    """Uvicorn without its signal handlers: ours stop it, and it tells when it has begun."""

    def __init__(self, config: uvicorn.Config, stop: asyncio.Event, begun: Callable[[], None]) -> None:
        super().__init__(config)
        self._stop = stop
        self._begun = begun

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._begun()

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or self._stop.is_set()


def _run(config: Config, story: Coroutine[None, None, None]) -> None:
    logs.setup(config.log_level, config.log_format, secrets=_secrets(config))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(story)
        except asyncio.CancelledError:
            sys.exit(1)  # the second signal; what was cut short is taken up by the next start


def _secrets(config: Config) -> Iterator[str]:
    """Texts that no log line may show: our secret settings and what the environment calls a key."""
    for name, setting in SETTINGS.items():
        value = getattr(config, name)
        if setting.secret and isinstance(value, str):
            yield value
    if config.database_url is not None:  # the whole of it is masked already, but errors name its parts
        yield urlsplit(config.database_url).password or ""
    yield from (value for name, value in os.environ.items() if _SECRET_NAME.search(name.upper()))
