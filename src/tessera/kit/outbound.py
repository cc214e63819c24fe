"""The one guarded HTTP client for every URL that a stranger gave us.

A URL is judged three times. Its text, before anything is looked up (``vet``). Its name, once for every hop: all answers
are judged, one bad answer refuses the name, and the answers that were judged are the addresses that are dialled, so
that a name which changes its mind between two lookups gains nothing. Its socket, at the moment when it is opened.
Redirects are followed by hand, and every hop starts from the beginning. Connections are not kept: one hop, one lookup,
one dial. (After a hang-up without an answer aiohttp sends a GET once more, with a lookup and a judgement of its own.)

OutboundError
├── Refused      a rule forbids it; ``rule`` says which. Trying again changes nothing
├── Unreachable  no whole answer came back
├── TimedOut     it took longer than allowed
├── TooLarge     the body is larger than allowed
└── BadStatus    the server answered, but not with a 2xx

No message names an address, a port or a host that the caller did not name: it may be shown to the caller. The cause,
which may, hangs on the error for the log.
"""

import asyncio
import hashlib
import re
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from tessera.kit.address import Address, OutboundError, Policy, Refused, internal, onward, vet

__all__ = [
    "BadStatus",
    "Download",
    "Outbound",
    "OutboundError",
    "Policy",
    "Refused",
    "Reply",
    "Resolve",
    "SystemResolver",
    "TimedOut",
    "TooLarge",
    "Unreachable",
]

Resolve = Callable[[str], Awaitable[Sequence[str]]]
"""Answers all addresses of a name, as text, the preferred one first. Raises OSError where there is none."""

EXCERPT = 512
"""How much of the answer to a POST is kept, in bytes."""

_BLOCK = 1 << 20
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})

_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,64}/[a-z0-9!#$&^_.+-]{1,64}", re.ASCII)


class Unreachable(OutboundError):
    """No whole answer came back."""


class TimedOut(OutboundError):
    """It took longer than allowed."""


class TooLarge(OutboundError):
    """The body is larger than ``limit`` bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"The file is larger than {limit:,} bytes.")
        self.limit = limit


class BadStatus(OutboundError):
    """The server answered with a ``status`` other than 2xx."""

    def __init__(self, status: int) -> None:
        super().__init__(f"The server answered with HTTP status {status}.")
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """A file that was fetched: ``size`` in bytes, ``sha256`` in lower-case hex.

    ``media_type`` is what the server declared, lower-case and without parameters; None where it declared nothing sound.
    """

    size: int
    sha256: str
    media_type: str | None
    final_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The answer to a POST. ``excerpt`` is the beginning of its body, free of NUL characters."""

    status: int
    excerpt: str
    seconds: float


class SystemResolver:
    """The resolver of the operating system, in threads of its own.

    A name server that never answers holds a thread for half a minute; in the shared pool it would hold up other work.
    """

    def __init__(self, threads: int = 16) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="resolve")

    async def __call__(self, host: str) -> Sequence[str]:
        ask = partial(socket.getaddrinfo, host, None, type=socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._pool, ask)
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


class _Guard(AbstractResolver):
    """What aiohttp asks for addresses: it answers with judged ones or refuses the whole name."""

    def __init__(self, policy: Policy, resolve: Resolve) -> None:
        self._policy = policy
        self._resolve = resolve

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        addresses = [ip_address(answer) for answer in await self._resolve(host)]
        if not addresses:
            raise OSError("the name has no address")
        if not all(map(self._policy.permits, addresses)):
            raise internal()
        return [self._result(host, port, address) for address in addresses]

    @staticmethod
    def _result(host: str, port: int, address: Address) -> ResolveResult:
        return ResolveResult(
            hostname=host,
            host=str(address),
            port=port,
            family=socket.AF_INET6 if address.version == 6 else socket.AF_INET,
            proto=0,
            flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
        )

    def socket(self, info: aiohttp.AddrInfoType) -> socket.socket:
        """The socket for an address about to be dialled; a literal in a URL comes here without having been resolved."""
        family, kind, protocol, _, place = info
        if not self._policy.permits(ip_address(place[0])):
            raise PermissionError("a forbidden address was about to be dialled")
        return socket.socket(family, kind, protocol)

    async def close(self) -> None:
        """Nothing is held here."""


class Outbound:
    """Fetches and posts where a policy allows. Cookies, proxies and credentials of the environment are not used.

    ``connect_timeout`` bounds the lookup, the dial and the TLS handshake of one hop, in seconds. ``monotonic`` counts
    seconds. How many transfers run at once is the caller's business.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        resolver: Resolve | None = None,
        connect_timeout: float = 10.0,
        agent: str = "tessera",
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy = policy
        self._system = None if resolver else SystemResolver()
        self._resolve = resolver or self._system
        self._connect_timeout = connect_timeout
        self._agent = agent
        self._monotonic = monotonic
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def close(self) -> None:
        """Let go of every connection. Safe to repeat."""
        self._closed = True
        if self._session is not None:
            await self._session.close()
        if self._system is not None:
            self._system.close()

    def check(self, url: str) -> None:
        """Judge the text of a URL, as ``vet`` does. Raises Refused."""
        vet(url, self._policy)

    async def download(
        self, url: str, dest: Path, *, max_bytes: int, timeout: float, headers: Mapping[str, str] = _NO_HEADERS
    ) -> Download:
        """Fetch a file to ``dest``, of at most ``max_bytes``, within ``timeout`` seconds for everything together.

        ``headers`` go to the origin of ``url`` only: a redirect to another origin leaves them behind. An existing file
        is overwritten; after a failure no file is left. Raises Refused, Unreachable, TimedOut, TooLarge or BadStatus,
        and OSError where the disk refuses.
        """
        start = vet(url, self._policy)
        async with _border(timeout):
            response = await self._follow(start, headers)
            try:
                _acceptable(response, max_bytes)
                size, digest = await _receive(response, dest, max_bytes)
            finally:
                response.close()
        media_type = _media_type(response)
        return Download(size=size, sha256=digest, media_type=media_type, final_url=str(response.url))

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], *, timeout: float) -> Reply:
        """Post a body and answer what came back, whatever its status, within ``timeout`` seconds.

        Redirects are not followed. The status is the answer: a body that is late or broken only shortens the excerpt.
        Raises Refused, Unreachable or TimedOut.
        """
        target = vet(url, self._policy)
        began = self._monotonic()
        async with _border(timeout):
            response = await self._open().post(target, data=body, headers=headers, allow_redirects=False)
        try:
            excerpt = await _excerpt(response, timeout - (self._monotonic() - began))
        finally:
            response.close()
        return Reply(status=response.status, excerpt=excerpt, seconds=self._monotonic() - began)

    async def _follow(self, url: URL, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        """The first answer that is no redirect."""
        for _ in range(self._policy.max_redirects + 1):
            response = await self._open().get(url, headers=headers, allow_redirects=False)
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or location is None:
                return response
            response.close()
            following = onward(url, location, self._policy)
            if following.origin() != url.origin():
                headers = _NO_HEADERS
            url = following
        raise Refused("redirect", f"The URL leads through more than {self._policy.max_redirects} redirects.")

    def _open(self) -> aiohttp.ClientSession:
        if self._closed:
            raise RuntimeError("this client is closed")
        if self._session is None:
            self._session = self._make()
        return self._session

    def _make(self) -> aiohttp.ClientSession:
        assert self._resolve is not None
        guard = _Guard(self._policy, self._resolve)
        connector = aiohttp.TCPConnector(
            resolver=guard, socket_factory=guard.socket, use_dns_cache=False, force_close=True, limit=0
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            # A few bytes can decompress into gigabytes; we ask for plain bodies and read nothing else.
            auto_decompress=False,
            headers={"User-Agent": self._agent, "Accept-Encoding": "identity"},
            timeout=aiohttp.ClientTimeout(total=None, connect=self._connect_timeout),
        )


@asynccontextmanager
async def _border(seconds: float) -> AsyncIterator[None]:
    """The one place where foreign errors become ours, and where the time is up."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise TimedOut("The server took too long.") from error
    except aiohttp.ClientError as error:
        raise Unreachable(_why(error)) from error


def _why(error: aiohttp.ClientError) -> str:
    """A sentence without addresses; aiohttp's own text has them."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return "The host name could not be resolved."
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError():
            return "No secure connection: TLS failed or the certificate is not valid for this host."
        case aiohttp.ClientConnectorError():
            return "The server could not be reached."
        case aiohttp.ClientPayloadError():
            return "The answer ended before it was complete."
        case aiohttp.ClientResponseError():
            return "The answer is not valid HTTP."
        case _:
            return "The connection was lost."


def _acceptable(response: aiohttp.ClientResponse, max_bytes: int) -> None:
    if not 200 <= response.status < 300:
        raise BadStatus(response.status)
    encodings = ",".join(response.headers.getall("Content-Encoding", ())).lower().split(",")
    if any(encoding.strip() not in {"", "identity"} for encoding in encodings):
        raise Refused("encoding", "The server compressed the file although plain bytes were asked for.")
    if (response.content_length or 0) > max_bytes:
        raise TooLarge(max_bytes)


def _media_type(response: aiohttp.ClientResponse) -> str | None:
    declared = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return declared if _MEDIA_TYPE.fullmatch(declared) else None


async def _excerpt(response: aiohttp.ClientResponse, seconds: float) -> str:
    held = bytearray()
    try:
        async with asyncio.timeout(max(seconds, 0)):
            async for piece in response.content.iter_any():
                held += piece
                if len(held) >= EXCERPT:
                    break
    except (TimeoutError, aiohttp.ClientError):
        pass  # the status has come, and that is the answer
    # A database column of text takes any character but NUL.
    return held[:EXCERPT].decode(errors="replace").replace("\x00", "\ufffd")


async def _receive(response: aiohttp.ClientResponse, dest: Path, limit: int) -> tuple[int, str]:
    """Stream the body to a file. Answers its size and SHA-256; leaves nothing behind when it fails."""
    sink = _Sink(dest, limit)
    try:
        await _aside(sink.open)
        async for piece in response.content.iter_any():
            if sink.take(piece):
                await _aside(sink.flush)
        await _aside(sink.close)
    except BaseException:
        await _aside(sink.discard)
        raise
    return sink.size, sink.digest.hexdigest()


class _Sink:
    """A file that is counted, capped and hashed while it grows. All but ``take`` may block, and runs in a thread."""

    def __init__(self, path: Path, limit: int) -> None:
        self.size = 0
        self.digest = hashlib.sha256()
        self._path = path
        self._limit = limit
        self._held = bytearray()
        self._file: BinaryIO | None = None

    def take(self, piece: bytes) -> bool:
        """Hold a piece; True when it is time to flush. Raises TooLarge."""
        self.size += len(piece)
        if self.size > self._limit:
            raise TooLarge(self._limit)
        self._held += piece
        return len(self._held) >= _BLOCK

    def open(self) -> None:
        self._file = self._path.open("wb")

    def flush(self) -> None:
        assert self._file is not None
        self.digest.update(self._held)
        self._file.write(self._held)
        self._held = bytearray()

    def close(self) -> None:
        assert self._file is not None
        self.flush()
        self._file.close()

    def discard(self) -> None:
        if self._file is not None:
            self._file.close()
            self._path.unlink(missing_ok=True)


async def _aside(work: Callable[[], None]) -> None:
    """Run blocking work in a thread. A cancellation waits for it: nobody may touch the file while a thread writes."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.gather(running, return_exceptions=True)
        raise
