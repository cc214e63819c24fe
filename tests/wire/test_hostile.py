"""What nobody well-meaning sends. Each is refused clearly; nothing is lost, leaked, kept or charged."""

import asyncio
import base64
import json
import struct
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
import pytest_asyncio
from aiohttp import web
from tests.wire import promises
from tests.wire.conftest import OpenDesk, served
from tests.wire.desk import BASE64, BY_URL, COMMON, CREDIT, GENERATE, RECORD, STREAM, Answer, Desk
from tests.wire.line import Line, Reply, head, line
from yarl import URL

from tessera.api import http
from tessera.db import ledger
from tessera.providers.fake import Fake, png
from tessera.testing.databases import Databases
from tessera.testing.gateway import Gateway
from tessera.testing.servers import Answer as Scripted
from tessera.testing.servers import Host, Receiver, hosting, receiving
from tessera.testing.ticker import Ticker

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOAT = {"prompt": "A paper boat", "size": "1:1"}
BODY_CAP = 100_000
UPLOAD_CAP = 200_000
JSON_TYPE = "Content-Type: application/json"
BROKEN = "We couldn't process the provided image file (code=invalid_image_format)"
UNREACHABLE = "Unable to download image from the provided filesUrl"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def common(postgres: Databases, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Gateway, Fake]]:
    """A gateway with small caps, so that little has to be sent to pass them."""
    caps = {"body_max_bytes": BODY_CAP, "upload_max_bytes": UPLOAD_CAP, "base64_max_bytes": UPLOAD_CAP}
    async with served(postgres, tmp_path_factory.mktemp("wire"), **caps) as both:
        yield both
        # Whatever was tried here: the books are in order.
        assert await ledger.anomalies(both[0].house.database) == []


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait long for those who send on after their answer."""
    monkeypatch.setattr(http, "LINGER", 0.1)


@pytest_asyncio.fixture(loop_scope="module")
async def web_host() -> AsyncIterator[Host]:
    async with hosting() as host:
        yield host


@pytest_asyncio.fixture(loop_scope="module")
async def elsewhere() -> AsyncIterator[Receiver]:
    """A server that answers as it is told, redirects for instance."""
    async with receiving() as server:
        yield server


def envelope(reply: Reply) -> dict[str, Any]:
    assert reply.headers["content-type"] == "application/json;charset=UTF-8"
    assert reply.headers["x-content-type-options"] == "nosniff"
    promises.images().check_schema("ErrorEnvelope", reply.body)
    return dict(json.loads(reply.body))


# ---- JSON ----

DEEP = b"[" * 10_000 + b"]" * 10_000
BODIES = {
    "nothing": b"",
    "white space": b" \r\n\t",
    "cut off": b'{"prompt":"x","size":"1:',
    "something after it": b'{"prompt":"x","size":"1:1"}{}',
    "NaN": b'{"prompt":"x","size":"1:1","seed":NaN}',
    "Infinity": b'{"prompt":"x","size":"1:1","seed":Infinity}',
    "minus Infinity": b'{"prompt":"x","size":"1:1","seed":-Infinity}',
    "hexadecimal": b'{"prompt":"x","size":"1:1","seed":0x10}',
    "single quotes": b"{'prompt':'x','size':'1:1'}",
    "a comment": b'{"prompt":"x",/* */"size":"1:1"}',
    "a byte order mark": b'\xef\xbb\xbf{"prompt":"x","size":"1:1"}',
    "UTF-16": '{"prompt":"x","size":"1:1"}'.encode("utf-16"),
    "bytes that are no text": b'{"prompt":"\xc3\x28","size":"1:1"}',
    "bytes that are no text where nobody looks": b'{"prompt":"x","size":"1:1","more":"\xff"}',
    "a lone high surrogate": b'{"prompt":"\\ud83d","size":"1:1"}',
    "a lone low surrogate": b'{"prompt":"\\ude00","size":"1:1"}',
    "a surrogate where nobody looks": b'{"prompt":"x","size":"1:1","more":"\\ud83d"}',
    "a raw NUL": b'{"prompt":"a\x00b","size":"1:1"}',
    "a raw newline": b'{"prompt":"a\nb","size":"1:1"}',
    "depth": b'{"prompt":"x","size":"1:1","more":' + DEEP + b"}",
    "depth alone": DEEP,
    "depth without end": b'{"a":' * 15_000,
    "a surrogate for a name": b'{"\\udfff":1,"prompt":"x","size":"1:1"}',
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
async def test_what_is_no_json_is_refused(desk: Desk, body: bytes) -> None:
    async with desk.untouched():
        answer = await desk.raw(GENERATE, body)
    assert answer.status == 200
    assert answer.code == 400
    assert answer.msg.startswith(
        (
            "The request body is not valid JSON: ",
            "The request body is nested too deeply",
            "The request body must be a JSON object",
        )
    )
    assert len(answer.msg) < 200


async def test_a_body_just_short_of_too_deep_is_refused_or_kept_whole(desk: Desk) -> None:
    for depth in range(100, 3000, 100):
        body = b'{"prompt":"x","size":"1:1","more":' + b"[" * depth + b"]" * depth + b"}"
        answer = await desk.raw(GENERATE, body)
        if answer.code == 400:
            assert answer.msg == "The request body is nested too deeply"
            return
        assert answer.code == 200, depth
        assert (await desk.task(answer.data["taskId"])).params.encode() == body
    pytest.fail("there is no end to the depth")


WRONG_VALUES: dict[str, list[object]] = {
    "size": [None, 1, True, [], {}, "", "1:1 ", "1:1\0", "16:9", "a" * 10_000],
    "prompt": [1, 0.5, True, [], {}, ["x"], "\0", "x" * 5001],
    "filesUrl": ["http://a.test/x", 1, True, {}, [1], [None], [[]], [{}], ["x"], ["http://a.test/x"] * 6, ["\0"]],
    "fileUrl": [1, True, [], {}, "x", "http://", "http://a b/", "http://a.test/\r\nX: y", "http://a.test:99999/"],
    "maskUrl": [1, True, [], {}, "http://a.test/x"],
    "nVariants": [0, 3, -1, 1.5, 2**63, 2**200, "", "one", "1.0", " 1", True, [], {}, [1]],
    "callBackUrl": [1, True, [], {}, "x", "mailto:a@a.test", "http://[::1", "http://a.test:22/"],
    "isEnhance": [0, 1, "true", [], {}],
    "uploadCn": [0, 1, "false", [], {}],
    "enableFallback": [0, 1, "true", [], {}],
    "fallbackModel": [1, True, [], {}, "", "flux_max", "gpt-image-1"],
}


@pytest.mark.parametrize("field", WRONG_VALUES)
async def test_a_wrong_value_is_refused_by_the_name_of_its_field(desk: Desk, field: str) -> None:
    for value in WRONG_VALUES[field]:
        async with desk.untouched():
            answer = await desk.post(GENERATE, {**BOAT, field: value})
        assert (answer.status, answer.code) == (200, 422), value
        assert answer.msg.startswith(field), (value, answer.msg)
        assert "null" not in answer.msg
        assert len(answer.msg) < 200


@pytest.mark.parametrize("key", ["", "k" * 256, "k" * 5000])
async def test_a_key_to_replay_has_its_length(desk: Desk, key: str) -> None:
    async with desk.untouched():
        answer = await desk.post(GENERATE, BOAT, headers={"Idempotency-Key": key})
    assert answer.json == {"code": 422, "msg": "Idempotency-Key: 1 to 255 characters", "data": None}


# ---- sizes ----


async def test_a_name_as_large_as_a_body_may_be_is_too_large(desk: Desk) -> None:
    async with desk.untouched():
        answer = await desk.post(GENERATE, {**BOAT, "k" * BODY_CAP: 1})
    assert answer.json == {"code": 400, "msg": f"body: larger than the {BODY_CAP} bytes that are allowed", "data": None}
    assert answer.headers["Connection"] == "close"


@pytest.mark.parametrize(
    ("path", "cap", "kind"),
    [
        (GENERATE, BODY_CAP, "application/json"),
        (COMMON, BODY_CAP, "application/json"),
        (BY_URL, BODY_CAP, "application/json"),
        (BASE64, UPLOAD_CAP, "application/json"),
        (STREAM, UPLOAD_CAP, "multipart/form-data; boundary=b"),
    ],
)
async def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_sent(
    desk: Desk, path: str, cap: int, kind: str
) -> None:
    async with desk.untouched(), line(desk.gateway.base_url) as wire:
        await wire.send(head("POST", path, desk.keys["test"], f"Content-Type: {kind}", "Content-Length: 100000000"))
        reply = await wire.answer()
        hold_too_large(path, reply, cap)
        await wire.send(b"x" * 1000)
        assert await wire.hung_up()


@pytest.mark.parametrize("path", [GENERATE, COMMON, BY_URL, BASE64, STREAM])
async def test_a_body_without_end_is_refused_while_it_comes(desk: Desk, path: str) -> None:
    start = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n' if path == STREAM else b'{"x":"'
    )
    kind = "multipart/form-data; boundary=b" if path == STREAM else "application/json"
    caps = {BASE64: UPLOAD_CAP, STREAM: UPLOAD_CAP}
    async with desk.untouched(), line(desk.gateway.base_url) as wire:
        lines = (f"Content-Type: {kind}", "Transfer-Encoding: chunked")
        await wire.send(head("POST", path, desk.keys["test"], *lines) + chunk(start))
        answering = asyncio.create_task(wire.answer())
        sent = await pour(wire, until=answering)
        hold_too_large(path, await answering, caps.get(path, BODY_CAP))
        assert sent < 20_000_000  # what the cap and a few buffers hold; the rest was never asked for
        stopped = asyncio.create_task(wire.hung_up())
        await pour(wire, until=stopped)
        assert await stopped
    assert scratch(desk) == []


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def pour(wire: Line, *, until: "asyncio.Task[Any]") -> int:
    """Send and send, until something has happened or nobody takes it any more; answers how many bytes."""
    sent = 0
    while not until.done() and await wire.send(chunk(b"A" * 50_000)):
        sent += 50_000
        await asyncio.sleep(0)
    return sent


def hold_too_large(path: str, reply: Reply, cap: int) -> None:
    field = {STREAM: "file", BASE64: "base64Data"}.get(path, "body")
    msg = f"{field}: larger than the {cap} bytes that are allowed"
    if path.startswith("/api/file-"):
        assert reply.status == 400
        assert json.loads(reply.body) == {"success": False, "code": 400, "msg": msg}
    else:
        assert reply.status == 200
        assert envelope(reply) == {"code": 400 if path == GENERATE else 422, "msg": msg, "data": None}
    assert reply.headers["connection"] == "close"


def scratch(desk: Desk) -> list[str]:
    return [path.name for path in desk.house.scratch.iterdir()]


async def test_a_caller_that_waits_for_leave_to_send_is_refused_without_it(desk: Desk) -> None:
    lines = (JSON_TYPE, "Content-Length: 100000000", "Expect: 100-continue")
    async with line(desk.gateway.base_url) as wire:
        await wire.send(head("POST", GENERATE, desk.keys["test"], *lines))
        reply = await wire.answer()
    assert reply.status == 200  # and not 100
    assert envelope(reply)["code"] == 400


async def test_a_caller_that_waits_for_leave_to_send_gets_it(desk: Desk) -> None:
    body = json.dumps(BOAT).encode()
    lines = (JSON_TYPE, f"Content-Length: {len(body)}", "Expect: 100-continue")
    async with line(desk.gateway.base_url) as wire:
        await wire.send(head("POST", GENERATE, desk.keys["test"], *lines))
        assert (await wire.answer()).status == 100
        await wire.send(body)
        reply = await wire.answer()
    assert json.loads(reply.body)["code"] == 200


async def test_without_a_key_no_body_is_waited_for(desk: Desk) -> None:
    for path in (GENERATE, BASE64, STREAM):
        async with line(desk.gateway.base_url) as wire:
            await wire.send(head("POST", path, None, JSON_TYPE, "Content-Length: 1000000", "Expect: 100-continue"))
            reply = await wire.answer()
        assert json.loads(reply.body)["code"] == 401


# ---- HTTP itself ----


async def test_a_body_shorter_than_it_said_starts_nothing(desk: Desk) -> None:
    body = json.dumps(BOAT).encode()
    async with desk.untouched():
        async with line(desk.gateway.base_url) as wire:
            lines = (JSON_TYPE, f"Content-Length: {len(body) + 1}")
            await wire.send(head("POST", GENERATE, desk.keys["test"], *lines) + body)
            assert (await desk.get(CREDIT)).code == 200  # it waits, and nobody waits with it
        assert (await desk.get(CREDIT)).code == 200


async def test_a_body_longer_than_it_said_is_not_read_on(desk: Desk) -> None:
    body = json.dumps(BOAT).encode()
    async with line(desk.gateway.base_url) as wire:
        lines = (JSON_TYPE, f"Content-Length: {len(body) - 1}")
        async with desk.untouched():
            await wire.send(head("POST", GENERATE, desk.keys["test"], *lines) + body)
            assert envelope(await wire.answer())["code"] == 400
            assert await wire.hung_up()  # what was left over is no request


SMUGGLED = [
    ("Content-Length: 5", "Content-Length: 6"),
    ("Content-Length: 5", "Transfer-Encoding: chunked"),
    ("Content-Length: -1",),
    ("Content-Length: 5,5",),
    ("Content-Length: 99999999999999999999999",),
    ("Transfer-Encoding: chunked, identity",),
    ("Transfer-Encoding: xchunked",),
    ("Transfer-Encoding : chunked",),
    ("X: a\nContent-Length: 4",),
    ("X: a\x00b",),
]


@pytest.mark.parametrize("lines", SMUGGLED)
async def test_two_readings_of_one_request_are_none(desk: Desk, lines: tuple[str, ...]) -> None:
    inner = head("GET", CREDIT, desk.keys["test"])
    async with desk.untouched(), line(desk.gateway.base_url) as wire:
        await wire.send(head("POST", GENERATE, desk.keys["test"], *lines) + b"0\r\n\r\n" + inner)
        reply = await wire.answer()
        assert reply.status == 400
        assert envelope(reply) == {"code": 400, "msg": "The request is not valid HTTP", "data": None}
        assert await wire.hung_up()


@pytest.mark.parametrize(
    "sent",
    [
        b"\0\0\0\0",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"HELO a.test\r\n",
    ],
)
async def test_what_is_no_http_gets_an_answer_in_our_own_form(desk: Desk, sent: bytes) -> None:
    async with line(desk.gateway.base_url) as wire:
        await wire.send(sent)
        reply = await wire.answer()
        assert reply.status == 400
        assert envelope(reply) == {"code": 400, "msg": "The request is not valid HTTP", "data": None}
        assert await wire.hung_up()


BOMBS: dict[str, Callable[[], bytes]] = {
    "one header without end": lambda: b"a" * 10_000,
    "headers without end": lambda: b"A: b\r\n" * 1500,
    "names without end": lambda: (b"n" * 4000 + b": v\r\n") * 3,
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
async def test_a_head_without_end_is_refused_while_it_comes(desk: Desk, bomb: Callable[[], bytes]) -> None:
    async with line(desk.gateway.base_url) as wire:
        await wire.send(b"GET /healthz HTTP/1.1\r\nHost: gateway.test\r\nX: ")
        answering = asyncio.create_task(wire.answer())
        sent = 0
        while not answering.done() and await wire.send(bomb()):
            sent += 10_000
            await asyncio.sleep(0)
        reply = await answering
    assert reply.status == 431
    assert envelope(reply)["msg"] == "The headers of the request are larger than 65536 bytes"
    assert sent < 20_000_000


async def test_a_path_without_end_is_refused(desk: Desk) -> None:
    async with line(desk.gateway.base_url) as wire:
        await wire.send(b"GET /" + b"a" * 500_000)
        reply = await wire.answer()
    assert reply.status == 431


async def test_many_requests_in_one_breath_are_answered_in_order(desk: Desk) -> None:
    async with line(desk.gateway.base_url) as wire:
        await wire.send(
            head("GET", CREDIT, desk.keys["test"]) * 20 + head("GET", "/nope", None) + head("GET", CREDIT, None)
        )
        codes = [json.loads((await wire.answer()).body)["code"] for _ in range(22)]
    assert codes == [200] * 20 + [404, 401]


@pytest.mark.parametrize("name", ["X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method"])
async def test_a_method_is_what_the_request_line_says(desk: Desk, name: str) -> None:
    async with desk.untouched():
        answer = await desk.ask("GET", GENERATE, json=BOAT, headers={name: "POST"}, params={"_method": "POST"})
    assert answer.status == 405


HOSTS = [
    {"Host": "evil.test"},
    {"Host": "evil.test", "X-Forwarded-Host": "evil.test", "X-Forwarded-Proto": "https", "Forwarded": "host=evil.test"},
    {"Host": "127.0.0.1:1", "X-Original-URL": "/nope", "X-Rewrite-URL": "/nope"},
]


@pytest.mark.parametrize("headers", HOSTS)
async def test_links_lead_to_the_public_url_whoever_is_asked_for(desk: Desk, headers: dict[str, str]) -> None:
    task_id, url = await desk.made()
    base = desk.gateway.base_url
    record = await desk.ask("GET", RECORD, params={"taskId": task_id}, headers=headers)
    assert record.data["response"]["resultUrls"] == [url]
    link = (await desk.ask("POST", COMMON, json={"url": url}, headers=headers)).data
    assert link.startswith(f"{base}/tessera/")
    upload = await desk.ask("POST", BASE64, json={"base64Data": "SGVsbG8=", "uploadPath": "a"}, headers=headers)
    assert upload.data["downloadUrl"].startswith(f"{base}/files/")
    assert (await desk.ask("GET", link, key=None)).status == 200
    # Without a proxy in between, a link is good at the host that it was signed for and at no other.
    asked = await desk.ask("GET", link, key=None, headers=headers)
    assert asked.status == (403 if "Host" in headers else 200)


@pytest.mark.parametrize("host", ["a b", "<script>", "evil.test/../", "a\\b", "é"])
async def test_a_host_that_is_none_is_refused(desk: Desk, host: str) -> None:
    async with line(desk.gateway.base_url) as wire:
        await wire.send(f"GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        reply = await wire.answer()
    assert reply.status == 400
    assert envelope(reply)["code"] == 400


# ---- presigned links ----


async def linked(desk: Desk) -> str:
    _, url = await desk.made()
    return str((await desk.post(COMMON, {"url": url})).data)


async def follow(desk: Desk, link: str, method: str = "GET") -> Answer:
    """Ask for a link as it is spelled."""
    async with desk.gateway.http.request(method, URL(link, encoded=True)) as response:
        return Answer(response.status, response.headers, await response.read())


def parts_of(link: str) -> tuple[str, list[tuple[str, str]]]:
    path, _, query = link.partition("?")
    return path, parse_qsl(query, strict_parsing=True)


def spelled(path: str, query: list[tuple[str, str]]) -> str:
    items = (f"{name}={quote(value, safe='')}" for name, value in query)
    return f"{path}?{'&'.join(items)}"


WRONG_PARTS = [
    ("X-Amz-Algorithm", "AWS4-HMAC-SHA1"),
    ("X-Amz-Algorithm", "none"),
    ("X-Amz-Date", "20301122T120000Z"),
    ("X-Amz-Date", "20261122T120001Z"),
    ("X-Amz-Date", "now"),
    ("X-Amz-SignedHeaders", ""),
    ("X-Amz-SignedHeaders", "host;x"),
    ("X-Amz-Expires", "604800"),
    ("X-Amz-Expires", "99999999999"),
    ("X-Amz-Expires", "-1"),
    ("X-Amz-Credential", "TESSERA/20261122/other/s3/aws4_request"),
    ("X-Amz-Credential", "OTHER/20261122/local/s3/aws4_request"),
    ("X-Amz-Signature", "0" * 64),
    ("X-Amz-Signature", ""),
]


async def test_a_link_altered_in_any_part_is_refused(desk: Desk) -> None:
    link = await linked(desk)
    path, query = parts_of(link)
    assert (await follow(desk, spelled(path, query))).status == 200
    altered = [spelled(path, [(n, value if n == name else v) for n, v in query]) for name, value in WRONG_PARTS]
    altered += [spelled(path, [pair for pair in query if pair[0] != name]) for name, _ in query]
    altered += [spelled(path, [*query, pair]) for pair in query]
    signature = dict(query)["X-Amz-Signature"]
    altered += [
        link + "&response-content-type=text/html",
        link + "&response-content-disposition=inline",
        link + "&versionId=1",
        link + "0",
        link[:-1],
        link.replace(signature, signature.upper()),
        link.replace(signature, signature[::-1]),
        link.replace(".png", ".html"),
        link.replace("/s/", "/t/"),
        link.replace("/s/", "/s//"),
        link.replace("/s/", "/s/../s/"),
        link.replace("/s/", "/S/"),
        link.replace("?", "/?"),
        link.replace("?", "?&"),
        link.replace("&", ";"),
        link.replace("%2F", "%2f"),
        link.replace("X-Amz-Date", "x-amz-date"),
        path,
    ]
    other = await linked(desk)
    altered.append(link.replace(urlsplit(link).path, urlsplit(other).path))
    for each in altered:
        answer = await follow(desk, each)
        assert answer.status in {403, 404}, each
        assert answer.headers["Content-Type"] == "application/xml"
        assert not answer.body.startswith(b"\x89PNG")
    # Its order and how its slashes are spelled mean nothing to a signature.
    assert (await follow(desk, spelled(path, query[::-1]))).status == 200
    assert (await follow(desk, link.replace("%2F", "/"))).status == 200


async def test_a_link_lives_for_twenty_minutes(open_desk: OpenDesk, ticker: Ticker) -> None:
    async with open_desk(now=ticker) as desk:
        link = await linked(desk)
        ticker.advance(1200)
        for method in ("GET", "HEAD"):
            assert (await follow(desk, link, method)).status == 200
        ticker.advance(1)
        for method in ("GET", "HEAD"):
            assert (await follow(desk, link, method)).status == 403
        assert b"<Message>Request has expired</Message>" in (await follow(desk, link)).body
        ticker.advance(-3600)
        assert (await follow(desk, link)).status == 403  # dated too far in the future


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_a_link_is_for_reading(desk: Desk, method: str) -> None:
    link = await linked(desk)
    answer = await follow(desk, link, method)
    assert answer.status == 405
    assert b"<Code>MethodNotAllowed</Code>" in answer.body
    assert (await follow(desk, link)).status == 200


async def test_an_ordinary_url_cannot_be_guessed_from_a_direct_link(desk: Desk) -> None:
    path = urlsplit(await linked(desk)).path.removeprefix("/tessera/")
    base = desk.gateway.base_url
    token = "A" * 22
    for guess in (path, f"{token}/{path}", f"{token}/../{path}", f"/{path}", f"{token}/%2e%2e/{path}", f"%00/{path}"):
        assert (await follow(desk, f"{base}/files/{guess}")).status == 404


# ---- ranges ----

RANGES = [
    "bytes=" + ",".join(f"{start}-{start + 1}" for start in range(500)),
    "bytes=" + ",".join(["0-"] * 300),
    "bytes=0-5,3-9,0-99999999999999999999",
    f"bytes={'9' * 500}-",
    f"bytes=0-{'9' * 500}",
    f"bytes=-{'9' * 500}",
    "bytes=5-2",
    "bytes=--5",
    "bytes=a-b",
    "bytes=",
    "bytes",
    "octets=0-5",
    "bytes=0-5 ",
    "bytes=\u0660-\u0665",
    "bytes = 0-5",
    "bytes=0x0-0x5",
    "-" * 8000,
]


@pytest.mark.parametrize("asked", RANGES, ids=range(len(RANGES)))
async def test_no_range_brings_more_than_the_file(desk: Desk, asked: str) -> None:
    link = await linked(desk)
    whole = (await follow(desk, link)).body
    async with line(desk.gateway.base_url) as wire:
        target = link.removeprefix(desk.gateway.base_url)
        host = link.split("/")[2]
        await wire.send(f"GET {target} HTTP/1.1\r\nHost: {host}\r\nRange: {asked}\r\n\r\n".encode())
        reply = await wire.answer()
    assert reply.status in {200, 206, 416}
    assert len(reply.body) <= max(len(whole), 300)
    if reply.status == 200:
        assert reply.body == whole


# ---- files that would act ----

PAGES = {
    "page.html": b"<!doctype html><script>alert(1)</script>",
    "drawing.svg": b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
    "declared.svg": b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>',
    "picture.gif": b"GIF89a<script>alert(1)</script>",
    "picture.jpg": b"\xff\xd8\xff\xfe<html><script>alert(1)</script>",
    "picture.png": b"\x89PNG\r\n\x1a\n<html><script>alert(1)</script>",
    "music.mp3": b"ID3<script>alert(1)</script>",
    "late.html": b" " * 300 + b"<script>alert(1)</script>",
    "page.txt": b"<html>",
    "shouted.htm": b"<HTML><BODY ONLOAD=alert(1)>",
    "script.js": b"alert(1)",
    "style.xsl": b'<xsl:stylesheet xmlns:xsl="http://www.w3.org/1999/XSL/Transform"/>',
    "manual.pdf": b"%PDF-1.7 <script>",
}


@pytest.mark.parametrize("name", PAGES)
async def test_a_file_that_would_act_is_never_shown_in_place(desk: Desk, name: str) -> None:
    data = base64.b64encode(PAGES[name]).decode()
    body = {
        "base64Data": f"data:text/html;base64,{data}",
        "uploadPath": "pages",
        "fileName": name,
        "mimeType": "text/html",
    }
    answer = await desk.post(BASE64, body)
    if answer.status == 400:
        return  # it claims to be a picture and is none
    served_file = await desk.fetch(answer.data["downloadUrl"], Accept="text/html")
    assert served_file.body == PAGES[name]
    kind = served_file.headers["Content-Type"].partition(";")[0]
    assert kind in {"application/octet-stream", "text/plain", "application/pdf"}
    assert served_file.headers["Content-Disposition"].startswith("attachment;")
    assert served_file.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"


# ---- pictures ----


def poster(width: int, height: int) -> bytes:
    """A PNG whose header promises this size; what follows is a few bytes."""

    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    size = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", size) + part(b"IDAT", zlib.compress(b"\0" * 9)) + part(b"IEND", b"")


@pytest.mark.parametrize(
    ("width", "height"), [(50_000, 50_000), (2**31 - 1, 1), (100_001, 1000), (2**31 - 1, 2**31 - 1)]
)
async def test_a_picture_of_too_many_pixels_is_never_decoded(
    desk: Desk, web_host: Host, width: int, height: int
) -> None:
    url = web_host.put("bomb.png", poster(width, height))
    async with desk.untouched():
        answer = await desk.post(BY_URL, {"fileUrl": url, "uploadPath": "a"})
    assert answer.status == 400
    assert answer.msg == "file: The picture has more than 100,000,000 pixels"
    for body in ({**BOAT, "filesUrl": [url]}, {**BOAT, "filesUrl": [web_host.put("a.png", png())], "maskUrl": url}):
        record = await desk.ended(await desk.submit(body))
        assert (record["errorCode"], record["errorMessage"]) == (400, BROKEN)
    assert await desk.credits() == 1000


async def test_an_input_over_its_cap_fails_the_task(open_desk: OpenDesk, web_host: Host) -> None:
    async with open_desk(input_max_bytes=5000) as desk:
        url = web_host.put("large.png", png() + b"\0" * 5000)
        record = await desk.ended(await desk.submit({**BOAT, "fileUrl": url}))
        assert (record["errorCode"], record["errorMessage"]) == (400, "Image size exceeds maximum of 5000 bytes")
        assert await desk.credits() == 1000


# ---- places where nobody may send us ----

INNER = [
    "http://169.254.169.254/latest/meta-data/",
    "http://10.0.0.1/x.png",
    "http://[fd00::1]/x.png",
    "http://[::ffff:10.0.0.1]/x.png",
    "http://0.0.0.0:80/x.png",
    "http://100.64.0.1/",
    "http://2852039166/",
    "http://0xa9fea9fe/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "gopher://127.0.0.1:70/_x",
    "file:///etc/passwd",
    "http://127.0.0.1:22/",
]


@pytest.mark.parametrize("target", INNER)
async def test_a_redirect_to_an_inner_place_is_not_followed(desk: Desk, elsewhere: Receiver, target: str) -> None:
    redirect = Scripted(302, headers={"Location": target})
    elsewhere.script(redirect, redirect)
    async with desk.untouched():
        answer = await desk.post(BY_URL, {"fileUrl": f"{elsewhere.url}/x.png", "uploadPath": "a"})
    assert answer.status == 400
    assert answer.msg.startswith("fileUrl: the file could not be fetched: ")
    record = await desk.ended(await desk.submit({**BOAT, "filesUrl": [f"{elsewhere.url}/x.png"]}))
    assert (record["errorCode"], record["errorMessage"]) == (451, UNREACHABLE)
    assert await desk.credits() == 1000


@pytest.mark.parametrize("target", INNER)
async def test_an_inner_place_is_refused_at_the_door(desk: Desk, target: str) -> None:
    for field, value in (("filesUrl", [target]), ("fileUrl", target), ("callBackUrl", target)):
        async with desk.untouched():
            answer = await desk.post(GENERATE, {**BOAT, field: value})
        assert answer.code == 422
        assert answer.msg.startswith(field)
    assert (await desk.post(BY_URL, {"fileUrl": target, "uploadPath": "a"})).status == 400


LOOPBACK = [
    "http://127.0.0.1:{port}/",
    "http://localhost:{port}/",
    "http://[::1]:{port}/",
    "http://127.1:{port}/",
    "http://x.localhost:{port}/",
]


@pytest.mark.parametrize("spelling", LOOPBACK)
async def test_the_machine_itself_is_inner_where_the_gateway_is_public(
    open_desk: OpenDesk, web_host: Host, spelling: str
) -> None:
    target = spelling.format(port=urlsplit(web_host.url).port) + "x.png"
    web_host.put("x.png", png())
    async with open_desk(allow_private_networks=False) as desk:
        async with desk.untouched():
            assert (await desk.post(GENERATE, {**BOAT, "fileUrl": target})).code == 422
            assert (await desk.post(GENERATE, {**BOAT, "callBackUrl": target})).code == 422
            assert (await desk.post(BY_URL, {"fileUrl": target, "uploadPath": "a"})).status == 400
        # Our own links need no network.
        own = (await desk.post(BASE64, {"base64Data": "SGVsbG8=", "uploadPath": "a"})).data["downloadUrl"]
        assert (await desk.post(BY_URL, {"fileUrl": own, "uploadPath": "b"})).status == 200
    assert web_host.requests.empty


# ---- uploads over their caps ----


@asynccontextmanager
async def endless(declared: int | None) -> AsyncIterator[str]:
    """A server that sends bytes until it is stopped."""

    async def pour_out(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = declared
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 50_000)
        except ConnectionError:
            return response

    runner = web.ServerRunner(web.Server(pour_out), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}/x.bin"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("declared", [None, 10**12])
async def test_an_upload_by_url_stops_at_its_cap(desk: Desk, declared: int | None) -> None:
    async with endless(declared) as url, desk.untouched():
        answer = await desk.post(BY_URL, {"fileUrl": url, "uploadPath": "a"})
    assert answer.status == 400
    assert answer.msg == f"fileUrl: the file is larger than {UPLOAD_CAP:,} bytes"
    assert scratch(desk) == []


async def test_base64_is_measured_when_it_is_decoded(desk: Desk) -> None:
    for size, status in ((UPLOAD_CAP, 200), (UPLOAD_CAP + 1, 400)):
        data = base64.b64encode(b"x" * size).decode()
        answer = await desk.post(BASE64, {"base64Data": data, "uploadPath": "a"})
        assert answer.status == status
    assert answer.msg == f"base64Data: the file is larger than {UPLOAD_CAP:,} bytes"


async def send_form(desk: Desk, body: bytes, boundary: str = "b") -> Answer:
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    return await desk.ask("POST", STREAM, data=body, headers=headers)


def part(name: str, value: bytes = b"x", *more: str) -> bytes:
    lines = [f'Content-Disposition: form-data; name="{name}"', *more]
    return b"--b\r\n" + "\r\n".join(lines).encode() + b"\r\n\r\n" + value + b"\r\n"


FORMS: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "The request body ends in the middle of the form"),
    "no end": (part("uploadPath") + part("file"), "The request body ends in the middle of the form"),
    "an end in the middle": (
        part("uploadPath") + part("file")[:-20],
        "The request body ends in the middle of the form",
    ),
    "another boundary": (b"--c\r\n\r\n--c--\r\n", "The request body is not a valid multipart form"),
    "twenty parts": (part("uploadPath") * 20 + b"--b--\r\n", "The form has more than 16 parts"),
    "two files": (part("file") + part("file") + part("uploadPath") + b"--b--\r\n", "file: has to be given once"),
    "a long field": (
        part("uploadPath", b"x" * 9000) + part("file") + b"--b--\r\n",
        "uploadPath: longer than 8192 bytes",
    ),
    "a field that is no text": (
        part("uploadPath", b"\xff") + part("file") + b"--b--\r\n",
        "uploadPath: is not UTF-8 text",
    ),
    "a long header": (
        part("file", b"x", "X: " + "y" * 9000) + b"--b--\r\n",
        "The request body is not a valid multipart form",
    ),
    "no name": (b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--\r\n", "Missing required parameter: file"),
    "a header that is none": (b"--b\r\n: x\r\n\r\nx\r\n--b--\r\n", "The request body is not a valid multipart form"),
    "a folder upwards": (
        part("uploadPath", b"../..") + part("file") + b"--b--\r\n",
        "uploadPath must not begin with a dot",
    ),
    "a name upwards": (
        part("uploadPath", b"a") + part("fileName", b"../x") + part("file") + b"--b--\r\n",
        "fileName must not contain / or \\",
    ),
}


@pytest.mark.parametrize("name", FORMS)
async def test_a_form_that_is_broken_is_refused(desk: Desk, name: str) -> None:
    body, msg = FORMS[name]
    async with desk.untouched():
        answer = await send_form(desk, body)
    assert answer.status == 400
    assert answer.msg.startswith(msg)
    assert scratch(desk) == []


@pytest.mark.parametrize("boundary", ["", "x" * 5000, '"', "b; charset=x; boundary=c", "b\xff"])
async def test_a_strange_boundary_is_refused(desk: Desk, boundary: str) -> None:
    async with desk.untouched():
        answer = await send_form(desk, b"--c\r\n", boundary)
    assert answer.status == 400


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "..\\..\\x.exe", "a\\0.png", "x\u202egpj.exe", "a/b/c.png", "C:\\x.png", "é" * 400, ""]
)
async def test_the_name_of_a_part_lends_no_more_than_its_extension(desk: Desk, name: str) -> None:
    body = (
        part("uploadPath", b"a")
        + b'--b\r\nContent-Disposition: form-data; name="file"; filename="'
        + name.encode()
        + b'"\r\n\r\nHello\r\n--b--\r\n'
    )
    data = (await send_form(desk, body)).json["data"]
    stem, _, extension = data["fileName"].rpartition(".")
    assert stem[:13].isdigit()
    assert extension in {"txt", "exe", "png"}
    assert data["filePath"] == f"kieai/{desk.account.id}/a/{data['fileName']}"
    assert (await desk.fetch(data["downloadUrl"])).body == b"Hello"
