"""HTTP/1.1 as uvicorn speaks it, with a cap on the head of a request and on its time, and refusals in our own form.

What comes here is no request yet: there is no path that could tell which form of answer its sender knows.
"""

import asyncio

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from tessera.api.transport import Together
from tessera.contract.envelope import JSON, refusal

HEAD_CAP = 64 * 1024
"""Bytes of a request line and its headers; other servers take 8 to 64 KiB. The parser itself has no limit."""

HEAD_SECONDS = 30.0
"""Until then the head of a request has come, counted from the connection or from the first byte of a later request."""


class Protocol(HttpToolsProtocol):
    """Given to uvicorn as ``http=Protocol``."""

    _in_head = False
    _head = 0
    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(Together(transport))
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._came()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
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
        body = refusal(400, text)
        headers = (
            f"content-type: {JSON}\r\ncontent-length: {len(body)}\r\n"
            "x-content-type-options: nosniff\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(STATUS_LINE[status] + headers.encode() + body)
        self.transport.close()
