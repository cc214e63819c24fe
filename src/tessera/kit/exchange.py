"""One question to a service that the operator chose, and its whole answer.

Every question has a connection of its own: one that the other side had closed meanwhile would look like a lost answer.
A POST is sent once; after a hang-up without an answer aiohttp sends a GET, which changes nothing, once more. Redirects
are not followed. Cookies, proxies and credentials of the environment are not used. URLs of strangers are not for this
client: see ``outbound``.

ExchangeError
├── Unsent      nothing left this machine: asking again is safe
└── Unanswered  it was sent, in part or whole, and no whole answer came back
"""

import asyncio
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Literal

import aiohttp

CONNECT = 10.0
"""Seconds for the lookup, the dial and the handshake."""

LIMIT = 8 << 20
"""Bytes of an answer that are read."""


class ExchangeError(Exception):
    """The root of the tree. ``cause`` names the class of the error behind it, and nothing else of it."""

    def __init__(self, message: str, cause: BaseException | None = None) -> None:
        super().__init__(message)
        self.cause = type(cause).__name__ if cause else ""


class Unsent(ExchangeError):
    """The service could not be reached."""


class Unanswered(ExchangeError):
    """No whole answer came back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """``headers`` have lower-case names."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """The body as JSON; None where it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


class Exchange:
    """Asks within ``timeout`` seconds, from the lookup to the last byte of the answer."""

    def __init__(self, *, timeout: float, connect: float = CONNECT, agent: str = "tessera") -> None:
        self._timeout = timeout
        self._connect = connect
        self._agent = agent
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def ask(
        self, method: Literal["GET", "POST"], url: str, *, headers: Mapping[str, str], body: bytes | Path | None = None
    ) -> Reply:
        """Ask. ``body`` is bytes, or the file that holds them. Raises Unsent or Unanswered, and OSError for a file
        that cannot be opened."""
        if not isinstance(body, Path):
            return await self._ask(method, url, headers, body)
        file = await asyncio.to_thread(body.open, "rb")
        try:
            return await self._ask(method, url, headers, file)
        finally:
            file.close()

    async def _ask(self, method: str, url: str, headers: Mapping[str, str], data: Any) -> Reply:
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._open().request(method, url, headers=headers, data=data, allow_redirects=False) as response,
            ):
                return await _read(response)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL) as error:
            raise Unsent("The service could not be reached.", error) from error
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise Unanswered("The service was asked, and no whole answer came back.", error) from error

    async def close(self) -> None:
        """Let go of every connection. Safe to repeat."""
        self._closed = True
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._closed:
            raise RuntimeError("this client is closed")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, force_close=True),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                headers={"User-Agent": self._agent},
                timeout=aiohttp.ClientTimeout(total=None, connect=self._connect),
            )
        return self._session


async def _read(response: aiohttp.ClientResponse) -> Reply:
    held = bytearray()
    async for piece in response.content.iter_any():
        held += piece
        if len(held) > LIMIT:
            raise Unanswered(f"The answer has more than {LIMIT:,} bytes.")
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Reply(status=response.status, headers=headers, body=bytes(held))


def retry_after(value: str | None, now: datetime) -> timedelta | None:
    """A Retry-After header, seconds or a date, as a time from now; between nothing and a day. None where it is none."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - now).total_seconds()
        except (ValueError, TypeError):  # TypeError: a date without a zone
            return None
    return timedelta(seconds=min(max(seconds, 0.0), 86_400.0)) if math.isfinite(seconds) else None
