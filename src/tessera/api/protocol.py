"""HTTP/1.1 as uvicorn speaks it, with a cap on the head of a request, and refusals in our own form.

What comes here is no request yet: there is no path that could tell which form of answer its sender knows.
"""

import asyncio

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from tessera.api.transport import Together
from tessera.contract.envelope import JSON, refusal

HEAD_CAP = 64 * 1024
"""Bytes of a request line and its headers; other servers take 8 to 64 KiB. The parser itself has no limit."""


class Protocol(HttpToolsProtocol):
    """Given to uvicorn as ``http=Protocol``."""

    _in_head = False
    _head = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(Together(transport))

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head and not self.transport.is_closing():
            self._head += len(data)
            if self._head > HEAD_CAP:
                self._refuse(431, f"The headers of the request are larger than {HEAD_CAP} bytes")

    def on_message_begin(self) -> None:
        self._in_head, self._head = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
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
