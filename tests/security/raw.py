"""Requests as no client library would send them, byte for byte, and the head of the answer as it came."""

import asyncio
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Raw:
    """``head`` is the status line and the headers as bytes, ``body`` what followed until the connection closed."""

    head: bytes
    body: bytes

    @property
    def status(self) -> int:
        return int(self.head.split(b" ", 2)[1])

    @property
    def headers(self) -> list[tuple[str, str]]:
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        return [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines if line)]


async def send(base_url: str, data: bytes, *, seconds: float = 10.0) -> list[Raw]:
    """Send these bytes and read until the server closes; every answer that came, in order."""
    place = urlsplit(base_url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    try:
        writer.write(data)
        await writer.drain()
        async with asyncio.timeout(seconds):
            return answers(await reader.read())
    finally:
        writer.close()


async def get(base_url: str, target: str, *headers: str) -> Raw:
    """One GET of a target that is sent as it stands."""
    host = urlsplit(base_url).netloc
    lines = [f"GET {target} HTTP/1.1", f"Host: {host}", "Connection: close", *headers, "", ""]
    (answer,) = await send(base_url, "\r\n".join(lines).encode("latin-1"))
    return answer


def answers(data: bytes) -> list[Raw]:
    found = []
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        size = int(lengths[0]) if lengths else len(data)
        found.append(Raw(head, data[:size]))
        data = data[size:]
    return found
