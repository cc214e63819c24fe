"""A closed-loop HTTP/1.1 load generator, a process of its own: ``python -m bench.load`` with a Plan on standard input.

Raw protocols on uvloop, because a client library would be what is measured. Each connection sends its next request as
soon as the answer to the last one is there. Every answer is checked: HTTP 200, and ``"code":200`` in its body.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any, cast

import msgspec
import uvloop

HOST = "127.0.0.1"
ROOT = Path(__file__).parent.parent
EXPECTED = b'"code":200'


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """``requests`` are sent in turn, whole and ready. The run ends after ``seconds`` or ``count`` answers."""

    port: int
    requests: list[bytes]
    connections: int = 32
    seconds: float = 3.0
    count: int = 1_000_000


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """``rate`` in requests a second; times in milliseconds; ``complaint`` is the first answer that was not right."""

    answers: int
    failures: int
    complaint: str
    rate: float
    p50: float
    p90: float
    p99: float
    worst: float


def post(path: str, body: bytes, key: str = "") -> bytes:
    """A whole POST of JSON."""
    return _head("POST", path, key) + b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body


def get(path: str, key: str = "") -> bytes:
    """A whole GET."""
    return _head("GET", path, key) + b"\r\n"


def _head(method: str, path: str, key: str) -> bytes:
    bearer = f"authorization: Bearer {key}\r\n" if key else ""
    return f"{method} {path} HTTP/1.1\r\nhost: {HOST}\r\n{bearer}".encode()


def drive(plan: Plan) -> Outcome:
    """Run a plan in a fresh process. Raises RuntimeError when an answer was not right."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.load"],
        input=msgspec.json.encode(plan),
        stdout=subprocess.PIPE,
        cwd=ROOT,
        check=True,
        timeout=plan.seconds + 60,
    )
    outcome = msgspec.json.decode(done.stdout, type=Outcome)
    if outcome.failures or not outcome.answers:
        raise RuntimeError(f"{outcome.failures} of {outcome.answers} answers were not right: {outcome.complaint}")
    return outcome


class Tally:
    """What all connections share: the next request, the clock, and what came back."""

    def __init__(self, plan: Plan) -> None:
        self.requests: Iterator[bytes] = cycle(plan.requests)
        self.left = plan.count
        self.deadline = time.perf_counter() + plan.seconds
        self.took: list[float] = []
        self.failures = 0
        self.complaint = ""

    def wrong(self, answer: bytes) -> None:
        self.failures += 1
        self.complaint = self.complaint or answer[:400].decode(errors="replace")

    def outcome(self, seconds: float) -> Outcome:
        took = sorted(self.took) or [0.0]
        return Outcome(
            answers=len(self.took),
            failures=self.failures,
            complaint=self.complaint,
            rate=len(self.took) / seconds,
            p50=1000 * took[len(took) // 2],
            p90=1000 * took[len(took) * 90 // 100],
            p99=1000 * took[len(took) * 99 // 100],
            worst=1000 * took[-1],
        )


class Caller(asyncio.Protocol):
    """One connection: one request on its way at a time."""

    def __init__(self, tally: Tally, done: "asyncio.Future[None]") -> None:
        self._tally = tally
        self._done = done
        self._rest = b""
        self._sent = 0.0
        self._transport = cast("asyncio.Transport", None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._send(time.perf_counter())

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        size = _size(data)
        if size < 0 or len(data) < size:
            self._rest = data
            return
        self._rest = b""
        now = time.perf_counter()
        tally = self._tally
        tally.took.append(now - self._sent)
        if not data.startswith(b"HTTP/1.1 200 ") or EXPECTED not in data or len(data) != size:
            tally.wrong(data)
        self._send(now)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._tally.wrong(f"the connection was lost: {exc}".encode())
            self._done.set_result(None)

    def _send(self, now: float) -> None:
        tally = self._tally
        if now >= tally.deadline or tally.left <= 0:
            self._done.set_result(None)
            self._transport.close()
            return
        tally.left -= 1
        self._sent = now
        self._transport.write(next(tally.requests))


def _size(data: bytes) -> int:
    """How many bytes the answer at the head of ``data`` has; -1 while that is not known."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return -1
    at = data.find(b"content-length: ")
    if not 0 <= at < end:
        raise ValueError(f"no content-length in {data[:200]!r}")
    return end + 4 + int(data[at + 16 : data.index(b"\r", at)])


async def run(plan: Plan) -> Outcome:
    loop = asyncio.get_running_loop()
    tally = Tally(plan)
    began = time.perf_counter()
    waits: list[asyncio.Future[None]] = []
    for _ in range(plan.connections):
        done: asyncio.Future[None] = loop.create_future()
        waits.append(done)
        await loop.create_connection(lambda done=done: Caller(tally, done), HOST, plan.port)  # type: ignore[misc]
    await asyncio.gather(*waits)
    return tally.outcome(time.perf_counter() - began)


def main() -> None:
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    outcome: Any = uvloop.run(run(plan))
    sys.stdout.buffer.write(msgspec.json.encode(outcome))


if __name__ == "__main__":
    main()
