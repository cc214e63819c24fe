"""A client for endpoints that an operator set up: one POST, and its answer as it comes.

The address is the operator's own and may lie in a private network; addresses of strangers are for ``outbound``. No
redirect is followed, nothing is sent twice, and no cookie, proxy or credential of the environment is used.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

import aiohttp

CONNECT = 10.0
"""Seconds for the lookup, the dial and the TLS handshake."""

IDLE = 4.0
"""Seconds that a connection is kept for the next call: shorter than servers keep theirs."""


class StreamError(Exception):
    """No whole answer. The message names no address and no header."""


class Unsent(StreamError):
    """No connection was made: surely nothing was asked."""


class Broken(StreamError):
    """The connection was lost after the question had left, or while the answer came."""


@dataclass(slots=True)
class Answer:
    """``chunks`` are the bytes as they arrive; whoever stops reading calls ``close``, which hangs up."""

    status: int
    headers: Mapping[str, str]
    _response: aiohttp.ClientResponse = field(repr=False)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Raises Broken where the answer ends before it is complete."""
        try:
            async for piece in self._response.content.iter_any():
                yield piece
        except (aiohttp.ClientError, OSError) as error:
            raise Broken("The connection was lost while the answer came.") from error

    async def read(self, limit: int) -> bytes:
        """The whole answer. Raises Broken, also where it is larger than ``limit`` bytes."""
        held = bytearray()
        async for piece in self.chunks():
            held += piece
            if len(held) > limit:
                raise Broken(f"The answer is larger than {limit:,} bytes.")
        return bytes(held)

    def close(self) -> None:
        """Hang up. A connection whose answer was read to its end is kept for the next call."""
        self._response.close()


class Client:
    """Sends questions. ``connect`` bounds how long a connection may take; how long an answer may is the caller's
    business, who cancels."""

    def __init__(self, *, connect: float = CONNECT, agent: str = "tessera") -> None:
        self._connect = connect
        self._agent = agent
        self._session: aiohttp.ClientSession | None = None

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send it once; answers as soon as the head of the answer is there. Raises Unsent or Broken."""
        try:
            response = await self._open().post(url, data=body, headers=headers, allow_redirects=False)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL) as error:
            raise Unsent("The server could not be reached.") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Broken("The connection was lost before an answer came.") from error
        return Answer(response.status, response.headers, response)

    async def close(self) -> None:
        """Let go of every connection. Safe to repeat."""
        if self._session is not None:
            await self._session.close()
            # The transports of TLS connections are closed by the loop a turn later.
            await asyncio.sleep(0)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                headers={"User-Agent": self._agent, "Accept-Encoding": "identity"},
                timeout=aiohttp.ClientTimeout(total=None, connect=self._connect),
            )
        return self._session
