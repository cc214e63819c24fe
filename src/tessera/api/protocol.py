"""HTTP/1.1 as uvicorn speaks it, with bounds, and refusals in our own form.

Bounded are the head of a request and its time, the connections that are open at once, and the patience with whoever
asks for something and does not take it. (The body has its bounds in ``http``, where it is read.)

What comes here is no request yet: there is no path that could tell which form of answer its sender knows.
"""

import asyncio
from dataclasses import dataclass

import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from tessera.api.transport import Together
from tessera.contract.envelope import JSON, refusal

HEAD_CAP = 64 * 1024
"""Bytes of a request line and its headers; other servers take 8 to 64 KiB. The parser itself has no limit."""

HEAD_SECONDS = 30.0
"""Until then the head of a request has come, counted from the connection or from the first byte of a later request."""


TAKE_RATE = 4096
"""Bytes a second that whoever asked for something has to take of it."""

FULL_SECONDS = 1.0
"""How long the one who is told that all connections are taken has to read it."""

FULL = 550
"""The code of a refusal because there is no room; its HTTP status is 503."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """``connections`` at once; ``stalled`` is how many seconds a reader may take next to nothing of an answer."""

    connections: int = 2000
    stalled: float = 30.0

    @property
    def all(self) -> int:
        """With those that are only told that there is no room. Beyond, nobody is told anything."""
        return self.connections + max(10, self.connections // 10)


class Protocol(HttpToolsProtocol):
    """Given to uvicorn as ``http=bounded(...)``."""

    _in_head = False
    _head = 0
    _patience: asyncio.TimerHandle | None = None
    _stall: asyncio.TimerHandle | None = None
    _turned_away = False
    _bounds = Bounds()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(Together(transport))
        if len(self.connections) > self._bounds.connections:
            self._turn_away()
        else:
            self._wait()

    def _turn_away(self) -> None:
        """Say that there is no room, and let it be read: closed on bytes that nobody read, it would be lost."""
        self._turned_away = True
        if len(self.connections) == self._bounds.connections + 1:  # not one line for each: there may be very many
            log.warning("all connections are taken", limit=self._bounds.connections)
        if len(self.connections) > self._bounds.all:
            self.transport.abort()
            return
        text = "The server has no free connection; please try again"
        self.transport.write(_refusal(503, FULL, text, "retry-after: 1"))
        self.transport.write_eof()
        self._patience = self.loop.call_later(FULL_SECONDS, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._came()
        self._unstall()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """More is to be sent than the other side takes: from now on it is watched how much that is."""
        super().pause_writing()
        self._unstall()
        self._watch()

    def resume_writing(self) -> None:
        self._unstall()
        super().resume_writing()

    def _watch(self) -> None:
        left = self.transport.get_write_buffer_size()
        self._stall = self.loop.call_later(self._bounds.stalled, self._judge, left)

    def _judge(self, before: int) -> None:
        """Hang up on a reader who has taken too little since. Nothing is added to the buffer while it is so full."""
        if before - self.transport.get_write_buffer_size() >= TAKE_RATE * self._bounds.stalled:
            self._watch()
        else:
            log.info("reader stalled", left=before)
            self.transport.abort()

    def _unstall(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def data_received(self, data: bytes) -> None:
        if self._turned_away:
            return
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._in_head:
            self._head += len(data)
            if self._head > HEAD_CAP:
                self._refuse(431, f"The headers of the request are larger than {HEAD_CAP} bytes")
        if self._in_head or self.cycle is None or self.cycle.response_complete:
            self._wait()

    def _wait(self) -> None:
        """Begin to wait for the end of a head. One that comes byte by byte does not start the time anew."""
        if self._patience is None:
            self._patience = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def _came(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _too_slow(self) -> None:
        if self.transport.is_closing():
            return
        if self._in_head:
            self._refuse(408, "The request did not come in time")
        else:
            # Nobody asked: an answer would be taken for the one to the next request.
            self.transport.close()

    def on_message_begin(self) -> None:
        self._in_head, self._head = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._came()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """uvicorn's own answer to what is no HTTP, in our words."""
        self._refuse(400, "The request is not valid HTTP")

    def _refuse(self, status: int, text: str) -> None:
        self.transport.write(_refusal(status, 400, text))
        self.transport.close()


def bounded(bounds: Bounds) -> type[Protocol]:
    """The protocol within these bounds: uvicorn takes a class, and makes one object for each connection."""
    return type("Protocol", (Protocol,), {"_bounds": bounds})


def _refusal(status: int, code: int, text: str, *headers: str) -> bytes:
    body = refusal(code, text)
    lines = [f"content-type: {JSON}", f"content-length: {len(body)}", "x-content-type-options: nosniff", *headers]
    head = "\r\n".join([*lines, "connection: close", "", ""])
    return STATUS_LINE[status] + head.encode() + body
