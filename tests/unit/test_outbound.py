"""The guarded client: hostile URLs, a real server, and a name service that the tests write."""

import asyncio
import gzip
import hashlib
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest
from aiohttp import web
from yarl import URL

from tessera.kit.address import Reach, literal, onward, reach, vet
from tessera.kit.outbound import (
    BadStatus,
    Outbound,
    OutboundError,
    Policy,
    Refused,
    SystemResolver,
    TimedOut,
    TooLarge,
    Unreachable,
    _Guard,
)

CLOSED = Policy()
LAPTOP = Policy(allow_loopback=True)
OPEN = Policy(allow_private=True)
BODY = bytes(range(256)) * 8


# ---- the text of a URL --------------------------------------------------------------------------------------------

HOSTILE = [
    # schemes
    ("", "length"),
    ("http://example.com/" + "a" * 8192, "length"),
    ("file:///etc/passwd", "scheme"),
    ("ftp://example.com/a.png", "scheme"),
    ("gopher://example.com/_GET", "scheme"),
    ("data:image/png;base64,AAAA", "scheme"),
    ("javascript:alert(1)", "scheme"),
    ("//example.com/a.png", "scheme"),
    ("example.com/a.png", "scheme"),
    ("http:example.com", "scheme"),
    ("http:/example.com", "scheme"),
    ("http\u017f://example.com", "scheme"),
    ("unix+http://example.com/", "scheme"),
    # characters
    (" http://example.com/", "characters"),
    ("http://example.com/a b", "characters"),
    ("http://example.com/\r\nHost: evil", "characters"),
    ("http://example.com\t/", "characters"),
    ("http://exam\x00ple.com/", "characters"),
    ("http://example.com\\@127.0.0.1/", "characters"),
    ("http://exam\u200bple.com/", "characters"),
    ("http://example.com/\u202egnp.exe", "characters"),
    ("http://example.com/\udcff", "characters"),
    # authority
    ("http://user@example.com/", "credentials"),
    ("http://user:password@example.com/", "credentials"),
    ("http://example.com@127.0.0.1/", "credentials"),
    ("http://@example.com/", "credentials"),
    ("http:///path", "host"),
    ("http://?query", "host"),
    ("http://:80/", "host"),
    ("http://./", "host"),
    ("http://example.com./", "host"),
    ("http://a..b/", "host"),
    ("http://-a.com/", "host"),
    ("http://" + "a" * 64 + ".com/", "host"),
    ("http://" + "a." * 130 + "com/", "host"),
    ("http://exa%6dple.com/", "host"),
    ("http://%31%32%37.0.0.1/", "host"),
    ("http://127.0.0.1%2f@example.com/", "credentials"),
    ("http://a,b/", "host"),
    ("http://a／b/", "host"),
    ("http://exam\u00adple.com/", "characters"),
    ("http://example.com:/", "host"),
    ("http://example.com:+80/", "host"),
    ("http://example.com:８０/", "host"),
    ("http://example.com:80:80/", "host"),
    ("http://example.com:0/", "port"),
    ("http://example.com:65536/", "port"),
    ("http://example.com:22/", "port"),
    ("https://example.com:25/", "port"),
    ("http://example.com:6379/", "port"),
    # IPv4, in its many spellings
    ("http://127.0.0.1/", "address"),
    ("http://127.0.0.1:8080/", "address"),
    ("http://127.1/", "address"),
    ("http://127.0.1/", "address"),
    ("http://2130706433/", "address"),
    ("http://0x7f000001/", "address"),
    ("http://0000000000000000000000000177.0.0.1/", "address"),
    ("http://" + "ü" * 5000 + "/", "host"),
    ("http://" + "ü." * 100 + "com/", "host"),
    ("http://0x7F.1/", "address"),
    ("http://017700000001/", "address"),
    ("http://0177.0.0.1/", "address"),
    ("http://0/", "address"),
    ("http://0.0.0.0/", "address"),
    ("http://0x0a.0x00.0x00.0x01/", "address"),
    ("http://１２７.０.０.１/", "address"),
    ("http://①②⑦.⓪.⓪.①/", "address"),
    ("http://127。0。0。1/", "address"),
    ("http://10.0.0.1/", "address"),
    ("http://172.16.0.1/", "address"),
    ("http://172.31.255.255/", "address"),
    ("http://192.168.1.1/", "address"),
    ("http://169.254.169.254/latest/meta-data/", "address"),
    ("http://2852039166/", "address"),
    ("http://100.64.0.1/", "address"),
    ("http://100.100.100.200/", "address"),
    ("http://168.63.129.16/", "address"),
    ("http://192.0.0.192/", "address"),
    ("http://192.0.2.1/", "address"),
    ("http://198.18.0.1/", "address"),
    ("http://198.51.100.1/", "address"),
    ("http://203.0.113.1/", "address"),
    ("http://224.0.0.1/", "address"),
    ("http://240.0.0.1/", "address"),
    ("http://255.255.255.255/", "address"),
    ("http://127.0.0.1./", "host"),
    ("http://1.2.3.4.5/", "host"),
    ("http://256.1.1.1/", "host"),
    ("http://1.2.3.256/", "host"),
    ("http://1.16777216/", "host"),
    ("http://4294967296/", "host"),
    ("http://" + "9" * 5000 + "/", "host"),
    ("http://09.1.1.1/", "host"),
    ("http://0x/", "host"),
    ("http://foo.0x7f/", "host"),
    # IPv6
    ("http://[::1]/", "address"),
    ("http://[::]/", "address"),
    ("http://[0:0:0:0:0:0:0:1]/", "address"),
    ("http://[::127.0.0.1]/", "address"),
    ("http://[::ffff:127.0.0.1]/", "address"),
    ("http://[::ffff:7f00:1]/", "address"),
    ("http://[::ffff:10.0.0.1]/", "address"),
    ("http://[::ffff:8.8.8.8]/", "address"),
    ("http://[64:ff9b::7f00:1]/", "address"),
    ("http://[64:ff9b::8.8.8.8]/", "address"),
    ("http://[64:ff9b:1::1]/", "address"),
    ("http://[100::1]/", "address"),
    ("http://[2001::1]/", "address"),
    ("http://[2001:10::1]/", "address"),
    ("http://[2001:20::1]/", "address"),
    ("http://[2001:db8::1]/", "address"),
    ("http://[2002:7f00:1::]/", "address"),
    ("http://[3fff::1]/", "address"),
    ("http://[5f00::1]/", "address"),
    ("http://[fc00::1]/", "address"),
    ("http://[fd00:ec2::254]/", "address"),
    ("http://[fe80::1]/", "address"),
    ("http://[fec0::1]/", "address"),
    ("http://[ff02::1]/", "address"),
    ("http://[fe80::1%25eth0]/", "host"),
    ("http://[fe80::1%eth0]/", "host"),
    ("http://[::1/", "host"),
    ("http://::1/", "host"),
    ("http://[::1]x/", "host"),
    ("http://[1.2.3.4]/", "host"),
    ("http://[v1.a]/", "host"),
    # names that mean loopback everywhere
    ("http://localhost/", "address"),
    ("http://LOCALHOST:8000/", "address"),
    ("http://a.localhost/", "address"),
]


@pytest.mark.parametrize(("url", "rule"), HOSTILE)
async def test_a_hostile_url_is_refused_before_anything_is_looked_up(url: str, rule: str, tmp_path: Path) -> None:
    names = Names({})
    outbound = Outbound(CLOSED, resolver=names)
    with pytest.raises(Refused) as checked:
        outbound.check(url)
    with pytest.raises(Refused):
        await outbound.download(url, tmp_path / "file", max_bytes=1, timeout=1)
    with pytest.raises(Refused):
        await outbound.post(url, b"", {}, timeout=1)
    assert checked.value.rule == rule
    assert names.asked == []


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("https://example.com", "https://example.com/"),
        ("HTTPS://EXAMPLE.com:443/A.png#part", "https://example.com/A.png"),
        ("http://example.com:8080?x=1", "http://example.com:8080/?x=1"),
        ("http://example.com:443/", "http://example.com:443/"),
        ("https://bücher.example/ä.png?q=ü", "https://xn--bcher-kva.example/%C3%A4.png?q=%C3%BC"),
        ("https://b.example/a%2Fb?sig=a%2Bb%2f/+==&x=%41", "https://b.example/a%2Fb?sig=a%2Bb%2f/+==&x=%41"),
        ("https://b.example/?a=1?b", "https://b.example/?a=1?b"),
        ("https://b.example/{x}|y", "https://b.example/%7Bx%7D%7Cy"),
        ("http://my_service.example/", "http://my_service.example/"),
        ("http://134744072/", "http://8.8.8.8/"),
        ("http://0x08.010.2056/", "http://8.8.8.8/"),
        ("http://[2606:4700:0:0::1111]:8443/", "http://[2606:4700::1111]:8443/"),
        ("http://1e100.net/", "http://1e100.net/"),
    ],
)
def test_a_url_is_requested_in_one_form_that_keeps_its_path_and_query(url: str, canonical: str) -> None:
    assert str(vet(url, CLOSED)) == canonical
    assert vet(canonical, CLOSED) == vet(url, CLOSED)


@pytest.mark.parametrize(
    "url",
    ["http://10.0.0.1/", "http://[::ffff:10.0.0.1]/", "http://169.254.169.254/", "http://0.0.0.0/", "http://[::]/"],
)
def test_a_laptop_may_call_itself_but_not_its_neighbours(url: str) -> None:
    vet("http://127.0.0.1:8000/", LAPTOP)
    vet("http://127.9.9.9/", LAPTOP)
    vet("http://[::1]:8000/", LAPTOP)
    vet("http://[::ffff:127.0.0.1]:8000/", LAPTOP)
    vet("http://localhost:8000/", LAPTOP)
    with pytest.raises(Refused):
        vet(url, LAPTOP)
    vet(url, OPEN)


def test_a_policy_with_ports_allows_these_only() -> None:
    policy = Policy(ports=frozenset({443, 25}))
    vet("https://example.com/", policy)
    vet("https://example.com:25/", policy)
    with pytest.raises(Refused, match="port"):
        vet("http://example.com/", policy)


def test_an_address_is_public_only_where_everybody_can_meet_it() -> None:
    public = ["1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.32.0.0", "198.20.0.0"]
    public += ["223.255.255.255", "2606:4700::1111", "2a00:1450::1", "2001:4860:4860::8888", "2003::1"]
    assert {address for address in public if reach(ip_address(address)) is not Reach.PUBLIC} == set()
    assert reach(ip_address("fe80::1%eth0")) is Reach.INTERNAL
    assert reach(ip_address("2606:4700::1111%eth0")) is Reach.INTERNAL
    assert reach(ip_address("::ffff:127.0.0.1")) is Reach.LOOPBACK


@pytest.mark.parametrize(
    "text", ["1.2.3.4", "0x1.2.3.4", "01.02.03.04", "1.131844", "16909060", "0x01020304", "1.2.772"]
)
def test_an_ipv4_address_is_read_as_the_c_library_reads_it(text: str) -> None:
    assert literal(text) == ip_address(socket.inet_ntoa(socket.inet_aton(text)))


@pytest.mark.parametrize(
    ("start", "location", "target"),
    [
        ("https://a.example/x/y?q=1", "z.png", "https://a.example/x/z.png"),
        ("https://a.example/x", "/z?a=%2B", "https://a.example/z?a=%2B"),
        ("https://a.example/x", "//b.example/z", "https://b.example/z"),
        ("http://a.example/x", "https://b.example/", "https://b.example/"),
        ("http://a.example/x", "http://b.example/", "http://b.example/"),
    ],
)
def test_a_redirect_is_resolved_against_its_page(start: str, location: str, target: str) -> None:
    assert onward(URL(start, encoded=True), location, CLOSED) == URL(target, encoded=True)


@pytest.mark.parametrize(
    ("location", "rule"),
    [
        ("http://b.example/", "redirect"),
        ("//127.0.0.1/", "address"),
        ("https://[::1]/", "address"),
        ("//user:password@b.example/", "credentials"),
        ("file:///etc/passwd", "scheme"),
        ("ftp://b.example/", "scheme"),
        ("https://b.example:22/", "port"),
        ("\t//127.0.0.1/", "characters"),
        ("/a b", "characters"),
        ("/\\127.0.0.1/", "characters"),
        ("https://[", "host"),
        ("https:///", "host"),
    ],
)
def test_a_redirect_from_https_is_judged_like_any_url_and_stays_on_https(location: str, rule: str) -> None:
    with pytest.raises(Refused) as refused:
        onward(URL("https://a.example/x", encoded=True), location, CLOSED)
    assert refused.value.rule == rule


# ---- a real server, and names that lead to it ---------------------------------------------------------------------


class Names:
    """A name service: each name has a list of answers, given one after the other, the last one for ever."""

    def __init__(self, answers: Mapping[str, list[list[str]]]) -> None:
        self._answers = {name: list(given) for name, given in answers.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str) -> list[str]:
        self.asked.append(host)
        given = self._answers.get(host)
        if given is None:
            raise socket.gaierror(socket.EAI_NONAME, "unknown name")
        return given.pop(0) if len(given) > 1 else given[0]


class Server:
    """An aiohttp server on loopback; ``/path`` is served by the handler of that name.

    It notes the requests that it saw, and the addresses at which it was met.
    """

    def __init__(self) -> None:
        self.seen: list[web.BaseRequest] = []
        self.met: list[str] = []
        self.handlers: dict[str, Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]] = {}
        self.port = 0

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        self.seen.append(request)
        self.met.append(request.get_extra_info("sockname")[0])
        return await self.handlers[request.path](request)

    def url(self, host: str, path: str) -> str:
        return f"http://{host}:{self.port}{path}"

    def answer(self, path: str, body: bytes = BODY, status: int = 200, **headers: str) -> None:
        async def handler(_: web.BaseRequest) -> web.Response:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return web.Response(body=body, status=status, headers=named)

        self.handlers[path] = handler


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    served = Server()
    runner = web.ServerRunner(web.Server(served), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    served.port = runner.addresses[0][1]
    yield served
    await runner.cleanup()


@pytest.fixture
def names() -> Names:
    here = [["127.0.0.1"]]
    answers = {"a.example": here, "b.example": here, "localhost": here, "inside.example": [["10.0.0.1"]]}
    return Names({**answers, "mixed.example": [["127.0.0.1", "10.0.0.1"]], "empty.example": [[]]})


@pytest.fixture
async def outbound(names: Names) -> AsyncIterator[Outbound]:
    made = Outbound(LAPTOP, resolver=names)
    yield made
    await made.close()


async def fetch(outbound: Outbound, url: str, dest: Path, limit: int = 1 << 20, timeout: float = 5.0) -> bytes:
    await outbound.download(url, dest, max_bytes=limit, timeout=timeout)
    return dest.read_bytes()


@asynccontextmanager
async def raw(reply: bytes, *, hang: bool = False) -> AsyncIterator[int]:
    """A server that says exactly these bytes, then hangs up, or hangs. Yields its port."""
    over = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        await writer.drain()
        if hang:
            await over.wait()
        writer.close()

    listener = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with listener:
        yield listener.sockets[0].getsockname()[1]
        over.set()


async def test_a_file_is_fetched_with_its_facts(server: Server, outbound: Outbound, tmp_path: Path) -> None:
    body = BODY * 2000  # several blocks
    server.answer("/a.png", body, Content_Type="Image/PNG; charset=x")
    dest = tmp_path / "file"
    found = await outbound.download(server.url("a.example", "/a.png#x"), dest, max_bytes=len(body), timeout=30)
    assert dest.read_bytes() == body
    assert (found.size, found.sha256) == (len(body), hashlib.sha256(body).hexdigest())
    assert (found.media_type, found.final_url) == ("image/png", server.url("a.example", "/a.png"))
    headers = server.seen[0].headers
    assert headers["Host"] == f"a.example:{server.port}"
    assert headers["Accept-Encoding"] == "identity"
    assert headers["User-Agent"] == "tessera"


async def test_the_exact_bytes_of_path_and_query_reach_the_server(
    server: Server, outbound: Outbound, tmp_path: Path
) -> None:
    path = "/a%2Fb.png?sig=a%2Bb%2f/+==&x=%41"
    server.answer("/a/b.png")
    await fetch(outbound, server.url("a.example", path), tmp_path / "file")
    assert server.seen[0].raw_path == path


@pytest.mark.parametrize("declared", ["", "nonsense", "a/b/c", "image/" + "x" * 99])
async def test_an_unsound_media_type_counts_as_none(
    declared: str, server: Server, outbound: Outbound, tmp_path: Path
) -> None:
    server.answer("/a", Content_Type=declared)
    found = await outbound.download(server.url("a.example", "/a"), tmp_path / "file", max_bytes=9999, timeout=5)
    assert found.media_type is None


async def test_an_empty_file_is_a_file(server: Server, outbound: Outbound, tmp_path: Path) -> None:
    server.answer("/a", b"")
    assert await fetch(outbound, server.url("a.example", "/a"), tmp_path / "file") == b""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere loopback has one address only")
async def test_a_name_is_looked_up_once_a_hop_and_the_judged_address_is_dialled(server: Server, tmp_path: Path) -> None:
    # Its first answer is judged; had anybody asked again before dialling, the second one would have been used.
    names = Names({"turncoat.example": [["127.0.0.2"], ["10.0.0.1"]], "a.example": [["127.0.0.1"]]})
    outbound = Outbound(LAPTOP, resolver=names, connect_timeout=1)
    runner = web.ServerRunner(web.Server(server), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.2", server.port).start()
    server.answer("/end")
    server.answer("/start", status=302, Location=server.url("turncoat.example", "/end"))
    try:
        assert await fetch(outbound, server.url("a.example", "/start"), tmp_path / "file") == BODY
        assert names.asked == ["a.example", "turncoat.example"]
        assert server.met == ["127.0.0.1", "127.0.0.2"]
        with pytest.raises(Refused):
            await fetch(outbound, server.url("turncoat.example", "/end"), tmp_path / "again")
    finally:
        await outbound.close()
        await runner.cleanup()
    assert len(server.seen) == 2


async def test_a_connection_is_not_used_twice(server: Server, names: Names, outbound: Outbound, tmp_path: Path) -> None:
    server.answer("/a")
    for _ in range(3):
        await fetch(outbound, server.url("a.example", "/a"), tmp_path / "file")
    assert names.asked == ["a.example"] * 3


@pytest.mark.parametrize("host", ["inside.example", "mixed.example"])
async def test_one_forbidden_answer_refuses_the_whole_name(
    host: str, server: Server, outbound: Outbound, tmp_path: Path
) -> None:
    server.answer("/a")
    with pytest.raises(Refused) as refused:
        await fetch(outbound, server.url(host, "/a"), tmp_path / "file")
    with pytest.raises(Refused):
        await outbound.post(server.url(host, "/a"), b"", {}, timeout=5)
    assert refused.value.rule == "address"
    assert "10.0.0.1" not in str(refused.value)
    assert server.seen == []


async def test_a_name_that_leads_to_loopback_is_refused_where_loopback_is(server: Server, names: Names) -> None:
    server.answer("/a")
    outbound = Outbound(CLOSED, resolver=names)
    with pytest.raises(Refused):
        await outbound.post(server.url("a.example", "/a"), b"", {}, timeout=5)
    await outbound.close()
    assert server.seen == []


def test_a_forbidden_address_gets_no_socket_even_if_it_was_not_resolved(names: Names) -> None:
    guard = _Guard(LAPTOP, names)
    with pytest.raises(PermissionError):
        guard.socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("10.0.0.1", 80)))
    guard.socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 80))).close()


async def test_the_system_resolver_answers_addresses() -> None:
    resolver = SystemResolver(threads=1)
    assert set(await resolver("localhost")) <= {"127.0.0.1", "::1"}
    resolver.close()


async def test_a_client_with_the_system_resolver_opens_and_closes(server: Server, tmp_path: Path) -> None:
    outbound = Outbound(LAPTOP)
    server.answer("/a")
    assert await fetch(outbound, server.url("localhost", "/a"), tmp_path / "file") == BODY
    await outbound.close()
    await outbound.close()
    with pytest.raises(RuntimeError):
        await fetch(outbound, server.url("localhost", "/a"), tmp_path / "file")


async def test_proxies_of_the_environment_are_not_used(
    server: Server, outbound: Outbound, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    server.answer("/a")
    assert await fetch(outbound, server.url("a.example", "/a"), tmp_path / "file") == BODY


async def test_cookies_are_not_kept(server: Server, outbound: Outbound, tmp_path: Path) -> None:
    server.answer("/a", Set_Cookie="a=1")
    for _ in range(2):
        await fetch(outbound, server.url("a.example", "/a"), tmp_path / "file")
    assert "Cookie" not in server.seen[1].headers


# ---- redirects ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_followed(status: int, server: Server, outbound: Outbound, tmp_path: Path) -> None:
    server.answer("/end")
    server.answer("/start", status=status, Location="/end")
    found = await outbound.download(server.url("a.example", "/start"), tmp_path / "f", max_bytes=9999, timeout=5)
    assert found.final_url == server.url("a.example", "/end")
    assert [request.method for request in server.seen] == ["GET", "GET"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "forbidden",
    [
        ("http://10.0.0.1/", "address"),
        ("http://inside.example/", "address"),
        ("http://mixed.example/", "address"),
        ("http://169.254.169.254/latest/meta-data/", "address"),
        ("http://0xa9fea9fe/", "address"),
        ("//[fd00:ec2::254]/", "address"),
        ("file:///etc/passwd", "scheme"),
        ("ftp://a.example/", "scheme"),
        ("http://user:password@a.example/", "credentials"),
        ("http://a.example:22/", "port"),
    ],
)
async def test_a_redirect_to_a_forbidden_place_is_refused(
    status: int, forbidden: tuple[str, str], server: Server, outbound: Outbound, tmp_path: Path
) -> None:
    location, rule = forbidden
    server.answer("/start", status=status, Location=location)
    with pytest.raises(Refused) as refused:
        await fetch(outbound, server.url("a.example", "/start"), tmp_path / "file")
    assert refused.value.rule == rule
    assert len(server.seen) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("location", ["http://127.0.0.1:8000/", "//[::1]:8000/", "http://localhost:8000/"])
def test_a_redirect_to_loopback_is_refused(location: str) -> None:
    with pytest.raises(Refused) as refused:
        onward(vet("http://shop.example/a.png", CLOSED), location, CLOSED)
    assert refused.value.rule == "address"


async def test_a_redirect_loop_ends(server: Server, outbound: Outbound, tmp_path: Path) -> None:
    server.answer("/loop", status=302, Location="/loop")
    with pytest.raises(Refused) as refused:
        await fetch(outbound, server.url("a.example", "/loop"), tmp_path / "file")
    assert refused.value.rule == "redirect"
    assert len(server.seen) == LAPTOP.max_redirects + 1


@pytest.mark.parametrize("status", [300, 302, 304, 400, 401, 403, 404, 429, 500, 503])
async def test_an_answer_that_is_no_success_is_told_by_its_status(
    status: int, server: Server, outbound: Outbound, tmp_path: Path
) -> None:
    server.answer("/a", status=status)
    with pytest.raises(BadStatus) as bad:
        await fetch(outbound, server.url("a.example", "/a"), tmp_path / "file")
    assert bad.value.status == status
    assert list(tmp_path.iterdir()) == []


async def test_headers_stay_with_their_origin(server: Server, outbound: Outbound, tmp_path: Path) -> None:
    secret = {"Authorization": "Bearer k", "X-Key": "k"}
    server.answer("/end")
    server.answer("/back", status=302, Location=server.url("a.example", "/end"))
    server.answer("/over", status=302, Location=server.url("b.example", "/back"))
    server.answer("/start", status=302, Location="/over")
    await outbound.download(
        server.url("a.example", "/start"), tmp_path / "f", max_bytes=9999, timeout=5, headers=secret
    )
    assert [(seen.path, seen.headers.get("Authorization"), seen.headers.get("X-Key")) for seen in server.seen] == [
        ("/start", "Bearer k", "k"),
        ("/over", "Bearer k", "k"),
        ("/back", None, None),
        ("/end", None, None),  # once away from home they do not come back
    ]


async def test_another_port_is_another_origin(server: Server, outbound: Outbound, tmp_path: Path) -> None:
    server.answer("/end")
    elsewhere = server.url("a.example", "/end").encode()
    async with raw(b"HTTP/1.1 302 Found\r\nLocation: " + elsewhere + b"\r\n\r\n") as port:
        await outbound.download(
            f"http://a.example:{port}/", tmp_path / "f", max_bytes=9999, timeout=5, headers={"X-Key": "k"}
        )
    assert "X-Key" not in server.seen[0].headers


# ---- bodies -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spare", [0, -1])
@pytest.mark.parametrize("declared", [True, False])
async def test_the_size_limit_is_exact(
    spare: int, declared: bool, server: Server, outbound: Outbound, tmp_path: Path
) -> None:
    async def stream(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = len(BODY) if declared else None
        await response.prepare(request)
        await response.write(BODY)
        return response

    server.handlers["/a"] = stream
    url, limit = server.url("a.example", "/a"), len(BODY) + spare
    if spare == 0:
        assert await fetch(outbound, url, tmp_path / "file", limit) == BODY
    else:
        with pytest.raises(TooLarge) as large:
            await fetch(outbound, url, tmp_path / "file", limit)
        assert large.value.limit == limit
        assert list(tmp_path.iterdir()) == []


async def test_a_declared_size_is_refused_before_the_body_comes(outbound: Outbound, tmp_path: Path) -> None:
    async with raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", hang=True) as port:
        with pytest.raises(TooLarge):
            await fetch(outbound, f"http://a.example:{port}/", tmp_path / "file", 999_999)


async def test_an_endless_body_is_cut_at_the_limit(server: Server, outbound: Outbound, tmp_path: Path) -> None:
    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"\0" * 65536)

    server.handlers["/a"] = endless
    with pytest.raises(TooLarge):
        await fetch(outbound, server.url("a.example", "/a"), tmp_path / "file", 3_000_000, timeout=30)
    assert list(tmp_path.iterdir()) == []


SLOW = {
    "no answer": b"",
    "no end of the headers": b"HTTP/1.1 200 OK\r\nA: b\r\n",
    "no end of the preliminaries": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 5,
    "no end of the body": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc",
    "no end of the chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
}


@pytest.mark.parametrize("said", SLOW.values(), ids=SLOW)
async def test_a_slow_server_is_left_when_the_time_is_up(said: bytes, outbound: Outbound, tmp_path: Path) -> None:
    async with raw(said, hang=True) as port:
        with pytest.raises(TimedOut):
            await fetch(outbound, f"http://a.example:{port}/", tmp_path / "file", timeout=0.2)
    assert list(tmp_path.iterdir()) == []


BROKEN = {
    "nothing": b"",
    "no HTTP": b"220 mail.example ESMTP\r\n\r\n",
    "a header without a name": b"HTTP/1.1 200 OK\r\n: x\r\n\r\n",
    "endless headers": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 20000 + b"\r\n",
    "a long header": b"HTTP/1.1 200 OK\r\nA: " + b"b" * 100_000 + b"\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\nabcd",
    "too short": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc",
    "too long": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef",
    "chunks without an end": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    "a chunk of no number": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("said", BROKEN.values(), ids=BROKEN)
async def test_a_broken_answer_leaves_nothing(said: bytes, outbound: Outbound, tmp_path: Path) -> None:
    async with raw(said) as port:
        with pytest.raises(Unreachable) as unreachable:
            await fetch(outbound, f"http://a.example:{port}/", tmp_path / "file")
    assert "127.0.0.1" not in str(unreachable.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "deflate", "br", "zstd", "identity, gzip", "x-unknown"])
async def test_a_compressed_body_is_refused_and_never_decompressed(
    encoding: str, server: Server, outbound: Outbound, tmp_path: Path
) -> None:
    server.answer("/bomb", gzip.compress(bytes(5_000_000)), Content_Encoding=encoding)
    with pytest.raises(Refused) as refused:
        await fetch(outbound, server.url("a.example", "/bomb"), tmp_path / "file")
    assert refused.value.rule == "encoding"
    assert list(tmp_path.iterdir()) == []


async def test_a_gzip_file_that_is_the_file_itself_arrives_as_it_is(
    server: Server, outbound: Outbound, tmp_path: Path
) -> None:
    packed = gzip.compress(BODY)
    server.answer("/a.gz", packed, Content_Type="application/gzip", Content_Encoding="identity")
    assert await fetch(outbound, server.url("a.example", "/a.gz"), tmp_path / "file") == packed


async def test_a_canceled_download_leaves_nothing(server: Server, outbound: Outbound, tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def stall(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(bytes(2 << 20))
        begun.set()
        await asyncio.Event().wait()
        return response

    server.handlers["/a"] = stall
    running = asyncio.create_task(fetch(outbound, server.url("a.example", "/a"), tmp_path / "file", 1 << 30))
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert list(tmp_path.iterdir()) == []


async def test_a_full_disk_is_no_fault_of_the_server(server: Server, outbound: Outbound, tmp_path: Path) -> None:
    server.answer("/a")
    with pytest.raises(FileNotFoundError):
        await fetch(outbound, server.url("a.example", "/a"), tmp_path / "missing" / "file")


async def test_a_refused_answer_does_not_touch_an_older_file(
    server: Server, outbound: Outbound, tmp_path: Path
) -> None:
    dest = tmp_path / "file"
    dest.write_bytes(b"older")
    server.answer("/a", status=404)
    with pytest.raises(BadStatus):
        await fetch(outbound, server.url("a.example", "/a"), dest)
    assert dest.read_bytes() == b"older"


# ---- places where nobody answers ----------------------------------------------------------------------------------


@pytest.fixture
def deaf() -> int:
    """A port on loopback at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port


@pytest.mark.parametrize("host", ["a.example", "127.0.0.1", "nobody.example", "empty.example"])
async def test_a_server_that_cannot_be_reached_is_told_without_its_address(
    host: str, deaf: int, outbound: Outbound, tmp_path: Path
) -> None:
    failures: list[OutboundError] = []
    for attempt in (
        outbound.download(f"http://{host}:{deaf}/", tmp_path / "file", max_bytes=9, timeout=5),
        outbound.post(f"http://{host}:{deaf}/", b"", {}, timeout=5),
    ):
        with pytest.raises(Unreachable) as unreachable:
            await attempt
        failures.append(unreachable.value)
    assert all("127.0.0.1" not in str(failure) and str(deaf) not in str(failure) for failure in failures)
    assert all(failure.__cause__ is not None for failure in failures)


async def test_https_to_a_server_without_tls_is_unreachable(server: Server, outbound: Outbound, tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="TLS"):
        await fetch(outbound, f"https://a.example:{server.port}/", tmp_path / "file")


@pytest.mark.parametrize(("connect", "total"), [(0.1, 30.0), (30.0, 0.1)])
async def test_a_name_service_that_never_answers_is_left_when_the_time_is_up(
    connect: float, total: float, tmp_path: Path
) -> None:
    async def never(_: str) -> list[str]:
        await asyncio.Event().wait()
        return []

    outbound = Outbound(CLOSED, resolver=never, connect_timeout=connect)
    with pytest.raises(TimedOut):
        await fetch(outbound, "http://a.example/", tmp_path / "file", timeout=total)
    with pytest.raises(TimedOut):
        await outbound.post("http://a.example/", b"", {}, timeout=total)
    await outbound.close()


async def test_the_time_covers_all_hops_together(server: Server, outbound: Outbound, tmp_path: Path) -> None:
    async with raw(b"", hang=True) as port:
        server.answer("/start", status=302, Location=f"http://b.example:{port}/")
        with pytest.raises(TimedOut):
            await fetch(outbound, server.url("a.example", "/start"), tmp_path / "file", timeout=0.3)


# ---- posts --------------------------------------------------------------------------------------------------------


async def test_a_post_sends_its_body_and_headers_and_answers_what_came_back(server: Server, names: Names) -> None:
    got: list[bytes] = []
    moments = iter([10.0, 10.5, 12.25])

    async def handler(request: web.BaseRequest) -> web.Response:
        got.append(await request.read())
        return web.Response(status=500, body=b"bro\x00ken \xff" + b"x" * 9999)

    server.handlers["/hook"] = handler
    outbound = Outbound(LAPTOP, resolver=names, agent="other", monotonic=lambda: next(moments))
    reply = await outbound.post(
        server.url("a.example", "/hook"), b"{}", {"Content-Type": "application/json", "X-Sig": "s"}, timeout=5
    )
    await outbound.close()
    seen = server.seen[0]
    assert got == [b"{}"]
    assert seen.method == "POST"
    assert (seen.headers["Content-Type"], seen.headers["X-Sig"]) == ("application/json", "s")
    assert seen.headers["User-Agent"] == "other"
    assert (reply.status, reply.seconds) == (500, 2.25)
    assert reply.excerpt == "bro\ufffdken \ufffd" + "x" * 503


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_post_follows_no_redirect(status: int, server: Server, outbound: Outbound) -> None:
    server.answer("/hook", b"", status=status, Location="/other")
    reply = await outbound.post(server.url("a.example", "/hook"), b"{}", {}, timeout=5)
    assert (reply.status, len(server.seen)) == (status, 1)


LATE = {
    "slow": (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nreceived", True),
    "short": (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nreceived", False),
}


@pytest.mark.parametrize(("said", "hang"), LATE.values(), ids=LATE)
async def test_the_status_of_a_post_counts_though_its_body_fails(said: bytes, hang: bool, outbound: Outbound) -> None:
    async with raw(said, hang=hang) as port:
        reply = await outbound.post(f"http://a.example:{port}/", b"", {}, timeout=0.3)
    assert (reply.status, reply.excerpt) == (200, "received")


async def test_a_post_without_an_answer_times_out(outbound: Outbound) -> None:
    async with raw(b"", hang=True) as port:
        with pytest.raises(TimedOut):
            await outbound.post(f"http://a.example:{port}/", b"", {}, timeout=0.2)


async def test_a_post_is_sent_once(outbound: Outbound, names: Names) -> None:
    async with raw(b"") as port:
        with pytest.raises(Unreachable):
            await outbound.post(f"http://a.example:{port}/", b"{}", {}, timeout=5)
    assert names.asked == ["a.example"]


async def test_an_endless_answer_to_a_post_is_read_no_further_than_its_beginning(
    server: Server, outbound: Outbound
) -> None:
    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 4096)

    server.handlers["/hook"] = endless
    reply = await outbound.post(server.url("a.example", "/hook"), b"{}", {}, timeout=30)
    assert reply.excerpt == "x" * 512
    assert reply.seconds < 30
