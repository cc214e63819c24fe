"""Real HTTP servers on the loopback for tests: one that receives callbacks, one that has files to fetch."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from tessera.testing.mailbox import Mailbox


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A request as it came: the raw body, and headers that are found in any spelling."""

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """``until`` holds it back until the event is set."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    until: asyncio.Event | None = None


class Receiver:
    """A webhook endpoint. ``url`` is where it listens; every path is as good as any other.

    Requests arrive in ``inbox``; ``script`` says how the next ones are answered, otherwise it is with 200.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.inbox: Mailbox[Received] = Mailbox()
        self._script: deque[Answer] = deque()

    def script(self, *answers: int | Answer) -> None:
        """Answer the next requests so, in this order; a number is a status."""
        self._script.extend(Answer(each) if isinstance(each, int) else each for each in answers)

    async def next(self) -> Received:
        """The next request that was not taken yet, once it has come. Raises TimeoutError."""
        return await self.inbox.next()

    async def handle(self, request: web.BaseRequest) -> web.Response:
        received = await _received(request)
        answer = self._script.popleft() if self._script else Answer()
        self.inbox.put(received)
        if answer.until is not None:
            await answer.until.wait()
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)


class Host:
    """A place on the web where files lie. ``put`` answers the URL; a file that was not put is 404."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: Mailbox[Received] = Mailbox()
        self._files: dict[str, Answer] = {}

    def put(self, name: str, body: bytes, *, media_type: str = "image/png", status: int = 200) -> str:
        """Offer a file under ``/name``."""
        self._files[f"/{name}"] = Answer(status, body, {"Content-Type": media_type})
        return f"{self.url}/{name}"

    def remove(self, name: str) -> None:
        del self._files[f"/{name}"]

    async def handle(self, request: web.BaseRequest) -> web.Response:
        self.requests.put(await _received(request))
        answer = self._files.get(request.path, Answer(404))
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)


async def _received(request: web.BaseRequest) -> Received:
    body = await request.read()
    return Received(method=request.method, path=request.path_qs, headers=request.headers, body=body)


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A receiver on a free port of 127.0.0.1 for as long as the block runs."""
    receiver = Receiver("")
    async with _serving(web.Server(receiver.handle)) as receiver.url:
        yield receiver


@asynccontextmanager
async def hosting() -> AsyncIterator[Host]:
    """A host of files on a free port of 127.0.0.1 for as long as the block runs."""
    host = Host("")
    async with _serving(web.Server(host.handle)) as host.url:
        yield host


@asynccontextmanager
async def _serving(server: web.Server) -> AsyncIterator[str]:
    runner = web.ServerRunner(server, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()
