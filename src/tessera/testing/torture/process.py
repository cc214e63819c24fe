"""One process of the torture: an API, a worker, the provider or the receiver.

    python -m tessera.testing.torture.process api worker-1.4 http://127.0.0.1:4711
    python -m tessera.testing.torture.process upstream 7

The gateway's processes are built like those of ``tessera api`` and ``tessera worker``, with the providers of the
torture in place of the discovered ones; settings come from the environment. A process ends when its standard input
does: none outlives whoever started it. ``ready PORT`` on the standard output says that it serves.
"""

import asyncio
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import structlog
import uvicorn
from aiohttp import web

from tessera import config
from tessera.api import app
from tessera.config import Config
from tessera.db.connection import SESSION
from tessera.testing.torture import provider, receiver, upstream
from tessera.wiring import House

HOST = "127.0.0.1"
UPLOADS = timedelta(seconds=3)
"""How long uploads are kept here, so that a sweep has something to do."""

SWEEP = 2.0


def main(argv: Sequence[str]) -> None:
    role, *rest = argv
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _log()
    match role:
        case "upstream":
            quick = float(rest[1]) if len(rest) > 1 else None
            asyncio.run(_serve(upstream.main(int(rest[0]), quick=quick)))
        case "receiver":
            asyncio.run(_serve(receiver.main(int(rest[0]), rest[1])))
        case "api" | "worker":
            SESSION["application_name"] = rest[0]  # so that every write in the database has an author
            asyncio.run(_gateway(role, rest[0], rest[1]))


def _log() -> None:
    """Lines of JSON on the standard error: the standard output is for the one word that the parent waits for."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _end_with_parent() -> None:
    with suppress(OSError):
        while os.read(0, 1):
            pass
    os._exit(1)


def _ready(port: int = 0) -> None:
    print(f"ready {port}", flush=True)


async def _serve(application: web.Application) -> None:
    runner = web.AppRunner(application, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, HOST, 0, backlog=2048)
    await site.start()
    _ready(runner.addresses[0][1])
    await _asked_to_end()
    await runner.cleanup()


async def _asked_to_end() -> None:
    event, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, event.set)
    await event.wait()


async def _gateway(role: str, name: str, base: str) -> None:
    settings = replace(config.load(os.environ), retention_uploads=UPLOADS)
    services = provider.providers(base, name)
    try:
        async with House(settings, work=role == "worker", environ={}, provided=services) as house:
            await (_work(house) if role == "worker" else _api(house, settings))
    finally:
        for service in services.values():
            await service.close()


async def _work(house: House) -> None:
    sweeping = asyncio.create_task(_sweep(house))
    try:
        _ready()
        await _asked_to_end()
    finally:
        sweeping.cancel()


async def _sweep(house: House) -> None:
    """Retention far more often than its clock would have it."""
    while True:
        await asyncio.sleep(SWEEP)
        with suppress(Exception):  # the database may be away: the next round does again what this one could not
            await house.retention.sweep()


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        _ready(self.config.port)


async def _api(house: House, settings: Config) -> None:
    with socket.create_server((HOST, settings.port), backlog=2048) as listener:
        options = app.server(house, port=settings.port, timeout_graceful_shutdown=2)
        await _Server(options).serve([listener])


if __name__ == "__main__":
    main(sys.argv[1:])
