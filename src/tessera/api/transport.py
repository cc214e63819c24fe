"""A connection on which the head of an answer waits for its body, so that both leave together.

uvicorn writes them one after the other, and each write is a system call and a packet of its own. For a short answer
that is a good part of all its cost, on both sides.
"""

import asyncio
from typing import Any

HEAD = b"HTTP/1."


class Together(asyncio.Transport):
    """Stands before the real transport. A head waits for the next write, never longer than a turn of the loop."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport = transport
        self._soon = asyncio.get_running_loop().call_soon
        self._head = b""
        self.is_closing = transport.is_closing  # type: ignore[method-assign]
        self.get_extra_info = transport.get_extra_info  # type: ignore[method-assign]
        self.pause_reading = transport.pause_reading  # type: ignore[method-assign]
        self.resume_reading = transport.resume_reading  # type: ignore[method-assign]
        self.get_write_buffer_size = transport.get_write_buffer_size  # type: ignore[method-assign]

    def write(self, data: Any) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._transport.writelines((head, data))
        elif data.startswith(HEAD):
            self._head = data
            self._soon(self._flush)
        else:
            self._transport.write(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def write_eof(self) -> None:
        self._flush()
        self._transport.write_eof()

    def abort(self) -> None:
        """Close at once: what was not sent by now is thrown away."""
        self._head = b""
        self._transport.abort()

    def _flush(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)
