"""Everything hostile that a URL can be, lead to, or be answered with: data for the doors of ``test_guard_everywhere``.

``{canary}`` is the port of a server on the loopback that nobody may reach. ``web.test`` is a public host that does what
its pages below say.
"""

import asyncio
import gzip
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.security.internet import OTHER, PORT, WEB, Behave, Visit

RULES: Mapping[str, tuple[str, ...]] = {
    "length": ("A URL has 1 to 8192 characters.",),
    "characters": ("A URL must not contain whitespace, control characters or backslashes.",),
    "scheme": ("A URL must begin with http:// or https://.",),
    "credentials": ("A URL must not carry a user name or a password.",),
    "host": ("The URL has no valid host and port.", "The host of the URL is not valid.", "The host of the URL is too"),
    "port": ("This port is not allowed.",),
    "address": ("The host of the URL is not on the public internet.",),
}
"""What a caller is told, by the rule that was broken."""

# ---- refused by their text, at the door ----

URLS: Sequence[tuple[str, str]] = (
    # this machine, in every spelling that some library reads
    ("http://127.0.0.1:{canary}/", "address"),
    ("HTTP://127.0.0.1:{canary}/", "address"),
    ("http://127.1:{canary}/", "address"),
    ("http://127.0.1:{canary}/", "address"),
    ("http://127.255.255.254:{canary}/", "address"),
    ("http://2130706433:{canary}/", "address"),
    ("http://0x7f000001:{canary}/", "address"),
    ("http://0X7F.0.0.1:{canary}/", "address"),
    ("http://0x7f.1:{canary}/", "address"),
    ("http://017700000001:{canary}/", "address"),
    ("http://0177.0.0.01:{canary}/", "address"),
    ("http://00000000177.0.0.1:{canary}/", "address"),
    ("http://0:{canary}/", "address"),
    ("http://0.0.0.0:{canary}/", "address"),
    ("http://１２７.０.０.１:{canary}/", "address"),
    ("http://①②⑦.⓪.⓪.①:{canary}/", "address"),
    ("http://127。0。0。1:{canary}/", "address"),
    ("http://localhost:{canary}/", "address"),
    ("http://LocalHost:{canary}/", "address"),
    ("http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ:{canary}/", "address"),
    ("http://canary.localhost:{canary}/", "address"),
    ("http://localhost.:{canary}/", "host"),
    ("http://127.0.0.1.:{canary}/", "host"),
    ("http://127.0.0.1%00.example.com:{canary}/", "host"),
    ("http://%31%32%37.0.0.1:{canary}/", "host"),
    ("http://127.0.0.256:{canary}/", "host"),
    ("http://4294967296:{canary}/", "host"),
    ("http://08.0.0.1:{canary}/", "host"),
    # the same in IPv6, and IPv4 within it
    ("http://[::1]:{canary}/", "address"),
    ("http://[0:0:0:0:0:0:0:1]:{canary}/", "address"),
    ("http://[::]:{canary}/", "address"),
    ("http://[::ffff:127.0.0.1]:{canary}/", "address"),
    ("http://[::ffff:7f00:1]:{canary}/", "address"),
    ("http://[::FFFF:0.0.0.0]:{canary}/", "address"),
    ("http://[::ffff:0:127.0.0.1]:{canary}/", "address"),
    ("http://[::127.0.0.1]:{canary}/", "address"),
    ("http://[64:ff9b::127.0.0.1]:{canary}/", "address"),
    ("http://[64:ff9b:1::7f00:1]:{canary}/", "address"),
    ("http://[2002:7f00:1::]:{canary}/", "address"),
    ("http://[2001::f0ff:fffe]:{canary}/", "address"),
    ("http://[fe80::1]:{canary}/", "address"),
    ("http://[fec0::1]:{canary}/", "address"),
    ("http://[fd00:ec2::254]:{canary}/", "address"),
    ("http://[ff02::1]:{canary}/", "address"),
    ("http://[2001:db8::1]:{canary}/", "address"),
    ("http://[fe80::1%25lo]:{canary}/", "host"),
    ("http://[::1%lo]:{canary}/", "host"),
    ("http://[::1:{canary}/", "host"),
    ("http://[::1]x:{canary}/", "host"),
    ("http://[127.0.0.1]:{canary}/", "host"),
    ("http://[v1.127.0.0.1]:{canary}/", "host"),
    ("http://::1:{canary}/", "host"),
    # other inner places
    ("http://10.0.0.1/", "address"),
    ("http://172.31.255.255/", "address"),
    ("http://192.168.0.1/", "address"),
    ("http://169.254.169.254/latest/meta-data/", "address"),
    ("http://2852039166/latest/meta-data/", "address"),
    ("http://[::ffff:a9fe:a9fe]/latest/meta-data/", "address"),
    ("http://100.100.100.200/latest/meta-data/", "address"),
    ("http://168.63.129.16/machine", "address"),
    ("http://192.0.0.192/opc/v1/", "address"),
    ("http://100.64.0.1/", "address"),
    ("http://198.18.0.1/", "address"),
    ("http://224.0.0.1/", "address"),
    ("http://255.255.255.255/", "address"),
    # who is meant: before the @ or behind it
    ("http://web.test@127.0.0.1:{canary}/", "credentials"),
    ("http://127.0.0.1:{canary}@web.test:8080/", "credentials"),
    ("http://user:password@web.test:8080/", "credentials"),
    ("http://web.test:8080%2f@127.0.0.1:{canary}/", "credentials"),
    ("http://@127.0.0.1:{canary}/", "credentials"),
    # what is no URL of the web
    ("file:///etc/passwd", "scheme"),
    ("file://127.0.0.1/etc/passwd", "scheme"),
    ("ftp://127.0.0.1:{canary}/", "scheme"),
    ("gopher://127.0.0.1:{canary}/_GET", "scheme"),
    ("dict://127.0.0.1:{canary}/stats", "scheme"),
    ("ldap://127.0.0.1:{canary}/", "scheme"),
    ("jar:http://127.0.0.1:{canary}/!/x", "scheme"),
    ("concat:http://127.0.0.1:{canary}/a|/etc/passwd", "scheme"),
    ("data:image/png;base64,iVBORw0KGgo=", "scheme"),
    ("javascript:alert(1)", "scheme"),
    ("unix+http://%2Frun%2Fdocker.sock/", "scheme"),
    ("//127.0.0.1:{canary}/", "scheme"),
    ("127.0.0.1:{canary}/", "scheme"),
    ("http:127.0.0.1:{canary}/", "scheme"),
    ("http:/127.0.0.1:{canary}/", "scheme"),
    # characters that one reader sees otherwise than the next
    ("http://web.test:8080\\@127.0.0.1:{canary}/", "characters"),
    ("http:\\\\127.0.0.1:{canary}\\", "characters"),
    (" http://127.0.0.1:{canary}/", "characters"),
    ("http://127.0.0.1\t:{canary}/", "characters"),
    ("http://web.test:8080/\r\nHost: 127.0.0.1\r\n", "characters"),
    ("http://web.test:8080/\x00", "characters"),
    ("http://127.0.0.1\u200b:{canary}/", "characters"),
    ("http://web.test:8080/\u202egnp.exe", "characters"),
    ("http://web.test:8080/" + "a" * 8192, "length"),
    # ports of services that read lines
    ("http://web.test:22/", "port"),
    ("http://web.test:25/", "port"),
    ("http://web.test:5432/", "port"),
    ("http://web.test:6379/", "port"),
    ("http://web.test:11211/", "port"),
    ("http://web.test:0/", "port"),
    ("http://web.test:65536/", "port"),
    ("http://web.test:-80/", "host"),
    ("http:///etc/passwd", "host"),
    ("http://a..b/", "host"),
    ("http://" + "a" * 64 + ".test/", "host"),
    ("http://web.test, 127.0.0.1/", "characters"),
    ("http://web.test;127.0.0.1:{canary}/", "host"),
)

# ---- refused by what their name leads to, before anything is dialled ----

NAMES: Sequence[tuple[str, Sequence[str]]] = (
    ("loopback.test", ["127.0.0.1"]),
    ("zero.test", ["0.0.0.0"]),
    ("six.test", ["::1"]),
    ("mapped.test", ["::ffff:127.0.0.1"]),
    ("compatible.test", ["::127.0.0.1"]),
    ("nat64.test", ["64:ff9b::7f00:1"]),
    ("sixtofour.test", ["2002:7f00:1::"]),
    ("link.test", ["fe80::1%lo"]),
    ("metadata.test", ["169.254.169.254"]),
    ("private.test", ["10.0.0.1"]),
    ("shared.test", ["100.64.0.1"]),
    ("mixed.test", [OTHER, "127.0.0.1"]),
    ("mixed-first.test", ["127.0.0.1", OTHER]),
    ("mixed-six.test", [OTHER, "::1"]),
    ("metadata.google.internal", ["169.254.169.254"]),
)

# ---- reached, and refused by what they answer ----


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What a page of ``web.test`` does, and what follows from it at each door.

    ``upload`` is the HTTP status and words of the answer; ``task`` the error code of the failed task. ``callback`` is
    the HTTP status on record, or the words of the error where none came.
    """

    name: str
    behave: Behave
    upload: tuple[int, str]
    task: int
    callback: int | str


INNER = RULES["address"][0]
OUTSIDE = (400, INNER)
LARGE = (400, "fileUrl: the file is larger than")
LATE = (500, "The server took too long.")
BROKEN = (500, "The answer ended before it was complete.")
NONSENSE = (500, "The answer is not valid HTTP.")
PACKED = (400, "The server compressed the file although plain bytes were asked for.")
LOST = (500, "The connection was lost.")

OK = "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n"


def say(*texts: str | bytes) -> Behave:
    async def behave(visit: Visit) -> None:
        for text in texts:
            await visit.say(text)

    return behave


def then_silence(text: str) -> Behave:
    async def behave(visit: Visit) -> None:
        await visit.say(text)
        await visit.gone()

    return behave


def forever(head: str, piece: str | bytes, pause: float = 0.0) -> Behave:
    """Until the caller hangs up."""

    async def behave(visit: Visit) -> None:
        await visit.say(head)
        while True:
            await visit.say(piece)
            await asyncio.sleep(pause)

    return behave


def redirect(location: str, status: int = 302) -> Behave:
    return say(f"HTTP/1.1 {status} Go\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")


def bare(status: int) -> Behave:
    return say(f"HTTP/1.1 {status} So\r\nContent-Length: 0\r\n\r\n")


def packed(coding: str, body: bytes) -> Behave:
    return say(f"{OK}Content-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n\r\n", body)


def led(name: str, location: str, upload: tuple[int, str] = OUTSIDE, status: int = 302) -> Page:
    """A redirect: an input is never fetched through it, a callback never follows it."""
    return Page(name=f"redirect-{name}", behave=redirect(location, status), upload=upload, task=451, callback=status)


REDIRECTS = (
    *(led(f"by-{status}", "http://127.0.0.1:{canary}/", status=status) for status in (301, 302, 303, 307, 308)),
    led("short", "http://127.1:{canary}/"),
    led("decimal", "http://2130706433:{canary}/"),
    led("six", "http://[::1]:{canary}/"),
    led("mapped", "http://[::ffff:7f00:1]:{canary}/"),
    led("zero", "http://0:{canary}/"),
    led("no-scheme", "//127.0.0.1:{canary}/"),
    led("localhost", "http://localhost:{canary}/"),
    led("name", "http://loopback.test:{canary}/"),
    led("mixed-name", "http://mixed.test:{canary}/"),
    led("metadata", "http://169.254.169.254/latest/meta-data/iam/"),
    led("private", "https://10.0.0.1/"),
    led("credentials", "http://user:secret@127.0.0.1:{canary}/", (400, RULES["credentials"][0])),
    led("file", "file:///etc/passwd", (400, RULES["scheme"][0])),
    led("gopher", "gopher://127.0.0.1:{canary}/_GET", (400, RULES["scheme"][0])),
    led("data", "data:image/png;base64,iVBORw0KGgo=", (400, "A URL must begin with")),
    led("port", "http://web.test:6379/", (400, RULES["port"][0])),
    led("backslash", "http://web.test\\@127.0.0.1:{canary}/", (400, RULES["characters"][0])),
    led("loop", f"http://web.test:{PORT}/redirect-loop", (400, "The URL leads through more than 5 redirects.")),
    led("broken", "http://[::1", (400, RULES["host"][0])),
)

BODIES = (
    Page(name="endless", behave=forever(f"{OK}\r\n", b"x" * 65536), upload=LARGE, task=400, callback=200),
    Page(
        name="endless-chunks",
        behave=forever(f"{OK}Transfer-Encoding: chunked\r\n\r\n", b"1000\r\n" + b"x" * 4096 + b"\r\n"),
        upload=LARGE,
        task=400,
        callback=200,
    ),
    Page(
        name="a-terabyte",
        behave=then_silence(f"{OK}Content-Length: 1000000000000\r\n\r\n"),
        upload=LARGE,
        task=400,
        callback=200,
    ),
    Page(
        name="slow-body",
        behave=forever(f"{OK}Content-Length: 9000\r\n\r\n", b"x", 0.02),
        upload=LATE,
        task=451,
        callback=200,
    ),
    Page(
        name="slow-head",
        behave=forever("HTTP/1.1 200 OK\r\n", "X-A: b\r\n", 0.02),
        upload=LATE,
        task=451,
        callback=LATE[1],
    ),
    Page(name="silence", behave=then_silence(""), upload=LATE, task=451, callback=LATE[1]),
    Page(name="hang-up", behave=say(), upload=LOST, task=451, callback=LOST[1]),
    Page(
        name="gzip-bomb",
        behave=packed("gzip", gzip.compress(bytes(10_000_000), mtime=0)),
        upload=PACKED,
        task=451,
        callback=200,
    ),
    Page(name="deflate", behave=packed("deflate", zlib.compress(bytes(10_000))), upload=PACKED, task=451, callback=200),
    Page(name="brotli", behave=packed("br", b"\x0b\x02\x80"), upload=PACKED, task=451, callback=200),
    Page(
        name="gzip-within-identity",
        behave=packed("identity, gzip", gzip.compress(b"x", mtime=0)),
        upload=PACKED,
        task=451,
        callback=200,
    ),
    Page(
        name="shorter-than-said",
        behave=say(f"{OK}Content-Length: 100\r\n\r\n", b"\x89PNG\r\n\x1a\n"),
        upload=BROKEN,
        task=451,
        callback=200,
    ),
    Page(
        name="chunks-cut-off",
        behave=say(f"{OK}Transfer-Encoding: chunked\r\n\r\n", b"64\r\nabc"),
        upload=BROKEN,
        task=451,
        callback=200,
    ),
    Page(
        name="chunks-that-are-none",
        behave=say(f"{OK}Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n"),
        upload=NONSENSE,
        task=451,
        callback=NONSENSE[1],
    ),
    Page(
        name="two-lengths",
        behave=say(f"{OK}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
        upload=NONSENSE,
        task=451,
        callback=NONSENSE[1],
    ),
    Page(
        name="length-and-chunks",
        behave=say(f"{OK}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        upload=NONSENSE,
        task=451,
        callback=NONSENSE[1],
    ),
    Page(
        name="negative-length",
        behave=say(f"{OK}Content-Length: -1\r\n\r\nabc"),
        upload=NONSENSE,
        task=451,
        callback=NONSENSE[1],
    ),
    Page(name="a-banner", behave=say("SSH-2.0-OpenSSH_9.9\r\n"), upload=NONSENSE, task=451, callback=NONSENSE[1]),
    Page(name="bare-bytes", behave=say(b"\x89PNG\r\n\x1a\n"), upload=NONSENSE, task=451, callback=NONSENSE[1]),
    Page(
        name="a-header-of-a-megabyte",
        behave=say("HTTP/1.1 200 OK\r\nX-A: " + "a" * 1_000_000 + "\r\n\r\n"),
        upload=NONSENSE,
        task=451,
        callback=NONSENSE[1],
    ),
    Page(
        name="empty",
        behave=say(f"{OK}Content-Length: 0\r\n\r\n"),
        upload=(400, "file: The file is empty"),
        task=400,
        callback=200,
    ),
    Page(
        name="no-content",
        behave=say("HTTP/1.1 204 No\r\n\r\n"),
        upload=(400, "file: The file is empty"),
        task=400,
        callback=204,
    ),
    Page(
        name="not-found",
        behave=say("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"),
        upload=(400, "HTTP status 404"),
        task=451,
        callback=404,
    ),
    Page(
        name="broken-server",
        behave=say("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"),
        upload=(400, "HTTP status 500"),
        task=451,
        callback=500,
    ),
)

PAGES = (*REDIRECTS, *BODIES)

assert len(URLS) + len(NAMES) + len(PAGES) >= 60
assert WEB != OTHER
