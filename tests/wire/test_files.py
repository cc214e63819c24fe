"""Uploads, the common download-url, and files as they are served."""

import base64
import hashlib
import json
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
import pytest_asyncio
from tests.wire.conftest import OpenDesk
from tests.wire.desk import BASE64, BY_URL, COMMON, STREAM, Answer, Desk

from tessera.providers.fake import png
from tessera.testing.servers import Host, hosting
from tessera.testing.ticker import Ticker

pytestmark = pytest.mark.asyncio(loop_scope="module")

HELLO = b"Hello there"
HELLO64 = "SGVsbG8gdGhlcmU="
NAMED = {"base64Data": HELLO64, "uploadPath": "notes/tests", "fileName": "hello.txt"}


def refused(msg: str, code: int = 400) -> dict[str, Any]:
    return {"success": False, "code": code, "msg": msg}


def form(fields: dict[str, str], body: bytes = HELLO, name: str = "hello.txt") -> aiohttp.FormData:
    data = aiohttp.FormData()
    for field, value in fields.items():
        data.add_field(field, value)
    data.add_field("file", body, filename=name)
    return data


@pytest_asyncio.fixture(loop_scope="module")
async def web() -> AsyncIterator[Host]:
    async with hosting() as host:
        yield host


async def upload(desk: Desk, way: str, web: Host, body: bytes, name: str | None = None, folder: str = "a/b") -> Answer:
    """The same file by each of the three ways; ``name`` is what it shall be called."""
    more = {"uploadPath": folder} | ({"fileName": name} if name is not None else {})
    if way == "base64":
        return await desk.post(BASE64, {"base64Data": base64.b64encode(body).decode(), **more})
    if way == "stream":
        return await desk.ask("POST", STREAM, data=form(more, body, "part.jpeg"))
    return await desk.post(BY_URL, {"fileUrl": web.put("pic.jpeg", body), **more})


WAYS = pytest.mark.parametrize("way", ["base64", "stream", "url"])


# ---- uploads ----


async def test_a_named_upload(open_desk: OpenDesk, ticker: Ticker) -> None:
    async with open_desk(now=ticker) as desk:
        answer = await desk.post(BASE64, NAMED)
        data = answer.data
        path = f"kieai/{desk.account.id}/notes/tests/hello.txt"
        assert re.fullmatch(rf"{re.escape(desk.gateway.base_url)}/files/[\w-]{{22}}/{path}", data["downloadUrl"])
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.json == {
            "success": True,
            "code": 200,
            "msg": "File uploaded successfully",
            "data": {
                "success": True,
                "fileName": "hello.txt",
                "filePath": path,
                "downloadUrl": data["downloadUrl"],
                "fileUrl": data["downloadUrl"],
                "fileSize": 11,
                "mimeType": "text/plain",
                "uploadedAt": "2026-11-22T12:00:00.000Z",
                "uploadTime": "2026-11-22T12:00:00.000Z",
                "expiresAt": "2026-11-25T12:00:00.000Z",
                "uploadPath": "notes/tests",
                "originalName": "hello.txt",
                "fileId": hashlib.sha256(HELLO).hexdigest()[:32],
            },
        }
        assert (await desk.fetch(data["downloadUrl"])).body == HELLO


@WAYS
@pytest.mark.parametrize("named", ["cat.jpg", None])
async def test_each_way_stores_the_same_bytes(desk: Desk, web: Host, way: str, named: str | None) -> None:
    picture = png(12, 7)
    answer = await upload(desk, way, web, picture, named)
    data = answer.data
    assert data["fileSize"] == len(picture)
    assert data["mimeType"] == "image/png"  # what it is, whatever it is called
    assert data["uploadPath"] == "a/b"
    assert data["filePath"] == f"kieai/{desk.account.id}/a/b/{data['fileName']}"
    if named:
        assert data["fileName"] == named
    else:
        extension = "png" if way == "base64" else "jpeg"  # the given name lends its extension to a random one
        assert re.fullmatch(rf"\d{{13}}-[0-9a-z]{{11}}\.{extension}", data["fileName"])
    fetched = await desk.fetch(data["downloadUrl"])
    assert fetched.body == picture
    assert fetched.headers["Content-Type"] == "image/png"
    assert await desk.credits() == 1000


async def test_without_a_name_no_two_uploads_meet(desk: Desk) -> None:
    nameless = {"base64Data": HELLO64, "uploadPath": "a"}
    names = {(await desk.post(BASE64, nameless)).data["fileName"] for _ in range(5)}
    assert len(names) == 5


@WAYS
async def test_the_same_name_again_replaces_the_file(desk: Desk, web: Host, way: str) -> None:
    first = await upload(desk, way, web, b"first one", "same.txt")
    again = await upload(desk, way, web, b"and the second", "same.txt")
    assert again.data["downloadUrl"] == first.data["downloadUrl"]
    fetched = await desk.fetch(first.data["downloadUrl"])
    assert fetched.body == b"and the second"
    assert (await desk.fetch(first.data["downloadUrl"], If_None_Match=fetched.headers["ETag"])).status == 304


async def test_the_same_name_of_another_account_is_another_file(desk: Desk) -> None:
    other = await desk.neighbour()
    mine = (await desk.post(BASE64, NAMED)).data["downloadUrl"]
    theirs = (await other.post(BASE64, {**NAMED, "base64Data": "b3RoZXI="})).data["downloadUrl"]
    assert mine != theirs
    assert (await desk.fetch(mine)).body == HELLO


@pytest.mark.parametrize(
    "data",
    [
        HELLO64,
        f"data:text/plain;base64,{HELLO64}",
        f"data:;base64,{HELLO64}",
        f"data:text/plain;charset=utf-8;base64,{HELLO64}",
        f"DATA:image/png;BASE64,{HELLO64}",
        "SGVs\nbG8g\r\ndGhl cmU=\n",
    ],
)
async def test_base64_comes_bare_or_as_a_data_url(desk: Desk, data: str) -> None:
    answer = await desk.post(BASE64, {**NAMED, "base64Data": data, "mimeType": "image/jpeg", "more": [1]})
    assert answer.data["fileSize"] == len(HELLO)
    assert answer.data["mimeType"] == "text/plain"


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ("a", "a"),
        ("/a/b/", "a/b"),
        ("images/cat.jpg", "images/cat.jpg"),
        (" a ", "a"),
        ("ü/文件", "ü/文件"),
        ("a:b?", "a_b_"),
    ],
)
async def test_the_folder_comes_back_as_it_was_used(desk: Desk, given: str, place: str) -> None:
    data = (await desk.post(BASE64, {**NAMED, "uploadPath": given})).data
    assert data["uploadPath"] == place
    assert data["filePath"] == f"kieai/{desk.account.id}/{place}/hello.txt"
    assert quote(place) in data["downloadUrl"]
    assert (await desk.fetch(data["downloadUrl"])).body == HELLO


@pytest.mark.parametrize(
    ("given", "stored"),
    [("A photo, 2026.JPG", "A photo, 2026.JPG"), ('quoted".txt', "quoted_.txt"), ("a.txt. ", "a.txt")],
)
async def test_a_file_name_keeps_what_is_safe(desk: Desk, given: str, stored: str) -> None:
    data = (await desk.post(BASE64, {**NAMED, "fileName": given})).data
    assert data["fileName"] == stored
    assert (await desk.fetch(data["downloadUrl"])).body == HELLO


async def test_an_upload_by_one_of_our_own_links_needs_no_journey(desk: Desk) -> None:
    url = (await desk.post(BASE64, NAMED)).data["downloadUrl"]
    data = (await desk.post(BY_URL, {"fileUrl": url, "uploadPath": "copies"})).data
    assert data["fileSize"] == len(HELLO)
    assert data["originalName"] == "hello.txt"
    assert (await desk.fetch(data["downloadUrl"])).body == HELLO


BAD_BODIES: list[tuple[str, dict[str, Any], str]] = [
    (BASE64, {}, "Missing required parameter: base64Data"),
    (BASE64, {"base64Data": HELLO64}, "Missing required parameter: uploadPath"),
    (BASE64, {"uploadPath": "a"}, "Missing required parameter: base64Data"),
    (BASE64, {"base64Data": HELLO64, "uploadPath": ""}, "uploadPath must not be empty"),
    (BASE64, {"base64Data": HELLO64, "uploadPath": "///"}, "uploadPath must not be empty"),
    (BASE64, {"base64Data": HELLO64, "uploadPath": None}, "uploadPath: must be a string"),
    (BASE64, {"base64Data": 5, "uploadPath": "a"}, "base64Data: must be a string"),
    (BASE64, {"base64Data": "", "uploadPath": "a"}, "Base64 decoding failed: Invalid Base64 format"),
    (BASE64, {"base64Data": "SGVs!!", "uploadPath": "a"}, "Base64 decoding failed: Invalid Base64 format"),
    (BASE64, {"base64Data": "SGVsbG8", "uploadPath": "a"}, "Base64 decoding failed: Invalid Base64 format"),
    (BASE64, {"base64Data": "SGVs-_==", "uploadPath": "a"}, "Base64 decoding failed: Invalid Base64 format"),
    (
        BASE64,
        {"base64Data": "data:text/plain,Hello", "uploadPath": "a"},
        "Base64 decoding failed: Invalid Base64 format",
    ),
    (BASE64, {"base64Data": "data:;base64,", "uploadPath": "a"}, "Base64 decoding failed: Invalid Base64 format"),
    (BASE64, {"base64Data": "é" * 8, "uploadPath": "a"}, "Base64 decoding failed: Invalid Base64 format"),
    (BY_URL, {}, "Missing required parameter: fileUrl"),
    (BY_URL, {"fileUrl": "http://a.test/x"}, "Missing required parameter: uploadPath"),
    (BY_URL, {"fileUrl": "x", "uploadPath": "a"}, "fileUrl: A URL must begin with http:// or https://."),
    (BY_URL, {"fileUrl": "data:,x", "uploadPath": "a"}, "fileUrl: A URL must begin with http:// or https://."),
    (
        BY_URL,
        {"fileUrl": "http://192.168.1.1/x", "uploadPath": "a"},
        "fileUrl: The host of the URL is not on the public internet.",
    ),
]


@pytest.mark.parametrize(("path", "body", "msg"), BAD_BODIES)
async def test_an_unusable_upload_is_a_real_400_without_data(desk: Desk, path: str, body: Any, msg: str) -> None:
    async with desk.untouched():
        answer = await desk.post(path, body)
    assert answer.status == 400
    assert answer.json == refused(msg)
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


NAMES = [
    ("../up.txt", "fileName must not contain / or \\"),
    ("..", "fileName must not begin with a dot"),
    (".htaccess", "fileName must not begin with a dot"),
    ("a/b.txt", "fileName must not contain / or \\"),
    ("a\\b.txt", "fileName must not contain / or \\"),
    ("a\0.txt", "fileName must not contain control characters"),
    ("a\r\nSet-Cookie: x.txt", "fileName must not contain control characters"),
    ("photo\u202egpj.exe", "fileName must not contain characters that turn the reading direction"),
    ("CON.txt", "fileName must not be a name that Windows reserves"),
    ("x" * 252 + ".txt", "fileName must not be longer than 255 bytes"),
    ("   ", "fileName must not be empty"),
]


@WAYS
@pytest.mark.parametrize(("name", "msg"), NAMES)
async def test_a_file_name_that_plays_tricks_is_refused(desk: Desk, web: Host, way: str, name: str, msg: str) -> None:
    async with desk.untouched():
        answer = await upload(desk, way, web, HELLO, name)
    assert answer.status == 400
    assert answer.json == refused(msg)


@WAYS
@pytest.mark.parametrize(
    ("folder", "msg"),
    [
        ("../other", "uploadPath must not begin with a dot"),
        ("a/../../b", "uploadPath must not begin with a dot"),
        ("a//b", "uploadPath must not be empty"),
        ("a\\b", "uploadPath must use / between its parts"),
        ("a/\0/b", "uploadPath must not contain control characters"),
        ("/".join(["part"] * 110), "uploadPath must not be longer than 512 bytes"),
    ],
)
async def test_a_folder_that_plays_tricks_is_refused(desk: Desk, web: Host, way: str, folder: str, msg: str) -> None:
    async with desk.untouched():
        answer = await upload(desk, way, web, HELLO, "x.txt", folder)
    assert answer.status == 400
    assert answer.json == refused(msg)


@pytest.mark.parametrize(
    ("fields", "msg"),
    [
        ({}, "Missing required parameter: uploadPath"),
        ({"uploadPath": " "}, "Missing required parameter: uploadPath"),
        ({"uploadpath": "a"}, "Missing required parameter: uploadPath"),
    ],
)
async def test_a_form_without_its_folder_is_refused(desk: Desk, fields: dict[str, str], msg: str) -> None:
    async with desk.untouched():
        answer = await desk.ask("POST", STREAM, data=form(fields))
    assert (answer.status, answer.json) == (400, refused(msg))


async def test_a_form_without_a_file_is_refused(desk: Desk) -> None:
    with aiohttp.MultipartWriter("form-data") as writer:
        part = writer.append("a")
        part.set_content_disposition("form-data", name="uploadPath")
    async with desk.untouched():
        answer = await desk.ask("POST", STREAM, data=writer)
    assert (answer.status, answer.json) == (400, refused("Missing required parameter: file"))


async def test_a_body_that_is_no_form_is_refused(desk: Desk) -> None:
    for headers in ({"Content-Type": "application/json"}, {"Content-Type": "multipart/form-data"}, {}):
        answer = await desk.ask("POST", STREAM, data=b"{}", headers=headers)
        assert answer.status == 400
        assert answer.msg == "Content-Type: must be multipart/form-data with a boundary"


@WAYS
@pytest.mark.parametrize(
    ("body", "msg"),
    [
        (b"", "file: The file is empty"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR", "file: The file begins as image/png but is not one"),
    ],
)
async def test_a_file_that_is_none_is_refused(desk: Desk, web: Host, way: str, body: bytes, msg: str) -> None:
    if way == "base64" and not body:
        msg = "Base64 decoding failed: Invalid Base64 format"
    async with desk.untouched():
        answer = await upload(desk, way, web, body)
    assert (answer.status, answer.json) == (400, refused(msg))


async def test_a_url_that_answers_no_file_is_a_400(desk: Desk, web: Host) -> None:
    for status in (404, 403, 500):
        url = web.put("gone.png", b"", status=status)
        answer = await desk.post(BY_URL, {"fileUrl": url, "uploadPath": "a"})
        assert answer.status == 400
        msg = f"fileUrl: the file could not be fetched: The server answered with HTTP status {status}."
        assert answer.json == refused(msg)


async def test_a_url_that_answers_nothing_is_a_500(desk: Desk) -> None:
    async with hosting() as host:
        url = host.put("x.png", png())
    answer = await desk.post(BY_URL, {"fileUrl": url, "uploadPath": "a"})
    assert answer.status == 500
    assert answer.json == refused("fileUrl: the file could not be fetched: The server could not be reached.", 500)


async def test_a_preflight_is_answered_for_every_origin(desk: Desk) -> None:
    ask = {"Origin": "https://app.example.org", "Access-Control-Request-Method": "POST"}
    for path in (BASE64, STREAM, BY_URL):
        answer = await desk.ask("OPTIONS", path, key=None, headers=ask)
        assert answer.status == 204
        assert answer.body == b""
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.headers["Access-Control-Allow-Methods"] == "GET, POST, PUT, DELETE, OPTIONS"
        assert answer.headers["Access-Control-Allow-Headers"] == "Content-Type, Authorization"


# ---- common/download-url ----


async def test_any_generated_file_gets_a_direct_link(desk: Desk) -> None:
    _, url = await desk.made()
    answer = await desk.post(COMMON, {"url": url})
    assert answer.json.keys() == {"code", "msg", "data"}
    linked = await desk.fetch(answer.data)
    assert linked.body == (await desk.fetch(url)).body
    assert linked.headers["Content-Disposition"].startswith("attachment; filename=")


async def test_a_url_that_is_no_generated_file_is_wrong(desk: Desk) -> None:
    _, url = await desk.made()
    other = await desk.neighbour()
    upload_url = (await desk.post(BASE64, NAMED)).data["downloadUrl"]
    token = url.split("/files/")[1].split("/")[0]
    direct = (await desk.post(COMMON, {"url": url})).data
    wrong = [
        "https://cdn.example.org/videos/1.mp4",
        f"{desk.gateway.base_url}/files/{token}/s/0f3c9a7be21d4c55a1b2c3d4e5f60718-1_0.png",
        url.replace(token, "A" * 22),
        url[:-1],
        url + "/",
        url.replace(f":{desk.gateway.base_url.rsplit(':', 1)[1]}", ""),
        upload_url,
        direct,
        "javascript:alert(1)",
        "",
        " ",
    ]
    for each in wrong:
        answer = await desk.post(COMMON, {"url": each})
        assert answer.status == 200
        assert answer.json == {"code": 422, "msg": "url is wrong", "data": None}, each
    assert (await other.post(COMMON, {"url": url})).json == {"code": 422, "msg": "url is wrong", "data": None}


@pytest.mark.parametrize(
    ("body", "msg"),
    [
        ({}, "url: is required"),
        ({"url": None}, "url: must be a string"),
        ({"url": 7}, "url: must be a string"),
        ([], "The request body must be a JSON object"),
    ],
)
async def test_a_wrong_question_is_code_422(desk: Desk, body: Any, msg: str) -> None:
    answer = await desk.post(COMMON, body)
    assert answer.json == {"code": 422, "msg": msg, "data": None}


async def test_a_file_older_than_promised_is_said_to_be_gone(open_desk: OpenDesk, ticker: Ticker) -> None:
    async with open_desk(now=ticker) as desk:
        _, url = await desk.made()
        ticker.advance(timedelta(days=14, seconds=1))
        await desk.house.retention.sweep()
        answer = await desk.post(COMMON, {"url": url})
        assert answer.json == {"code": 422, "msg": "Temporarily supports records within 14 days", "data": None}
        assert (await desk.fetch(url)).status == 410


# ---- files as they are served ----


async def test_a_file_is_served_with_what_browsers_and_caches_need(open_desk: OpenDesk, ticker: Ticker) -> None:
    async with open_desk(now=ticker) as desk:
        _, url = await desk.made()
        answer = await desk.fetch(url)
        headers = dict(answer.headers)
        del headers["Date"]
        assert {name.title(): value for name, value in headers.items()} == {
            "Content-Type": "image/png",
            "Content-Length": str(len(answer.body)),
            "Etag": f'"{hashlib.sha256(answer.body).hexdigest()}"',
            "Last-Modified": "Sun, 22 Nov 2026 12:00:00 GMT",
            "Accept-Ranges": "bytes",
            "Cache-Control": "private, no-cache",
            "Access-Control-Allow-Origin": "*",
            "Access-Control-Expose-Headers": "Accept-Ranges, Content-Disposition, Content-Length, Content-Range, ETag",
            "Cross-Origin-Resource-Policy": "cross-origin",
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "sandbox; default-src 'none'",
        }


@pytest.mark.parametrize("direct", [False, True])
async def test_ranges_conditions_and_head(desk: Desk, direct: bool) -> None:
    _, url = await desk.made()
    if direct:
        url = (await desk.post(COMMON, {"url": url})).data
    whole = await desk.fetch(url)
    size, etag, date = len(whole.body), whole.headers["ETag"], whole.headers["Last-Modified"]

    head = await desk.fetch(url, "HEAD")
    assert (head.status, head.body) == (200, b"")
    assert {**head.headers, "Date": ""} == {**whole.headers, "Date": ""}

    for asked, start, end in [
        ("bytes=0-9", 0, 10),
        ("bytes=10-", 10, size),
        ("bytes=-5", size - 5, size),
        ("bytes=3-3", 3, 4),
        (f"bytes=0-{10**15}", 0, size),
        (f"bytes=-{10**15}", 0, size),
    ]:
        part = await desk.fetch(url, Range=asked)
        assert part.status == 206
        assert part.body == whole.body[start:end]
        assert part.headers["Content-Range"] == f"bytes {start}-{end - 1}/{size}"
        assert part.headers["Content-Length"] == str(end - start)
        partial = await desk.fetch(url, "HEAD", Range=asked)
        assert (partial.status, partial.body) == (206, b"")
        assert partial.headers["Content-Length"] == str(end - start)

    for asked in (f"bytes={size}-", "bytes=-0", f"bytes={10**17}-{10**17 + 5}"):
        beyond = await desk.fetch(url, Range=asked)
        assert beyond.status == 416
        assert beyond.headers["Content-Range"] == f"bytes */{size}"
        assert b"<Code>InvalidRange</Code>" in beyond.body

    for condition in (
        {"If_None_Match": etag},
        {"If_None_Match": f'"x", W/{etag}'},
        {"If_None_Match": "*"},
        {"If_Modified_Since": date},
    ):
        same = await desk.fetch(url, **condition)
        assert (same.status, same.body) == (304, b"")
        assert same.headers["ETag"] == etag
    for condition in (
        {"If_None_Match": '"other"'},
        {"If_Modified_Since": "Sun, 22 Nov 2020 12:00:00 GMT"},
        {"If_Modified_Since": "yesterday"},
    ):
        assert (await desk.fetch(url, **condition)).body == whole.body

    assert (await desk.fetch(url, Range="bytes=0-9", If_Range=etag)).status == 206
    assert (await desk.fetch(url, Range="bytes=0-9", If_Range=date)).status == 206
    assert (await desk.fetch(url, Range="bytes=0-9", If_Range='"older"')).body == whole.body
    assert (await desk.fetch(url, Range="bytes=0-9", If_Range=f"W/{etag}")).body == whole.body


@pytest.mark.parametrize("direct", [False, True])
async def test_a_browser_may_ask_before_it_fetches(desk: Desk, direct: bool) -> None:
    _, url = await desk.made()
    if direct:
        url = (await desk.post(COMMON, {"url": url})).data
    answer = await desk.fetch(url, "OPTIONS", Origin="https://app.example.org", Access_Control_Request_Method="GET")
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Access-Control-Allow-Methods"] == "GET, HEAD, OPTIONS"
    assert "Range" in answer.headers["Access-Control-Allow-Headers"]


async def test_a_direct_link_carries_the_name_of_its_file(desk: Desk) -> None:
    task_id, url = await desk.made()
    link = (await desk.post(COMMON, {"url": url})).data
    name = f"{task_id}-1-1_0.png"
    expected = f"attachment; filename=\"{name}\"; filename*=UTF-8''{name}"
    assert (await desk.fetch(link)).headers["Content-Disposition"] == expected
    assert "Content-Disposition" not in (await desk.fetch(url)).headers


async def test_a_file_that_was_lost_is_a_404_and_not_an_envelope(desk: Desk) -> None:
    task_id, url = await desk.made()
    await desk.house.store.delete([f"s/{task_id}-1-1_0.png"])
    answer = await desk.fetch(url)
    assert answer.status == 404
    assert answer.headers["Content-Type"] == "application/xml"
    assert b"<Code>NoSuchKey</Code>" in answer.body
    assert json.dumps(desk.house.config.data_dir.name)[1:-1].encode() not in answer.body
