import asyncio
from collections.abc import Iterable

from tessera.api.transport import Together

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n"


class Wire(asyncio.Transport):
    """Notes what is written, one entry a system call."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent.append(bytes(data))

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.sent.append(b"".join(list_of_data))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


async def test_a_head_and_its_body_leave_in_one_write() -> None:
    wire = Wire()
    together = Together(wire)
    together.write(HEAD)
    together.write(b"body")
    assert wire.sent == [HEAD + b"body"]
    await asyncio.sleep(0)
    assert wire.sent == [HEAD + b"body"]


async def test_a_head_whose_body_is_late_leaves_in_the_same_turn() -> None:
    wire = Wire()
    together = Together(wire)
    together.write(HEAD)
    assert wire.sent == []
    await asyncio.sleep(0)
    assert wire.sent == [HEAD]
    together.write(b"body")
    assert wire.sent == [HEAD, b"body"]


async def test_chunks_of_a_body_never_wait() -> None:
    wire = Wire()
    together = Together(wire)
    together.write(b"one")
    together.write(b"two")
    assert wire.sent == [b"one", b"two"]


async def test_nothing_is_lost_when_the_connection_is_closed_behind_a_head() -> None:
    wire = Wire()
    together = Together(wire)
    together.write(HEAD)
    together.close()
    assert wire.sent == [HEAD]
    assert together.is_closing()


async def test_two_answers_one_after_the_other_keep_their_order() -> None:
    wire = Wire()
    together = Together(wire)
    for _ in range(2):
        together.write(HEAD)
        together.write(b"body")
    together.write(HEAD)
    together.write(HEAD)
    assert b"".join(wire.sent) == (HEAD + b"body") * 2 + HEAD * 2
