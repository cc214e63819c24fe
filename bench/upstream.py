"""A provider that takes its time, a process of its own: ``python -m bench.upstream PORT SECONDS AGAIN``.

    POST /jobs          takes a job; it is ready after SECONDS
    GET  /jobs/ID       how far it is; it wants to be asked again after AGAIN seconds
    GET  /files/ID.png  a small picture

It notes how late each question comes: the time between the moment at which a job wanted to be asked again, and the
question's arrival. ``GET /book`` shows what it has done, ``GET /late/N`` how late the questions were from the N-th on,
``GET /healthz`` that it runs. A raw protocol on uvloop, because it shares the machine with what is measured.
"""

import asyncio
import sys
import time
from dataclasses import dataclass, field
from typing import cast

import msgspec
import uvloop

from bench.load import HOST
from tessera.providers.fake import png


class Lateness(msgspec.Struct, frozen=True, kw_only=True):
    """Of ``count`` questions, in seconds."""

    count: int
    p50: float
    p99: float
    worst: float


class Book(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs taken, questions asked again, files handed out."""

    accepted: int
    asked: int
    fetched: int


@dataclass(slots=True)
class Job:
    """``ready`` and ``due`` (when it wants to be asked again) are moments of the monotonic clock."""

    began: float
    ready: float
    due: float


@dataclass(slots=True)
class Service:
    seconds: float
    again: float
    picture: bytes = field(default_factory=png)
    jobs: list[Job] = field(default_factory=list)
    fetched: int = 0
    late: list[float] = field(default_factory=list)

    def answer(self, method: str, path: str) -> tuple[bytes, bytes]:
        """Media type and body."""
        now = time.monotonic()
        if method == "POST":
            self.jobs.append(Job(now, now + self.seconds, 0.0))
            return _json({"id": str(len(self.jobs) - 1)})
        _, place, *rest = path.split("/")
        match place:
            case "jobs":
                return _json(self._ask(self.jobs[int(rest[0])], now))
            case "files":
                self.fetched += 1
                return b"image/png", self.picture
            case "book":
                return _json(Book(accepted=len(self.jobs), asked=len(self.late), fetched=self.fetched))
            case "late":
                return _json(_lateness(self.late[int(rest[0]) :]))
            case _:
                return _json({})

    def _ask(self, job: Job, now: float) -> dict[str, object]:
        if job.due:
            self.late.append(max(0.0, now - job.due))
        if now >= job.ready:
            job.due = 0.0
            return {"done": True}
        job.due = now + self.again
        return {"done": False, "progress": (now - job.began) / self.seconds, "again": self.again}


def _lateness(late: list[float]) -> Lateness:
    ordered = sorted(late) or [0.0]
    return Lateness(
        count=len(late), p50=ordered[len(ordered) // 2], p99=ordered[len(ordered) * 99 // 100], worst=ordered[-1]
    )


def _json(value: object) -> tuple[bytes, bytes]:
    return b"application/json", msgspec.json.encode(value)


class Wire(asyncio.Protocol):
    """One connection, one request on its way at a time."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._rest = b""
        self._transport = cast("asyncio.Transport", None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        head, found, body = data.partition(b"\r\n\r\n")
        if not found or len(body) < _length(head):
            self._rest = data
            return
        self._rest = b""
        method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        media_type, content = self._service.answer(method, path)
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (media_type, len(content), content)
        )


def _length(head: bytes) -> int:
    found = head.lower().partition(b"content-length:")[2]
    return int(found.split(b"\r\n", 1)[0]) if found else 0


async def serve(port: int, service: Service) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Wire(service), HOST, port, backlog=2048)
    await server.serve_forever()


def main() -> None:
    port, seconds, again = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    uvloop.run(serve(port, Service(seconds, again)))


if __name__ == "__main__":
    main()
