"""Where we may go: what an address is however it was spelled, what a URL leads to, and the policy that judges both.

Pure rules: nothing is looked up and nothing is dialled here.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Literal
from urllib.parse import quote, urljoin

from yarl import URL  # the type in which aiohttp takes a URL without rewriting it

Address = IPv4Address | IPv6Address

Rule = Literal["length", "characters", "scheme", "credentials", "host", "port", "address", "redirect", "encoding"]

LENGTH = 8192
"""The longest URL that is read, in characters; presigned URLs reach some thousands."""


class Reach(Enum):
    """Who can be met at an address."""

    PUBLIC = auto()
    LOOPBACK = auto()
    INTERNAL = auto()


# Written out rather than asked of ``ipaddress.is_global``, whose answers differ between releases of Python.
_INTERNAL_V4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # "this network"; Linux dials 0.0.0.0 as loopback
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # carrier-grade NAT; a cloud's metadata service at 100.100.100.200
            "168.63.129.16/32",  # looks public, but is a cloud's own agent, met from inside only
            "169.254.0.0/16",  # link-local; the metadata service of most clouds at 169.254.169.254
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # protocol assignments
            "192.0.2.0/24",  # documentation
            "192.88.99.0/24",  # 6to4 relays
            "192.168.0.0/16",  # private
            "198.18.0.0/15",  # benchmarking
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and broadcast
        ),
    )
)
_LOOPBACK_V4 = IPv4Network("127.0.0.0/8")

# All that is public in IPv6 lies in one block. Outside of it, and therefore never public: ::/96 (unspecified, loopback,
# IPv4-compatible), ::ffff:0:0/96 (IPv4-mapped), 64:ff9b::/96 and 64:ff9b:1::/48 (NAT64), 100::/64 (discard), 5f00::/16
# (segment routing), fc00::/7 (unique local), fe80::/10 (link-local), fec0::/10 (site-local), ff00::/8 (multicast).
_GLOBAL_V6 = IPv6Network("2000::/3")
_INTERNAL_V6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments: Teredo, benchmarking, ORCHID
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4, which carries an IPv4 address
            "3fff::/20",  # documentation
        ),
    )
)

# Services that read lines of text: a POST to one of them can be made to look like its own language.
_FOREIGN_PORTS = frozenset(
    {7, 9, 13, 19, 20, 21, 22, 23, 25, 37, 53, 69, 79, 110, 111, 119, 123, 135, 137, 138, 139, 143, 161, 179, 389, 445}
    | {465, 512, 513, 514, 515, 548, 554, 563, 587, 631, 636, 873, 989, 990, 993, 995, 1433, 1521, 2049, 3306, 3389}
    | {5060, 5061, 5432, 5900, 6000, 6379, 6667, 6697, 11211, 27017}
)

_URL = re.compile(r"([a-z][a-z0-9+.-]*)://([^/?#]*)([^#]*)", re.ASCII | re.IGNORECASE)
_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]:@%]+)(?::([0-9]{1,5}))?", re.ASCII | re.IGNORECASE)
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_NUMBER = re.compile(r"0x(?P<hex>[0-9a-f]+)|(?P<octal>0[0-7]*)|(?P<decimal>[1-9][0-9]*)", re.ASCII)
_LOOKS_NUMERIC = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)", re.ASCII)


class OutboundError(Exception):
    """The root of the tree."""


class Refused(OutboundError):
    """A rule forbids this URL, or what it led to."""

    def __init__(self, rule: Rule, message: str) -> None:
        super().__init__(message)
        self.rule = rule


def reach(address: Address) -> Reach:
    """Who can be met at the address. An IPv4 address inside an IPv6 one is never public."""
    if isinstance(address, IPv4Address):
        return _reach_v4(address)
    if address.ipv4_mapped is not None:
        inner = _reach_v4(address.ipv4_mapped)
        return Reach.LOOPBACK if inner is Reach.LOOPBACK else Reach.INTERNAL
    if address.is_loopback:
        return Reach.LOOPBACK
    special = address.scope_id is not None or any(address in network for network in _INTERNAL_V6)
    return Reach.PUBLIC if address in _GLOBAL_V6 and not special else Reach.INTERNAL


def _reach_v4(address: IPv4Address) -> Reach:
    if address in _LOOPBACK_V4:
        return Reach.LOOPBACK
    return Reach.INTERNAL if any(address in network for network in _INTERNAL_V4) else Reach.PUBLIC


def literal(host: str) -> Address | None:
    """The address that a lower-case URL host spells, or None where it is a name.

    ``host`` carries its brackets if it is IPv6. IPv4 is read in every form that the C library reads: ``127.1``,
    ``0x7f000001``, ``017700000001``, ``2130706433``. Raises ValueError for what looks like an address and is none.
    """
    if host.startswith("["):
        return IPv6Address(host[1:-1])
    return _ipv4(host) if _LOOKS_NUMERIC.fullmatch(host) else None


def _ipv4(text: str) -> IPv4Address:
    *heads, tail = map(_number, text.split("."))
    room = 4 - len(heads)
    if room < 1 or tail >= 256**room or any(head > 255 for head in heads):
        raise ValueError("not an IPv4 address")
    return IPv4Address(bytes(heads) + tail.to_bytes(room))


def _number(text: str) -> int:
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise ValueError("not a part of an IPv4 address")
    bases = {"hex": 16, "octal": 8, "decimal": 10}
    kind = match.lastgroup or "decimal"
    return int(match[kind], bases[kind])


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Where we may go. ``ports`` None means any port but those of well-known services that do not speak HTTP.

    ``allow_loopback`` is for a laptop that calls itself; ``allow_private`` allows every address.
    """

    allow_loopback: bool = False
    allow_private: bool = False
    ports: frozenset[int] | None = None
    max_redirects: int = 5

    def permits(self, address: Address) -> bool:
        found = reach(address)
        return self.allow_private or found is Reach.PUBLIC or (self.allow_loopback and found is Reach.LOOPBACK)

    def permits_port(self, port: int) -> bool:
        if self.ports is not None:
            return port in self.ports
        return 1 <= port <= 65535 and port not in _FOREIGN_PORTS


def vet(url: str, policy: Policy) -> URL:
    """The URL in the one form in which it will be requested. Judges its text; looks nothing up. Raises Refused.

    The host becomes ASCII and an address its usual spelling; path and query keep their bytes, so that signatures over
    them stay valid; the fragment goes.
    """
    if not 0 < len(url) <= LENGTH:
        raise Refused("length", f"A URL has 1 to {LENGTH} characters.")
    if not url.isprintable() or " " in url or "\\" in url:
        raise Refused("characters", "A URL must not contain whitespace, control characters or backslashes.")
    match = _URL.match(url)
    scheme = match[1].lower() if match else ""
    if match is None or scheme not in {"http", "https"}:
        raise Refused("scheme", "A URL must begin with http:// or https://.")
    host, port = _authority(match[2], policy)
    usual = 443 if scheme == "https" else 80
    if not policy.permits_port(usual if port is None else port):
        raise Refused("port", "This port is not allowed.")
    place = host if port in {None, usual} else f"{host}:{port}"
    path, question, query = match[3].partition("?")
    return URL(f"{scheme}://{place}{_ascii(path) or '/'}{question}{_ascii(query)}", encoded=True)


def _authority(text: str, policy: Policy) -> tuple[str, int | None]:
    if "@" in text:
        raise Refused("credentials", "A URL must not carry a user name or a password.")
    match = _AUTHORITY.fullmatch(text)
    if match is None:
        raise Refused("host", "The URL has no valid host and port.")
    return _host(match[1], policy), None if match[2] is None else int(match[2])


def _host(text: str, policy: Policy) -> str:
    if len(text) > 253:  # before IDNA, whose work grows faster than its input
        raise Refused("host", "The host of the URL is too long.")
    try:
        host = text.lower() if text.isascii() else URL.build(scheme="http", host=text).raw_host or ""
        address = literal(host)
    except ValueError as error:
        raise Refused("host", "The host of the URL is not valid.") from error
    if address is not None:
        if not policy.permits(address):
            raise internal()
        return f"[{address}]" if address.version == 6 else str(address)
    if len(host) > 253 or not all(map(_LABEL.fullmatch, host.split("."))):
        raise Refused("host", "The host of the URL is not valid.")
    if f".{host}".endswith(".localhost") and not (policy.allow_loopback or policy.allow_private):
        raise internal()
    return host


def _ascii(text: str) -> str:
    return quote(text, safe="%/:?@[]!$&'()*+,;=-._~")


def internal() -> Refused:
    """The refusal of an address, in words that do not tell which one it was."""
    return Refused("address", "The host of the URL is not on the public internet.")


def onward(url: URL, location: str, policy: Policy) -> URL:
    """Where a redirect leads, judged like any other URL, and never from https to http. Raises Refused."""
    if not location.isprintable():
        raise Refused("characters", "A redirect contains control characters.")
    try:
        target = location if _URL.match(location) else urljoin(str(url), location)
    except ValueError as error:
        raise Refused("host", "A redirect leads to something that is no URL.") from error
    following = vet(target, policy)
    if url.scheme == "https" and following.scheme != "https":
        raise Refused("redirect", "A redirect leads from https to http.")
    return following
