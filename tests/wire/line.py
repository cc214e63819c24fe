"""A bare connection, for what no HTTP library would send."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

PATIENCE = 10.0


@dataclass(frozen=True, slots=True)
class Reply:
    """``headers`` have lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Line:
    """What is sent is sent as it is; ``answer`` reads one answer after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> bool:
        """False when the other side has hung up."""
        try:
            self._writer.write(data)
            async with asyncio.timeout(PATIENCE):
                await self._writer.drain()
        except ConnectionError:
            return False
        return not self._writer.is_closing()

    async def answer(self) -> Reply:
        """Raises TimeoutError where there is none, and IncompleteReadError where it is cut off."""
        async with asyncio.timeout(PATIENCE):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            status = int(head[0].split(" ")[1])
            pairs = (line.partition(":")[::2] for line in head[1:] if line)
            headers = {name.strip().lower(): value.strip() for name, value in pairs}
            body = await self._reader.readexactly(int(headers.get("content-length", "0")))
        return Reply(status, headers, body)

    async def hung_up(self) -> bool:
        """Whether the other side ends the connection, and says no more."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._reader.read() == b""
        except ConnectionResetError:
            return True

    def end(self) -> None:
        """Say that no more will be sent."""
        self._writer.write_eof()


@asynccontextmanager
async def line(base_url: str) -> AsyncIterator[Line]:
    parts = urlsplit(base_url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        yield Line(reader, writer)
    finally:
        writer.transport.abort()


def head(method: str, path: str, key: str | None, *lines: str) -> bytes:
    """A request line and headers, as bytes; ``lines`` are further headers."""
    shown = [f"Authorization: Bearer {key}"] if key else []
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: gateway.test", *shown, *lines, "", ""]).encode("latin-1")
