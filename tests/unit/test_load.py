"""The load generator of the benchmark: a wrong answer is never counted as a fast one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from bench.load import Plan, get, post, run

GOOD = b'{"code":200}'
Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


def whole(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


async def steady(writer: asyncio.StreamWriter) -> None:
    writer.write(whole(GOOD))


async def in_pieces(writer: asyncio.StreamWriter) -> None:
    for byte in whole(GOOD):
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0)


async def refusing(writer: asyncio.StreamWriter) -> None:
    writer.write(whole(b'{"code":402}'))


async def failing(writer: asyncio.StreamWriter) -> None:
    writer.write(whole(GOOD, "500 Internal Server Error"))


async def talkative(writer: asyncio.StreamWriter) -> None:
    writer.write(whole(GOOD) + b"and more")


async def hanging_up(writer: asyncio.StreamWriter) -> None:
    writer.close()


@asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that answers every request so; its port, and the request lines as they come."""
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                seen.append(head.split(b"\r\n")[0])
                await answer(writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], seen


@pytest.mark.parametrize("answer", [steady, in_pieces])
async def test_good_answers_are_counted_and_requests_taken_in_turn(answer: Answer) -> None:
    async with answering(answer) as (port, seen):
        requests = [get("/one"), get("/two")]
        outcome = await run(Plan(port=port, requests=requests, connections=1, seconds=30, count=5))
    assert (outcome.answers, outcome.failures) == (5, 0)
    assert 0 < outcome.p50 <= outcome.p99 <= outcome.worst
    assert [line.split()[1] for line in seen] == [b"/one", b"/two", b"/one", b"/two", b"/one"]


@pytest.mark.parametrize("answer", [refusing, failing, talkative, hanging_up])
async def test_an_answer_that_is_not_right_is_a_failure(answer: Answer) -> None:
    async with answering(answer) as (port, _):
        outcome = await run(Plan(port=port, requests=[get("/")], connections=2, seconds=30, count=4))
    assert outcome.failures > 0
    assert outcome.complaint


async def test_a_run_ends_at_its_time() -> None:
    async with answering(steady) as (port, _):
        outcome = await run(Plan(port=port, requests=[get("/")], connections=3, seconds=0.2))
    assert outcome.answers > 0
    assert outcome.failures == 0


def test_a_request_is_whole() -> None:
    assert post("/x", b"{}", "key") == (
        b"POST /x HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer key\r\n"
        b"content-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
    )
