"""Any text at all, for the two judges of what strangers send: the guard of URLs and the judge of presigned links."""

import asyncio
import socket
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from yarl import URL

from tessera.api.ranges import Unsatisfiable, pick
from tessera.kit.address import Policy, Refused, reach, vet
from tessera.kit.outbound import Outbound, _Guard
from tessera.storage.links import Links
from tessera.storage.sigv4 import Credentials, LinkError, sign, verify

CLOSED = Policy()
MANY = settings(max_examples=400)

# ---- the guard ----

ALPHABET = "0123456789abcdefxX.:/@[]%#?&;,\\-_~ \t\r\n\0+＠．。：／１２ⓐⓛ①ßÅİſ\u00ad\u200b\u202e\ufeff\ud800"
HOSTS = st.one_of(
    st.ip_addresses().map(lambda ip: f"[{ip}]" if ip.version == 6 else str(ip)),
    st.ip_addresses(v=4).map(lambda ip: str(int(ip))),
    st.ip_addresses(v=4).map(lambda ip: hex(int(ip))),
    st.ip_addresses(v=4).map(lambda ip: oct(int(ip)).replace("o", "")),
    st.ip_addresses(v=4).map(lambda ip: ".".join(hex(byte) for byte in ip.packed)),
    st.ip_addresses(v=4).map(lambda ip: f"[::ffff:{ip}]"),
    st.ip_addresses(v=4).map(lambda ip: f"[64:ff9b::{ip}]"),
    st.ip_addresses(v=4).map(lambda ip: f"[2002:{ip.packed[:2].hex()}:{ip.packed[2:].hex()}::1]"),
    st.tuples(st.integers(0, 255), st.integers(0, 2**24)).map(lambda parts: f"{parts[0]}.{parts[1]}"),
    st.text(ALPHABET, max_size=20),
    st.text(max_size=12),
    st.sampled_from(
        ["localhost", "127.1", "example.com", "0", "[::]", "0x7f.1", "①②⑦.0.0.1", "a.localhost", "010.1.1.1"]
    ),
)
URLS = st.one_of(
    st.text(ALPHABET, max_size=60),
    st.builds(
        "{}{}{}{}{}".format,
        st.sampled_from(
            ["http://", "https://", "HTTP://", "http:/", "http:\\\\", "//", "", "http://a@", "http://a:b@"]
        ),
        HOSTS,
        st.sampled_from(
            ["", ":80", ":8080", ":0", ":", ":99999", ":22", ":٨٠", "@127.0.0.1", "#@127.0.0.1", "\\@127.0.0.1"]
        ),
        st.sampled_from(["", "/", "?", "#", "/../..", "//127.0.0.1", "/\r\nHost: x", "/%00"]),
        st.text(ALPHABET, max_size=10),
    ),
)


def truly_public(address: IPv4Address | IPv6Address) -> bool:
    """What the standard library holds for reachable by everybody; the guard may be stricter, and never laxer."""
    inner = getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None)
    return address.is_global and not address.is_multicast and not address.is_reserved and inner is None


def read_by_others(host: str) -> list[IPv4Address | IPv6Address]:
    """The addresses that the C library and Python read in a host."""
    bare, found = host.strip("[]"), []
    with suppress(OSError, UnicodeError, ValueError):
        found.append(ip_address(socket.inet_aton(bare)))
    with suppress(ValueError):
        found.append(ip_address(bare))
    with suppress(OSError, UnicodeError, ValueError):
        numeric = socket.getaddrinfo(bare, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        found += [ip_address(entry[4][0]) for entry in numeric]
    return found


@MANY
@given(URLS)
def test_what_the_guard_lets_through_nobody_reads_as_an_inner_address(url: str) -> None:
    try:
        vetted = vet(url, CLOSED)
    except Refused as error:
        assert str(error).endswith(".")
        return
    assert str(vetted).isascii()
    assert not set(str(vetted)) & set(" \t\r\n\0\\")
    host = vetted.raw_host or ""
    assert not host.endswith("localhost")
    assert (vetted.user, vetted.password) == (None, None)
    for other in (host, urlsplit(str(vetted)).hostname or "", URL(str(vetted)).host or ""):
        assert all(map(truly_public, read_by_others(other))), f"{url!r} is {other!r} to others"
    assert vet(str(vetted), CLOSED) == vetted, "judged once more it is something else"


@MANY
@given(st.one_of(URLS, st.text(max_size=60)))
def test_the_guard_says_yes_or_refused_and_nothing_else(url: str) -> None:
    client = Outbound(CLOSED, resolver=_nobody)
    for _ in range(2):
        with suppress(Refused):
            client.check(url)


async def _nobody(name: str) -> list[str]:
    raise OSError("no such name")


@MANY
@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_no_address_is_public_that_the_standard_library_calls_private(address: IPv4Address | IPv6Address) -> None:
    if CLOSED.permits(address):
        assert truly_public(address), reach(address)


@settings(max_examples=200)
@given(st.lists(st.ip_addresses(), min_size=1, max_size=4))
def test_a_name_is_dialled_where_all_its_answers_are_public_or_not_at_all(
    answers: list[IPv4Address | IPv6Address],
) -> None:
    async def known(name: str) -> list[str]:
        return [str(answer) for answer in answers]

    guard = _Guard(CLOSED, known)
    try:
        found = asyncio.run(guard.resolve("name.test", 80))
    except Refused as error:
        assert error.rule == "address"
        return
    assert [ip_address(each["host"]) for each in found] == answers
    assert all(map(truly_public, answers))


# ---- links ----

NOW = datetime(2026, 5, 17, 12, tzinfo=UTC)
KEYS = Credentials("TESSERA", "0123456789abcdef0123456789abcdef")
HOST = "files.example:8443"
ALL = st.text(st.characters(min_codepoint=0, max_codepoint=0x2FF), max_size=80)


def judge(method: str, host: str, path: str, query: str, keys: Credentials = KEYS, now: datetime = NOW) -> bool:
    """Whether a link is accepted. Anything but a LinkError is a fault of ours."""
    try:
        verify(method, host, path, query, keys, region="local", now=now)
    except LinkError as error:
        assert str(error)
        return False
    return True


def link(path: str = "/tessera/s/picture one.png") -> tuple[str, str]:
    url = sign(f"https://{HOST}", path, KEYS, region="local", expires=timedelta(minutes=20), now=NOW)
    parts = urlsplit(url)
    return parts.path, parts.query


@MANY
@given(st.sampled_from(["GET", "HEAD", "PUT", "get", ""]), ALL, ALL, ALL)
def test_nothing_that_was_not_signed_is_a_link(method: str, host: str, path: str, query: str) -> None:
    assert not judge(method, host, path, query)


@MANY
@given(
    st.dictionaries(
        st.sampled_from(
            [
                "X-Amz-Algorithm",
                "X-Amz-Credential",
                "X-Amz-Date",
                "X-Amz-Expires",
                "X-Amz-SignedHeaders",
                "X-Amz-Signature",
                "X-Amz-Security-Token",
                "x-id",
            ]
        ),
        st.one_of(
            st.text("0123456789abcdefTZ/%-_.;", max_size=64),
            st.sampled_from(
                ["AWS4-HMAC-SHA256", "host", "1200", "20260517T120000Z", "00010101T000000Z", "99991231T235959Z"]
            ),
        ),
    )
)
def test_the_right_names_with_any_values_are_no_link(params: dict[str, str]) -> None:
    assert not judge("GET", HOST, "/tessera/x", "&".join(f"{name}={value}" for name, value in params.items()))


EDIT = st.tuples(st.integers(0, 400), st.sampled_from(["cut", "put", "swap", "double"]), st.characters(codec="ascii"))


Edits = list[tuple[int, str, str]]


def edited(text: str, edits: Edits) -> str:
    for place, how, char in edits:
        at = place % max(1, len(text))
        match how:
            case "cut":
                text = text[:at] + text[at + 1 :]
            case "put":
                text = text[:at] + char + text[at:]
            case "swap":
                text = text[:at] + char + text[at + 1 :]
            case _:
                text = text[:at] + text[at:] + text[at:]
    return text


def meaning(path: str, query: str) -> tuple[str, list[tuple[str, str]]]:
    return unquote(path), sorted(parse_qsl(query, keep_blank_values=True))


@MANY
@given(st.lists(EDIT, max_size=3), st.lists(EDIT, max_size=3))
def test_a_link_that_was_edited_anywhere_is_refused(in_path: Edits, in_query: Edits) -> None:
    path, query = link()
    assert judge("GET", HOST, path, query)
    other = edited(path, in_path), edited(query, in_query)
    assume(meaning(*other) != meaning(path, query))
    assert not judge("GET", HOST, *other)


@MANY
@given(st.text("abcdef0123456789/._ -%~+", max_size=30), st.binary(min_size=16, max_size=16), st.integers(-2000, 2000))
def test_a_link_is_good_for_its_key_its_secret_and_its_time_alone(key: str, secret: bytes, seconds: int) -> None:
    path, query = link(f"/tessera/{key}")
    assert judge("GET", HOST, path, query)
    assert not judge("GET", HOST, path, query, Credentials("TESSERA", secret.hex()))
    assert not judge("GET", f"x{HOST}", path, query)
    assert judge("GET", HOST, path, query, now=NOW + timedelta(seconds=seconds)) == (-900 <= seconds <= 1200)


@MANY
@given(st.one_of(ALL, st.text(ALPHABET, max_size=80).map(lambda text: f"https://{HOST}/files/{text}")))
def test_no_text_is_a_file_url_of_ours_unless_we_made_it(text: str) -> None:
    links = Links(f"https://{HOST}", b"0123456789abcdef")
    assert links.key(text) is None
    assert not links.check(text, text)


@MANY
@given(st.one_of(st.none(), ALL, st.text("bytes=0123456789-, ", max_size=40)), st.integers(0, 10**12))
def test_any_range_header_lies_within_the_file(header: str | None, size: int) -> None:
    try:
        part = pick(header, size)
    except Unsatisfiable:
        return
    assert part is None or 0 <= part[0] < part[1] <= size


@pytest.mark.parametrize(
    "url", ["http://[::1%25lo]/", "http://\ud800/", "http://" + "[" * 500, "http://" + "." * 250 + "/"]
)
def test_what_broke_other_readers_is_refused_here(url: str) -> None:
    with pytest.raises(Refused):
        vet(url, CLOSED)
