"""Who pays, and how it shows itself."""

import hashlib
import ipaddress
from dataclasses import dataclass
from datetime import datetime

from tessera.domain.errors import Unauthorized
from tessera.domain.task import Mode

KEY_PREFIX = {Mode.TEST: "tsk_test_", Mode.LIVE: "tsk_live_"}

NOT_ALLOWED = "You do not have access permissions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """``previous_secret`` still signs beside the webhook secret until ``previous_until``."""

    id: str
    name: str
    webhook_secret: str
    created_at: datetime
    previous_secret: str | None = None
    previous_until: datetime | None = None

    def secrets(self, now: datetime) -> tuple[str, ...]:
        """The secrets that callbacks are signed with: the new one first, the old one while it is rotated out."""
        if self.previous_secret is None or self.previous_until is None or self.previous_until <= now:
            return (self.webhook_secret,)
        return (self.webhook_secret, self.previous_secret)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """The most that a key may spend, in milli-credits; None is no cap."""

    hour: int | None = None
    day: int | None = None
    total: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """An API key as it is kept: its SHA-256 and a hint of four letters, never itself.

    ``networks`` are the addresses that may use it, in CIDR form; none means every address.
    """

    id: str
    account_id: str
    mode: Mode
    name: str
    hint: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    networks: tuple[str, ...] = ()
    caps: Caps = Caps()

    def check(self, now: datetime, address: str | None) -> None:
        """Raises Unauthorized when the key may not be used now from ``address``."""
        if self.revoked_at is not None:
            raise Unauthorized(f"{NOT_ALLOWED}: this API key was revoked")
        if self.expires_at is not None and self.expires_at <= now:
            raise Unauthorized(f"{NOT_ALLOWED}: this API key has expired")
        if self.networks and not _within(address, self.networks):
            raise Unauthorized(f"{NOT_ALLOWED}: this API key may not be used from your address")


def digest(key: str) -> bytes:
    """What is kept of a key: SHA-256 (a key has 192 random bits, so no slow hash is needed)."""
    return hashlib.sha256(key.encode()).digest()


def _within(address: str | None, networks: tuple[str, ...]) -> bool:
    if address is None:
        return False
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return any(ip in ipaddress.ip_network(network, strict=False) for network in networks)
