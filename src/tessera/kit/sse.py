"""Server-sent events, taken apart without changing a byte of them."""

import re
from dataclasses import dataclass, field

# The end of an event: two line ends in a row, each of which may be CRLF, LF or CR.
_END = re.compile(rb"\r\n\r\n|\n\n|\r\r|\n\r\n|\r\n\n")
_LINE = re.compile(rb"\r\n|\n|\r")

MOST = 16_000_000
"""Bytes of the largest event."""


class TooLong(ValueError):
    """An event is larger than ``MOST`` bytes."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event: ``raw`` as it came, its end included; ``name`` and ``data`` as the rules of the format read them."""

    raw: bytes = field(repr=False)
    name: str
    data: bytes


class Splitter:
    """Gives the events that are whole by now. ``rest`` is what has come of one that is not."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, piece: bytes) -> list[Event]:
        """The events that this piece completes. Raises TooLong."""
        # An end may have begun with the last bytes before this piece.
        start = max(0, len(self._held) - 3)
        self._held += piece
        begin, events = 0, []
        while found := _END.search(self._held, max(start, begin)):
            events.append(parse(bytes(self._held[begin : found.end()])))
            begin = found.end()
        del self._held[:begin]
        if len(self._held) > MOST:
            raise TooLong(f"An event is larger than {MOST:,} bytes")
        return events

    @property
    def rest(self) -> bytes:
        return bytes(self._held)


def parse(raw: bytes) -> Event:
    """One event out of its lines."""
    name, data = "", []
    for line in _LINE.split(raw):
        key, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if key == b"event":
            name = value.decode(errors="replace")
        elif key == b"data":
            data.append(value)
    return Event(raw, name, b"\n".join(data))


def render(data: bytes, name: str = "") -> bytes:
    """An event of one line of data."""
    head = f"event: {name}\n".encode() if name else b""
    return head + b"data: " + data + b"\n\n"
