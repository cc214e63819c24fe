"""Hostile files over HTTP: what they are called, what they claim to be, how they are asked for.

Tricks with FFmpeg's protocols and with sound are tried as what they are today, files to keep and to serve: nothing here
hands a caller's file to FFmpeg or decodes its sound.
"""

import base64
import gzip
import io
import struct
import time
import zlib
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from PIL import Image
from tests.security import raw
from tests.security.hostile import OK, say
from tests.security.internet import PORT, Internet
from tests.wire.desk import BASE64, BY_URL, COMMON, GENERATE, RECORD, Answer, Desk

from tessera.providers.fake import png
from tessera.storage.names import content_disposition
from tessera.testing.plugin import OpenGateway, Passed

pytestmark = pytest.mark.asyncio(loop_scope="module")

GIF = b"GIF89a\x01\x00\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
PAGE = b"<script>fetch('/v1/tasks')</script>"
HEADERS = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'"}


def jpeg(*segments: bytes) -> bytes:
    """A small JPEG with these comments behind its beginning."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG")
    whole = buffer.getvalue()
    comments = b"".join(b"\xff\xfe" + struct.pack(">H", len(text) + 2) + text for text in segments)
    return whole[:2] + comments + whole[2:]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def huge_png(width: int, height: int) -> bytes:
    """A picture that says it is so large, in a hundred bytes."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(64))) + chunk(b"IEND", b"")


def with_chunk(extra: bytes) -> bytes:
    whole = png()
    return whole[:33] + extra + whole[33:]


async def put(street: Desk, body: bytes, name: str | None = None, kind: str = "") -> Answer:
    data = base64.b64encode(body).decode()
    wire = {"base64Data": f"data:{kind};base64,{data}" if kind else data, "uploadPath": "up"}
    return await street.post(BASE64, wire | ({"fileName": name} if name else {}))


# ---- what they claim to be ----

ACTIVE = [
    ("page.html", "text/html", b"<!DOCTYPE html>" + PAGE),
    ("page.png", "image/png", b"<html>" + PAGE),
    ("late.png", "image/png", b"   \n\n\t <hTmL>" + PAGE),
    ("bom.png", "image/png", b"\xef\xbb\xbf<html>" + PAGE),
    ("wide.png", "image/png", b"\xff\xfe" + "<html><script>".encode("utf-16-le")),
    ("drawing.svg", "image/svg+xml", b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"),
    ("declared.svg", "image/svg+xml", b"<?xml version='1.0'?><!DOCTYPE svg [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>"),
    ("packed.svgz", "image/svg+xml", gzip.compress(b"<svg/>", mtime=0)),
    ("gif.gif", "image/gif", b"GIF89a/*<script>*/=1;" + PAGE),
    ("gif-page.gif", "image/gif", b"GIF89a" + bytes(10) + b"<html>" + PAGE),
    ("jpeg-page.jpg", "image/jpeg", jpeg(b"<html>" + PAGE)),
    ("riff.webp", "image/webp", b"RIFF\x20\x00\x00\x00WEBPVP8 <svg onload=alert(1)>"),
    ("png-page.png", "image/png", b"\x89PNG\r\n\x1a\n<html>" + PAGE),
    ("paper.pdf", "application/pdf", b"%PDF-1.7\n1 0 obj<</OpenAction<</S/JavaScript/JS(app.alert(1))>>>>"),
    ("script.js", "text/javascript", b"fetch('/v1/tasks')"),
    ("style.css", "text/css", b"@import url(//evil.test)"),
    ("flash.swf", "application/x-shockwave-flash", b"CWS\x0a" + bytes(40)),
    ("program.exe", "application/x-msdownload", b"MZ" + bytes(60)),
    ("archive.jar", "application/java-archive", b"PK\x03\x04" + bytes(40)),
    ("mail.mht", "multipart/related", b"MIME-Version: 1.0\nContent-Type: text/html\n\n" + PAGE),
    ("feed.xml", "application/xml", b"<rss><channel/></rss>"),
    ("manifest.json", "application/manifest+json", b'{"start_url": "/"}'),
    ("module.wasm", "application/wasm", b"\0asm\x01\0\0\0"),
    # lists that FFmpeg would follow to other files and hosts
    ("list.m3u8", "application/vnd.apple.mpegurl", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"),
    ("list.ffconcat", "image/png", b"ffconcat version 1.0\nfile 'http://169.254.169.254/latest/meta-data/'\n"),
    ("list.sdp", "application/sdp", b"v=0\nc=IN IP4 127.0.0.1\nm=video 22 RTP/AVP 96\n"),
    ("list.avs", "video/mp4", b'AviSource("/etc/passwd")\n'),
    ("list.dash", "application/dash+xml", b"<?xml version='1.0'?><MPD><BaseURL>file:///etc/passwd</BaseURL></MPD>"),
    ("subtitles.mkv", "video/webm", b"\x1a\x45\xdf\xa3\x93\x42\x82\x88matroska" + bytes(30)),
]
"""Name, declared type and bytes of what may never be shown in place."""


@pytest.mark.parametrize(("name", "kind", "body"), ACTIVE, ids=[name for name, _, _ in ACTIVE])
async def test_what_could_act_is_only_ever_a_download(street: Desk, name: str, kind: str, body: bytes) -> None:
    answer = await put(street, body, name, kind)
    if answer.status == 400:  # it began as a picture, and is none
        assert answer.msg.startswith("file: The file begins as image/")
        return
    served = await street.fetch(answer.data["downloadUrl"])
    assert served.body == body
    assert served.headers["Content-Disposition"].startswith("attachment; ")
    assert served.headers["Content-Type"] in {
        "application/octet-stream",
        "text/plain",
        "application/pdf",
        "application/zip",
    }
    assert {header: served.headers[header] for header in HEADERS} == HEADERS


@pytest.mark.parametrize(
    "body",
    [
        jpeg(b"x" * 600 + b"<html>" + PAGE),
        png() + b"<html>" + PAGE,
        GIF + bytes(600) + b"<html>" + PAGE,
        png() + b"PK\x03\x04",
    ],
    ids=["jpeg-with-a-long-comment", "png-with-a-tail", "gif-with-a-tail", "png-with-an-archive"],
)
async def test_a_picture_with_a_page_inside_is_a_picture_in_a_sandbox(street: Desk, body: bytes) -> None:
    """Shown in place, it is drawn and not read: its type is fixed, and nothing in it may run."""
    served = await street.fetch((await put(street, body, "picture.html")).data["downloadUrl"])
    assert served.headers["Content-Type"] in {"image/jpeg", "image/png", "image/gif"}
    assert {header: served.headers[header] for header in HEADERS} == HEADERS
    assert "charset" not in served.headers["Content-Type"]


@pytest.mark.parametrize("name", [name for name, _, _ in ACTIVE if name.startswith(("list", "page", "drawing"))])
async def test_a_list_or_a_page_is_no_input(street: Desk, net: Internet, name: str) -> None:
    body = {each: body for each, _, body in ACTIVE}[name]
    net.pages["/input"] = say(f"{OK}Content-Length: {len(body)}\r\n\r\n", body)
    task = {"prompt": "A paper boat", "size": "1:1", "filesUrl": [f"http://web.test:{PORT}/input"]}
    before = await street.credits()
    record = await street.ended(await street.submit(task))
    assert (record["errorCode"], record["status"]) == (400, "CREATE_TASK_FAILED")
    assert record["errorMessage"] == "We couldn't process the provided image file (code=invalid_image_format)"
    assert await street.credits() == before
    assert net.served == ["/input"], "somebody followed what stands in the file"


# ---- too much of it ----

BOMBS = {
    "wide-and-high": huge_png(100_000, 100_000),
    "one-line": huge_png(2**31 - 1, 1),
    "just-too-many": huge_png(10_001, 10_000),
    "gif": GIF[:6] + b"\xff\xff\xff\xff" + GIF[10:],
    "jpeg": jpeg().replace(b"\x00\x08\x00\x08\x03", b"\xff\xff\xff\xff\x03"),
    "webp": b"RIFF\x1e\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\x0f\x00\x00",
}
LAYERS = {
    "text-of-100-megabytes": with_chunk(chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(100_000_000), 1)[:15_000])),
    "profile-of-100-megabytes": with_chunk(chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(10_000_000), 9))),
    "ten-thousand-chunks": with_chunk(chunk(b"tEXt", b"a\0b") * 1000),
    "a-chunk-that-lies": with_chunk(struct.pack(">I", 0x1FFFFFFF) + b"tEXt" + b"a" * 50),
    "frames-without-number": GIF[:-1] + GIF[13:-1] * 500 + b";",
}


@pytest.mark.parametrize("name", BOMBS)
async def test_a_picture_of_too_many_pixels_is_refused_by_its_header(street: Desk, net: Internet, name: str) -> None:
    body = BOMBS[name]
    began = time.process_time()
    async with street.untouched():
        answer = await put(street, body, "bomb.png")
    assert (answer.status, answer.json["success"]) == (400, False)
    assert answer.msg.startswith(("file: The picture has more than 100,000,000 pixels", "file: The file begins as "))
    net.pages["/bomb"] = say(f"{OK}Content-Length: {len(body)}\r\n\r\n", body)
    task = {"prompt": "A paper boat", "size": "1:1", "filesUrl": [f"http://web.test:{PORT}/bomb"]}
    record = await street.ended(await street.submit(task))
    assert (record["errorCode"], record["status"]) == (400, "CREATE_TASK_FAILED")
    assert time.process_time() - began < 3, "something was decoded"


@pytest.mark.parametrize("name", LAYERS)
async def test_what_unfolds_within_a_picture_does_not_unfold_here(street: Desk, name: str) -> None:
    began = time.process_time()
    answer = await put(street, LAYERS[name], "layers.png")
    assert answer.status in {200, 400}
    assert time.process_time() - began < 3, "something was decoded"


async def test_a_sound_that_says_it_lasts_for_days_is_kept_by_its_bytes(street: Desk) -> None:
    most = b"\xff\xff\xff\xff"
    wave = b"RIFF" + most + b"WAVEfmt \x10\0\0\0\x01\0\xff\xff" + most + most + b"\x01\0\x08\0data" + most
    answer = await put(street, wave, "days.wav")
    assert (answer.data["mimeType"], answer.data["fileSize"]) == ("audio/wav", len(wave))


async def test_bombs_do_not_harm_the_one_that_draws(open_gateway: OpenGateway, net: Internet, passed: Passed) -> None:
    """The sandbox really decodes its inputs; after each bomb it still draws."""
    inner = png()
    bomb = huge_png(9_999, 9_999)  # within the cap, and nothing behind its header
    finished = passed("run.finished")
    async with open_gateway(allow_private_networks="false", resolver=net.names) as gateway:
        net.spare(urlsplit(gateway.base_url).port or 0)
        for name, body in (("bomb", bomb), ("fine", inner)):
            net.pages[f"/{name}"] = say(f"{OK}Content-Length: {len(body)}\r\n\r\n", body)
        codes = []
        for name in ("bomb", "fine"):
            task = {"prompt": "A paper boat", "size": "1:1", "filesUrl": [f"http://web.test:{PORT}/{name}"]}
            task_id = (await gateway.post(GENERATE, task))["data"]["taskId"]
            await finished.next()
            record = (await gateway.get(RECORD, taskId=task_id))["data"]
            codes.append((record["successFlag"], record["errorCode"]))
        assert codes[0][0] == 2
        assert codes[1] == (1, None)


# ---- what they are called ----

ORIGINALS = [
    "../../../etc/passwd",
    "..\\..\\boot.ini",
    "/etc/cron.d/x",
    "C:\\Windows\\win.ini",
    "a\u202egnp.exe",
    'a"; filename="b.html',
    "a%0d%0aSet-Cookie: x=1.png",
    "CON",
    "." * 300,
    "x." + "y" * 300,
    "x.php\u0000.png",
    "x.h t",
    "<script>.svg",
    "${jndi:ldap://x}.png",
    "",
]


@pytest.mark.parametrize("name", ORIGINALS, ids=repr)
async def test_the_name_in_a_url_lends_no_more_than_an_ending(street: Desk, net: Internet, name: str) -> None:
    path = f"/{quote(name, safe='%')}"
    net.pages[path] = say(f"{OK}Content-Length: 11\r\n\r\nHello there")
    answer = await street.post(BY_URL, {"fileUrl": f"http://web.test:{PORT}{path}", "uploadPath": "up"})
    assert answer.status == 200, answer
    kept(street, answer)


def kept(street: Desk, answer: Answer) -> None:
    """It lies where it belongs, under a name of ours."""
    root = street.house.config.data_dir.resolve() / "files"
    path = Path(root, answer.data["filePath"])
    assert path.parent == root / "kieai" / street.account.id / "up"
    assert path.is_file()
    stem, _, ending = path.name.partition(".")
    assert stem.replace("-", "").isalnum()
    assert ending.isalnum()
    assert len(ending) <= 8


async def test_a_name_that_may_stay_writes_one_header_and_no_more(street: Desk) -> None:
    for name in ("a\"b;c=d,e'f.bin", "é€\u3042.bin", "%0d%0aX: y.bin", "a=?utf-8?b?eA==?=.bin", "x" * 251 + ".bin"):
        answer = await put(street, b"\0\1", name)
        assert answer.status == 200, answer
        place = urlsplit(answer.data["downloadUrl"]).path
        served = await raw.get(street.gateway.base_url, place)
        named = [value for header, value in served.headers if header == "content-disposition"]
        assert named == [content_disposition(answer.data["fileName"])]
        assert named[0].isascii()
        assert named[0].count('"') == 2
        assert [header for header, _ in served.headers if header in {"set-cookie", "x", "location"}] == []


async def test_no_upload_left_the_folder_of_files(street: Desk) -> None:
    for folder in ("ok", "../up", "a/../../b", "/etc", "~root", "a/./b", ".staging", "kieai/other", "s", "COM1", "a:b"):
        await street.post(BASE64, {"base64Data": "SGVsbG8=", "uploadPath": folder, "fileName": "x.txt"})
    root = street.house.config.data_dir.resolve()
    own = root / "files" / "kieai" / street.account.id
    found = {path.parent.relative_to(own).as_posix() for path in own.rglob("*") if path.is_file()}
    assert found == {"ok", "etc", "~root", "kieai/other", "s", "a_b"}
    assert {path.name for path in (root / "files").iterdir()} <= {".staging", "kieai", "s"}
    assert not any(path.is_symlink() for path in (root / "files").rglob("*"))
    assert not any(path.is_file() for path in (root / "files" / ".staging").iterdir())


# ---- how they are asked for ----


async def test_a_path_leads_to_no_other_file(street: Desk) -> None:
    url = (await put(street, b"Hello there", "x.txt")).data["downloadUrl"]
    path = urlsplit(url).path
    token, key = path.split("/")[2], path.split("/", 3)[3]
    (street.house.config.data_dir / "secret.txt").write_text("secret")
    assert (await raw.get(street.gateway.base_url, path)).status == 200
    for target in (
        f"/files/{token}/../../secret.txt",
        f"/files/{token}/%2e%2e/%2e%2e/secret.txt",
        f"/files/{token}/..%2f..%2fsecret.txt",
        f"/files/{token}/%252e%252e/secret.txt",
        f"/files/{token}/{key}/../x.txt/../../../../secret.txt",
        f"/files/{token}/{key}%00.png",
        f"/files/{token}/{key}%0d%0aX-A:b",
        f"/files/{token}/{key.upper()}",
        f"/files/{token[:-1]}/{key}",
        f"/files/{token}x/{key}",
        f"/files//{key}",
        f"/files/{token}/.staging/x",
        f"/files/%c3%28/{key}",
        f"/files/{token}/{key}\xff",
        "/files/../secret.txt",
        "/files/",
        "/files",
        f"/tessera/{key}",
        "/tessera/../secret.txt",
        "/tessera/%2e%2e/secret.txt?X-Amz-Signature=x",
        "//etc/passwd",
        "/etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
    ):
        answer = await raw.get(street.gateway.base_url, target)
        assert answer.status in {400, 403, 404}, (target, answer)
        assert b"secret" not in answer.body, target
        assert b"root:" not in answer.body, target
        assert b"Hello there" not in answer.body, target


async def test_an_absolute_request_target_is_answered_as_its_path(street: Desk) -> None:
    """A proxy's form of a request must not make a proxy of us."""
    answer = await raw.get(street.gateway.base_url, "http://169.254.169.254/latest/meta-data/")
    assert (answer.status, answer.headers[-1][0] != "location") == (404, True)


RANGES = [
    "bytes=" + ",".join(f"{n}-{n}" for n in range(1000)),
    "bytes=" + ",".join(["0-"] * 1000),
    "bytes=" + ",".join(f"-{n}" for n in range(1, 1000)),
    "bytes=0-0,1-1",
    "bytes=5-0",
    "bytes=-",
    "bytes=" + "9" * 4000 + "-",
    "bytes=0-" + "9" * 4000,
    "bytes=٠-٩",
    "bytes=0x0-0x5",
    "bytes=-0",
    "bytes=1.5-2",
    "lines=0-5",
    "bytes",
    "bytes=0-0;q=1",
]


@pytest.mark.parametrize("asked", RANGES, ids=lambda asked: asked[:30])
async def test_ranges_never_add_up_to_more_than_the_file(street: Desk, asked: str) -> None:
    body = bytes(range(256)) * 8
    url = (await put(street, b"\0" + body, "x.bin")).data["downloadUrl"]
    direct = (await street.post(COMMON, {"url": (await street.made())[1]})).data
    for target in (url, direct):
        whole = await street.fetch(target)
        header = f"Range: {asked}".encode().decode("latin-1")
        place = urlsplit(target)
        answer = await raw.get(
            street.gateway.base_url, f"{place.path}?{place.query}" if place.query else place.path, header
        )
        assert answer.status in {200, 206, 416}
        assert len(answer.body) <= max(len(whole.body), 300)
        assert b"multipart/byteranges" not in answer.head.lower()
        if answer.status == 200:
            assert answer.body == whole.body


async def test_a_direct_link_takes_no_words_of_its_reader(street: Desk) -> None:
    """What object stores allow a signer to say about the answer, nobody may add to a link."""
    direct = (await street.post(COMMON, {"url": (await street.made())[1]})).data
    for more in (
        "response-content-type=text%2Fhtml",
        "response-content-disposition=inline",
        "X-Amz-Expires=604800",
        "versionId=1",
        "acl",
    ):
        answer = await street.fetch(f"{direct}&{more}")
        assert answer.status == 403, more
        assert answer.headers["Content-Type"] == "application/xml"
        assert answer.headers["Content-Security-Policy"] == HEADERS["Content-Security-Policy"]


async def test_an_error_page_repeats_nothing_of_the_request(street: Desk) -> None:
    for target in (
        "/files/<script>/x",
        "/tessera/<script>?<script>",
        "/<script>",
        "/api/v1/<script>",
        "/v1/tasks/<script>",
    ):
        answer = await raw.get(street.gateway.base_url, target, "Origin: <script>", "Accept: text/html")
        assert answer.status >= 400
        assert b"<script>" not in answer.body
        assert dict(answer.headers)["x-content-type-options"] == "nosniff"
        assert dict(answer.headers)["content-type"].startswith(("application/json", "application/xml"))
