"""Who asks: the bearer key of a request, looked up in groups and remembered for a moment."""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

from tessera.api.http import HttpRequest, header
from tessera.db import accounts
from tessera.db.connection import Database
from tessera.domain.account import NOT_ALLOWED, ApiKey, digest
from tessera.domain.errors import Unauthorized
from tessera.kit.batch import Batch
from tessera.kit.clock import Clock

BEARER = re.compile(r"^bearer +(?P<key>[!-~]{1,256}) *$", re.IGNORECASE)

MISSING = "send the header 'Authorization: Bearer YOUR_API_KEY'"
MALFORMED = "the header 'Authorization' is there, but it must read 'Bearer YOUR_API_KEY'"
UNKNOWN = "this gateway has no such API key"
"""What to mend. Beyond that nothing is told of a key: a wrong one is unknown, however near it came."""

HOP = re.compile(r"\[(?P<six>[0-9A-Fa-f:.]+)\](?::[0-9]{1,5})?|(?P<four>[0-9.]+):[0-9]{1,5}")

FRESH = 2.0
"""Seconds for which a key is remembered: so long may a revoked one still read. New tasks look at the row itself."""

MOST = 10_000

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class _Seen:
    key: ApiKey
    until: float


def bare(hop: str) -> str:
    """The address in a hop of X-Forwarded-For, to which some proxies add the port: ``192.0.2.1:4711``, ``[::1]:80``."""
    found = HOP.fullmatch(hop.strip())
    return (found["six"] or found["four"]) if found else hop.strip()


class Keys:
    """``proxies`` are the networks whose X-Forwarded-For is believed."""

    def __init__(
        self,
        database: Database,
        *,
        clock: Clock,
        proxies: Sequence[Network] = (),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._clock = clock
        self._proxies = tuple(proxies)
        self._monotonic = monotonic
        self._seen: dict[bytes, _Seen] = {}
        self._find: Batch[bytes, ApiKey | None] = Batch(self._find_all, lanes=2)

    async def __call__(self, request: HttpRequest) -> ApiKey:
        """The key that the request shows. Raises Unauthorized."""
        shown = header(request, b"authorization")
        if shown is None:
            raise Unauthorized(f"{NOT_ALLOWED}: {MISSING}")
        found = BEARER.match(shown)
        if found is None:
            raise Unauthorized(f"{NOT_ALLOWED}: {MALFORMED}")
        key = await self._lookup(digest(found["key"]))
        if key is None:
            raise Unauthorized(f"{NOT_ALLOWED}: {UNKNOWN}")
        key.check(self._clock(), self.address(request) if key.networks else None)
        return key

    def address(self, request: HttpRequest) -> str | None:
        """The caller's address: the nearest one that is no proxy of ours."""
        peer = request.client.host if request.client else None
        if not self._proxies or not self._trusted(peer):
            return peer
        hops = [bare(hop) for hop in (header(request, b"x-forwarded-for") or "").split(",")]
        for hop in reversed(hops):
            if not self._trusted(hop):
                return hop
        return peer

    def _trusted(self, address: str | None) -> bool:
        try:
            ip = ip_address(address or "")
        except ValueError:
            return False
        # On a socket that takes both, an IPv4 caller has the IPv6 address that stands for it.
        mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
        return any((mapped or ip) in network for network in self._proxies)

    async def _lookup(self, hashed: bytes) -> ApiKey | None:
        seen = self._seen.get(hashed)
        if seen is not None and seen.until > self._monotonic():
            return seen.key
        key = await self._find(hashed)
        if key is not None:
            if len(self._seen) >= MOST:
                self._seen.clear()
            self._seen[hashed] = _Seen(key, self._monotonic() + FRESH)
        return key

    async def _find_all(self, digests: Sequence[bytes]) -> list[ApiKey | Exception | None]:
        found = await accounts.keys_by_digest(self._database, digests)
        return [found.get(each) for each in digests]
