"""AWS Signature Version 4 in the query of a URL, both ways: links are made and links are judged. Pure functions.

LinkError
├── Malformed            the link does not have the form of a presigned URL
├── ForeignCredential    another key, another region, or another day than the date says
├── BadSignature         something in the link was altered
├── NotYetValid          its date lies in the future
└── Expired              its time is over

Expiry is judged last, so that ``Expired`` is said only of a link that is genuine.
"""

import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from urllib.parse import quote, unquote_to_bytes

from tessera.domain.errors import Refusal

ALGORITHM = "AWS4-HMAC-SHA256"
LONGEST = timedelta(days=7)
SKEW = timedelta(minutes=15)
"""How far a signer's clock may be ahead of ours; the number is Amazon's."""

_PAYLOAD = "UNSIGNED-PAYLOAD"
_METHODS = frozenset({"GET", "HEAD"})
_DATE = re.compile(r"\d{8}T\d{6}Z", re.ASCII)
_SECONDS = re.compile(r"[1-9]\d{0,5}", re.ASCII)
_PRINTABLE = re.compile(r"[!-~]+")
# Escapes have upper-case digits in every canonical form; a lower-case one shows that somebody touched the link.
_BROKEN = re.compile(r"%(?![0-9A-F]{2})|[^!-~]")


class LinkError(Refusal):
    """The link is not valid"""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or type(self).__doc__)


class Malformed(LinkError):
    """The link is not a presigned URL"""


class ForeignCredential(LinkError):
    """The link was signed with a credential that is not valid here"""


class BadSignature(LinkError):
    """The link was altered: its signature does not match"""


class NotYetValid(LinkError):
    """The link is dated in the future"""


class Expired(LinkError):
    """The link has expired; ask for a new one"""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A key pair. The id is public, the secret never shows in a ``repr``."""

    access_key_id: str
    secret_access_key: str = field(repr=False)


def sign(
    origin: str,
    path: str,
    credentials: Credentials,
    *,
    region: str,
    expires: timedelta,
    now: datetime,
    method: str = "GET",
) -> str:
    """A presigned URL for ``path`` (as it reads, not yet percent-encoded) at ``origin`` (``https://host[:port]``).

    ``expires`` is 1 second to 7 days, in whole seconds; ValueError otherwise.
    """
    head = _head(credentials.access_key_id, region, int(now.timestamp()), expires)
    uri = quote(path, safe="/")
    request = _request(method, origin.partition("://")[2], uri, head.signed)
    signature = _signature(request, head.stamp, credentials.secret_access_key, region)
    return f"{origin}{uri}?{head.shown}&X-Amz-Signature={signature}"


@dataclass(frozen=True, slots=True)
class _Head:
    """The query of a link but for its signature: as it is signed, and in the order in which it is usually shown."""

    stamp: str
    signed: str
    shown: str


@lru_cache(maxsize=16)
def _head(key_id: str, region: str, second: int, expires: timedelta) -> _Head:
    """What the links of one second share. Kept, because under load that is thousands of them."""
    seconds = _seconds(expires)
    stamp = f"{datetime.fromtimestamp(second, UTC):%Y%m%dT%H%M%SZ}"
    credential = quote(_credential(key_id, stamp[:8], region), safe="")
    return _Head(
        stamp,
        f"X-Amz-Algorithm={ALGORITHM}&X-Amz-Credential={credential}&X-Amz-Date={stamp}"
        f"&X-Amz-Expires={seconds}&X-Amz-SignedHeaders=host",
        f"X-Amz-Algorithm={ALGORITHM}&X-Amz-Date={stamp}&X-Amz-SignedHeaders=host"
        f"&X-Amz-Expires={seconds}&X-Amz-Credential={credential}",
    )


def verify(
    method: str, host: str, path: str, query: str, credentials: Credentials, *, region: str, now: datetime
) -> None:
    """Accept a link or raise a LinkError. ``path`` and ``query`` are raw, as on the request line; ``host`` as signed.

    A client may have escaped more or less than we would, since the meaning is signed and not the spelling (some HTTP
    libraries write ``/`` for ``%2F``); what has two readings is refused. Every parameter is covered by the signature.
    """
    if method not in _METHODS or not _PRINTABLE.fullmatch(host):
        raise Malformed("A presigned URL is for GET and HEAD")
    params = _params(query)
    claim = _claim(params)
    if claim.credential != _credential(credentials.access_key_id, claim.stamp[:8], region):
        raise ForeignCredential
    signed = _join((name, value) for name, value in params.items() if name != "X-Amz-Signature")
    request = _request(method, host, _canonical(path, "/"), signed)
    expected = _signature(request, claim.stamp, credentials.secret_access_key, region)
    if not hmac.compare_digest(expected, claim.signature):
        raise BadSignature
    age = now - claim.moment
    if age < -SKEW:
        raise NotYetValid
    if age > claim.expires:
        raise Expired


@dataclass(frozen=True, slots=True)
class _Claim:
    """What a link says of itself, well-formed but not yet believed."""

    signature: str
    credential: str
    stamp: str
    moment: datetime
    expires: timedelta


def _claim(params: Mapping[str, str]) -> _Claim:
    fixed = {"X-Amz-Algorithm": ALGORITHM, "X-Amz-SignedHeaders": "host"}
    if any(params.get(name) != value for name, value in fixed.items()):
        raise Malformed(f"A presigned URL has X-Amz-Algorithm={ALGORITHM} and X-Amz-SignedHeaders=host")
    if params.get("X-Amz-Content-Sha256", _PAYLOAD) != _PAYLOAD or "X-Amz-Security-Token" in params:
        raise Malformed("A presigned URL carries no payload hash and no session token here")
    try:
        stamp, seconds = params["X-Amz-Date"], params["X-Amz-Expires"]
        credential = unquote_to_bytes(params["X-Amz-Credential"]).decode()
        return _Claim(params["X-Amz-Signature"], credential, stamp, _moment(stamp), _lifetime(seconds))
    except KeyError as missing:
        raise Malformed(f"A presigned URL has {missing.args[0]}") from None
    except UnicodeDecodeError:
        raise Malformed("X-Amz-Credential is not text") from None


def _moment(stamp: str) -> datetime:
    try:
        if _DATE.fullmatch(stamp):
            return datetime.fromisoformat(stamp)
    except ValueError:
        pass  # digits, but no day of any calendar
    raise Malformed("X-Amz-Date has the form 20260101T000000Z")


def _lifetime(seconds: str) -> timedelta:
    if not _SECONDS.fullmatch(seconds) or timedelta(seconds=int(seconds)) > LONGEST:
        raise Malformed(f"X-Amz-Expires is 1 to {LONGEST // timedelta(seconds=1)} seconds")
    return timedelta(seconds=int(seconds))


def _seconds(expires: timedelta) -> int:
    seconds, rest = divmod(expires, timedelta(seconds=1))
    if rest or not timedelta(0) < expires <= LONGEST:
        raise ValueError("A link lives 1 second to 7 days, in whole seconds")
    return seconds


def _params(query: str) -> dict[str, str]:
    """Names and values in canonical spelling. Nothing may occur twice, nothing may lack its ``=``."""
    params: dict[str, str] = {}
    for item in query.split("&"):
        raw, equals, value = item.partition("=")
        name = _canonical(raw)
        if not name or not equals or name in params:
            raise Malformed("Each query parameter is name=value and occurs once")
        # A plus sign is a space to some and a plus to others.
        if "+" in item:
            raise Malformed("A query parameter has an unescaped plus sign")
        params[name] = _canonical(value)
    return params


def _canonical(part: str, safe: str = "") -> str:
    """The one spelling that is signed: everything escaped but letters, digits and ``-._~``."""
    if _BROKEN.search(part):
        raise Malformed("The link has a broken percent-escape or a character that a URL cannot hold")
    return quote(unquote_to_bytes(part), safe=safe)


def _join(params: Iterable[tuple[str, str]]) -> str:
    return "&".join(f"{name}={value}" for name, value in sorted(params))


def _credential(key_id: str, day: str, region: str) -> str:
    return f"{key_id}/{day}/{region}/s3/aws4_request"


def _request(method: str, host: str, uri: str, query: str) -> str:
    return f"{method}\n{uri}\n{query}\nhost:{host}\n\nhost\n{_PAYLOAD}"


def _signature(request: str, stamp: str, secret: str, region: str) -> str:
    digest = sha256(request.encode()).hexdigest()
    text = f"{ALGORITHM}\n{stamp}\n{stamp[:8]}/{region}/s3/aws4_request\n{digest}"
    return hmac.digest(_key(secret, stamp[:8], region), text.encode(), "sha256").hex()


@lru_cache(maxsize=64)
def _key(secret: str, day: str, region: str) -> bytes:
    """The signing key of a day: four HMACs, so it is kept. Bounded, because a link may claim any day."""
    key = f"AWS4{secret}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
