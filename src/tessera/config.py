# ruff: noqa: RUF009 - the calls in the dataclass below make fields, as dataclasses.field does
"""Every setting of the gateway, declared once.

``Config`` is the list: a field's type, default, rule, meaning and secrecy stand together, and the environment,
``tessera.toml``, the command line, ``tessera config`` and the reference page are all read off it. Precedence: command
line, environment, file, default. Adding a setting is adding a field.

    config = load(os.environ)
    config.port, config.origins["port"]        # 8787, "default"

Where a default shows a unit of time the value is a ``timedelta``; ``*_seconds`` and ``openai_timeout`` are plain
numbers of seconds. Sizes are whole bytes.
"""

import base64
import binascii
import difflib
import json
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from enum import StrEnum
from fractions import Fraction
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any, Literal, TypedDict, TypeVar, Unpack, cast
from urllib.parse import urlsplit

import msgspec

PREFIX = "TESSERA_"
CONFIG_VARIABLE = "TESSERA_CONFIG"
DEFAULT_FILE = Path("tessera.toml")
RESERVED = frozenset({CONFIG_VARIABLE, "TESSERA_API_KEY", "TESSERA_BASE_URL"})
"""Variables with our prefix that are no settings: where the file is, and what a client of a gateway uses."""

MASK = "***"

REPLAYABLE = timedelta(hours=24)
"""How long an idempotency key stands for its task, so that no record may go sooner."""

Origin = Literal["default", "environment", "tessera.toml", "command line"]
Network = IPv4Network | IPv6Network
T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)
Parse = Callable[[object], T]
"""A text, or what TOML makes of it, in; a value out. Its ValueError says the rule and never the value."""


class SettingError(ValueError):
    """A setting is wrong. The message is one sentence: which one, what it is, the rule."""


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """``auto`` is console on a terminal and JSON elsewhere."""

    AUTO = "auto"
    CONSOLE = "console"
    JSON = "json"


class StorageKind(StrEnum):
    LOCAL = "local"
    S3 = "s3"


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most ``count`` new tasks in any ``window``."""

    count: int
    window: timedelta


@dataclass(frozen=True, slots=True)
class NetworkPolicy:
    """Which addresses a caller's URL may point at, besides public ones."""

    allow_loopback: bool
    allow_private: bool


# ---- durations, sizes, rates ----

_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
_SIZES = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_SIZES |= {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_FACTORS = {unit.lower(): factor for unit, factor in _SIZES.items()} | {"b": 1, "": 1}

# Digits are counted, so that no text makes a number of absurd length.
_DURATION = re.compile(r"([0-9]{1,15}) *(ms|s|m|h|d)?")
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?) *([a-z]*)")
_RATE = re.compile(r"([0-9]{1,5}) */ *([0-9]{1,9} *[smhd])")


def parse_duration(value: object) -> timedelta:
    """A length of time from ``"250ms"``, ``"15s"``, ``"2m"``, ``"3h"``, ``"14d"``. A bare number is refused."""
    match = _DURATION.fullmatch(_text(value).lower())
    if match is None:
        raise ValueError("must be a whole number with a unit (ms, s, m, h, d), such as 15s or 14d")
    number, unit = match.groups()
    if unit is None:  # seconds to one, minutes to another
        raise ValueError(f"must have a unit: write {number}ms, {number}s, {number}m, {number}h or {number}d")
    try:
        return int(number) * _UNITS[unit]
    except OverflowError:
        raise ValueError("must be shorter than three million years") from None


def parse_size(value: object) -> int:
    """Bytes from ``1048576``, ``"100MB"`` (10^6), ``"10MiB"`` (2^20), ``"1.5GB"``. Case does not matter."""
    match = _SIZE.fullmatch(_text(value).lower())
    if match is None or match[2] not in _FACTORS:
        raise ValueError("must be a number of bytes, bare or with a unit (kB, MB, GB, KiB, MiB, GiB), such as 100MB")
    size = Fraction(match[1]) * _FACTORS[match[2]]
    if size.denominator != 1:
        raise ValueError("must come to a whole number of bytes")
    return int(size)


def parse_rate(value: object) -> RateLimit | None:
    """A rate from ``"20/10s"``; None, which is no limit, from ``"0"``."""
    text = _text(value).lower()
    if text == "0":
        return None
    match = _RATE.fullmatch(text)
    rate = RateLimit(int(match[1]), parse_duration(match[2])) if match else None
    if rate is None or not 1 <= rate.count <= 10_000 or not timedelta() < rate.window <= timedelta(days=1):
        raise ValueError("must be a count up to 10,000 and a window up to 24h, such as 20/10s, or 0 for no limit")
    return rate


def show_duration(value: timedelta) -> str:
    """The text with the largest unit that ``parse_duration`` reads as this value; whole milliseconds only."""
    if not value:
        return "0s"
    unit = next(unit for unit in reversed(_UNITS) if value % _UNITS[unit] == timedelta() or unit == "ms")
    return f"{value // _UNITS[unit]}{unit}"


def show_size(value: int) -> str:
    """The shortest text that ``parse_size`` reads as this value."""
    texts = [f"{value // factor}{unit}" for unit, factor in _SIZES.items() if value and value % factor == 0]
    return min([*texts, str(value)], key=len)


# ---- the other kinds of value ----

_WHOLE = re.compile(r"-?[0-9][0-9_]{0,17}")
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,3})?")
_HOST = re.compile(r"[0-9A-Za-z_.:-]{1,253}")
_URL = re.compile(r"https?://[0-9a-z.:_\[\]-]+(/[0-9a-z._~-]+)*/*", re.IGNORECASE)
_POSTGRES = re.compile(r"postgres(ql)?://[!-~]+")
_NAME = re.compile(r"[0-9A-Za-z._-]{1,255}")
_SEGMENT = re.compile(r"(?!\.+$)[0-9A-Za-z._=-]+")
_PLACE = re.compile(r"[a-z0-9][a-z0-9_-]*:[!-~]+")
_KEY_TAIL = re.compile(r"[0-9A-Za-z_-]{1,200}")
_YES = ("true", "yes", "on", "1")
_NO = ("false", "no", "off", "0")


def _text(value: object) -> str:
    """The text of a value; a number in a TOML file is as good as its digits, a truth value is not."""
    if isinstance(value, bool) or not isinstance(value, str | int | float | Path):
        raise ValueError("must be a text or a number")
    return str(value).strip()


def _list(value: object) -> list[str]:
    """The parts of a comma-separated text, or of a TOML list."""
    if isinstance(value, list):
        return [_text(part) for part in value]
    return [part.strip() for part in _text(value).split(",") if part.strip()]


def _whole(low: int, high: int) -> Parse[int]:
    def parse(value: object) -> int:
        text = _text(value)
        number = int(text.replace("_", "")) if _WHOLE.fullmatch(text) else low - 1
        if not low <= number <= high:
            raise ValueError(f"must be a whole number from {low:,} to {high:,}")
        return number

    return parse


def _seconds(low: float, high: float) -> Parse[float]:
    def parse(value: object) -> float:
        text = _text(value)
        number = float(text) if _SECONDS.fullmatch(text) else -1.0
        if not low <= number <= high:
            raise ValueError(f"must be a plain number of seconds from {low:g} to {high:,g}")
        return number

    return parse


def _duration(low: str, high: str) -> Parse[timedelta]:
    least, most = parse_duration(low), parse_duration(high)

    def parse(value: object) -> timedelta:
        duration = parse_duration(value)
        if not least <= duration <= most:
            raise ValueError(f"must be from {low} to {high}")
        return duration

    return parse


def _size(low: str, high: str) -> Parse[int]:
    least, most = parse_size(low), parse_size(high)

    def parse(value: object) -> int:
        size = parse_size(value)
        if not least <= size <= most:
            raise ValueError(f"must be from {low} to {high}")
        return size

    return parse


def _choice(kind: type[E]) -> Parse[E]:
    def parse(value: object) -> E:
        try:
            return kind(_text(value).lower())
        except ValueError:
            raise ValueError(f"must be one of: {', '.join(kind)}") from None

    return parse


def _yes_no(value: object) -> bool:
    text = str(value).strip().lower()
    if text not in _YES + _NO:
        raise ValueError("must be true or false")
    return text in _YES


def _yes_no_auto(value: object) -> bool | None:
    if isinstance(value, str) and value.strip().lower() == "auto":
        return None
    try:
        return _yes_no(value)
    except ValueError:
        raise ValueError("must be true, false or auto") from None


def _matching(pattern: re.Pattern[str], rule: str) -> Parse[str]:
    def parse(value: object) -> str:
        text = _text(value)
        if not pattern.fullmatch(text):
            raise ValueError(rule)
        return text

    return parse


def _path(value: object) -> Path:
    text = _text(value)
    if not text or "\0" in text:
        raise ValueError("must be the path of a folder")
    return Path(text).expanduser()


def _url(value: object) -> str:
    """An absolute URL in its plain form: scheme and host in lower case, no slash at the end."""
    text, rule = _text(value), "must be an absolute http or https URL without user name, query, fragment or escapes"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(rule) from None
    if not _URL.fullmatch(text) or not parts.hostname or port == 0:
        raise ValueError(rule)
    return f"{parts.scheme.lower()}://{parts.netloc.lower()}{parts.path.rstrip('/')}"


def _database(value: object) -> str:
    text, rule = _text(value), "must be a PostgreSQL URL such as postgresql://name:password@host:5432/database"
    try:
        urlsplit(text)
    except ValueError:
        raise ValueError(rule) from None
    if not _POSTGRES.fullmatch(text):
        raise ValueError(rule)
    return text


def _prefix(value: object) -> str:
    text = _text(value).strip("/")
    if text and not all(_SEGMENT.fullmatch(part) for part in text.split("/")):
        raise ValueError("must be a path of plain names, such as media/tessera")
    return text


def _networks(value: object) -> tuple[Network, ...]:
    try:
        return tuple(ip_network(part) for part in _list(value))
    except ValueError:
        raise ValueError("must be a list of networks without host bits, such as 10.0.0.0/8,127.0.0.1") from None


def _schedule(value: object) -> tuple[timedelta, ...]:
    waits = tuple(parse_duration(part) for part in _list(value))
    if not 1 <= len(waits) <= 20 or not all(timedelta() < wait <= timedelta(days=7) for wait in waits):
        raise ValueError("must be one to twenty durations of at most 7d each, such as 5s,30s,2m")
    return waits


def _routes(value: object) -> Mapping[str, tuple[str, ...]]:
    rule = 'must map models to lists of provider:upstream-model, such as {"gpt4o-image": ["openai:gpt-image-2"]}'
    try:
        table = msgspec.json.decode(value) if isinstance(value, str) else value
        routes = msgspec.convert(table, dict[str, list[str]])
    except msgspec.MsgspecError:
        raise ValueError(rule) from None
    places = [place for route in routes.values() for place in route]
    if not all(routes.values()) or not all(routes) or not all(map(_PLACE.fullmatch, places)):
        raise ValueError(rule)
    return {model: tuple(route) for model, route in routes.items()}


def _chat_routes(value: object) -> Mapping[str, str]:
    rule = 'must map chat models to endpoint:upstream-model, such as {"gpt-5-2": "openai:gpt-5.2"}'
    try:
        table = msgspec.json.decode(value) if isinstance(value, str) else value
        routes = msgspec.convert(table, dict[str, str])
    except msgspec.MsgspecError:
        raise ValueError(rule) from None
    if not all(routes) or not all(map(_PLACE.fullmatch, routes.values())):
        raise ValueError(rule)
    return routes


def _api_key(prefix: str) -> Parse[str]:
    def parse(value: object) -> str:
        text = _text(value)
        if not text.startswith(prefix) or len(text) < 24 or not _KEY_TAIL.fullmatch(text):
            raise ValueError(f"must be {prefix} and letters, digits, - or _, at least 24 characters in all")
        return text

    return parse


def _webhook_secret(value: object) -> str:
    text = _text(value)
    try:
        key = base64.b64decode(text.removeprefix("whsec_"), validate=True) if text.startswith("whsec_") else b""
    except (binascii.Error, ValueError):
        key = b""
    if not 24 <= len(key) <= 64:
        raise ValueError("must be whsec_ and the Base64 of 24 to 64 random bytes")
    return text


# ---- the declaration ----


def _show(value: object) -> str:
    """A value as its own parser reads it."""
    match value:
        case bool():
            return str(value).lower()
        case float():
            return str(value).removesuffix(".0")
        case timedelta():
            return show_duration(value)
        case RateLimit():
            return f"{value.count}/{show_duration(value.window)}"
        case tuple():
            return ",".join(map(_show, value))
        case dict():
            return msgspec.json.encode(value).decode()
        case _:
            return str(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is known of one setting.

    ``default`` is a text as a person would write it, or None. ``none`` is how None is shown. ``show`` makes the text
    that ``parse`` reads as the value. ``heading`` begins a new group of the reference.
    """

    default: str | None
    parse: Parse[object]
    doc: str
    show: Callable[[Any], str] = _show
    none: str = ""
    secret: bool = False
    heading: str | None = None


class _More(TypedDict, total=False):
    show: Callable[[Any], str]
    none: str
    secret: bool
    heading: str


def _setting(default: str, parse: Parse[T], doc: str, **more: Unpack[_More]) -> T:
    """A field of ``Config`` that carries its own rule; ``doc`` is a line of the reference."""
    value = parse(default)
    return cast("T", _field(lambda: value, Setting(default=default, parse=parse, doc=doc, **more)))


def _optional(parse: Parse[T], doc: str, **more: Unpack[_More]) -> T | None:
    """A field that is None by default."""
    return cast("T | None", _field(lambda: None, Setting(default=None, parse=parse, doc=doc, **more)))


def _field(default: Callable[[], object], setting: Setting) -> object:
    # A factory even for plain values, because a dict may not be a default.
    return field(default_factory=default, repr=not setting.secret, metadata={"setting": setting})


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The settings of one process. Raises SettingError where two of them contradict each other.

    ``origins`` says for each name where its value came from. ``repr`` leaves secrets out.
    """

    host: str = _setting(
        "127.0.0.1",
        _matching(_HOST, "must be a host name or an address to listen on"),
        "Address to listen on. 0.0.0.0 or :: is every address of the machine.",
        heading="Serving",
    )
    port: int = _setting("8787", _whole(0, 65535), "Port to listen on. 0 takes a free one.")
    public_url: str | None = _optional(
        _url,
        "The URL under which callers reach the gateway; links to files start with it. Unset: http://host:port.",
    )
    data_dir: Path = _setting(
        "./data", _path, "Folder for the embedded database and for files of local storage. Made when it is missing."
    )
    log_level: LogLevel = _setting(
        "info", _choice(LogLevel), "Least level that is logged: debug, info, warning, error."
    )
    log_format: LogFormat = _setting(
        "auto", _choice(LogFormat), "console, json, or auto: console on a terminal and json elsewhere."
    )

    metrics_token: str | None = _optional(
        _matching(re.compile(r"[!-~]{16,512}"), "must be 16 to 512 printable characters without spaces"),
        "Who shows this as a bearer token may read /metrics, from anywhere. Unset: only the machine itself may.",
        secret=True,
    )

    database_url: str | None = _optional(
        _database,
        "PostgreSQL to use. Unset: an embedded PostgreSQL in the data folder.",
        secret=True,
        heading="Database",
    )
    database_pool: int = _setting("16", _whole(2, 1000), "Most connections that one process holds open.")

    storage: StorageKind = _setting(
        "local", _choice(StorageKind), "local (files in the data folder) or s3 (a bucket).", heading="Storage"
    )
    s3_bucket: str | None = _optional(
        _matching(_NAME, "must be the name of a bucket"), "Bucket. Needed where storage is s3."
    )
    s3_endpoint: str | None = _optional(
        _url, "URL of an S3-compatible service (R2, MinIO). Unset: AWS, which needs the region."
    )
    s3_region: str = _setting(
        "auto", _matching(_NAME, "must be the name of a region"), "Region, as the service names it."
    )
    s3_access_key_id: str | None = _optional(
        _matching(re.compile(r"[!-~]+"), "must be an access key id"), "Access key id. Needed where storage is s3."
    )
    s3_secret_access_key: str | None = _optional(
        _matching(re.compile(r"[!-~]+"), "must be a secret access key"),
        "Secret access key. Needed where storage is s3.",
        secret=True,
    )
    s3_prefix: str = _setting("", _prefix, "Path in the bucket under which everything is kept.")
    signing_key: str | None = _optional(
        _matching(re.compile(r"[!-~]{32,512}"), "must be 32 to 512 printable characters without spaces"),
        "Key that signs links to files of local storage. Unset: made once and kept in the database.",
        secret=True,
    )
    link_seconds: int = _setting(
        "1200", _whole(1, 604_800), "How long a direct download link is good, in seconds. S3 knows at most 7 days."
    )

    rate_limit: RateLimit | None = _setting(
        "20/10s",
        parse_rate,
        "New tasks an account may start in any window of time. 0 is no limit.",
        none="0",
        heading="Limits",
    )
    max_connections: int = _setting(
        "2000",
        _whole(1, 100_000),
        "HTTP connections that one process holds open; who comes then is told so (HTTP 503). Never more than three "
        "quarters of the files that the system lets the process open.",
    )
    keep_alive_seconds: int = _setting(
        "5",
        _whole(1, 3600),
        "How long a connection stays open for the next request. Behind a proxy that keeps connections: longer than "
        "it does.",
    )
    stalled_seconds: float = _setting(
        "30",
        _seconds(0.1, 3600),
        "A caller who takes less than 4 kB a second of an answer for so long is hung up on.",
    )
    upload_max_bytes: int = _setting("100MB", _size("1kB", "100GB"), "Largest uploaded file.", show=show_size)
    base64_max_bytes: int = _setting(
        "10MB", _size("1kB", "1GB"), "Largest file uploaded as Base64, measured when decoded.", show=show_size
    )
    body_max_bytes: int = _setting(
        "1MB", _size("1kB", "100MB"), "Largest JSON body of every other request.", show=show_size
    )
    input_max_bytes: int = _setting(
        "25MiB", _size("1kB", "10GB"), "Largest input file that is fetched for a task.", show=show_size
    )
    output_max_bytes: int = _setting(
        "512MB", _size("1kB", "100GB"), "Largest file that is taken from a provider.", show=show_size
    )
    max_pixels: int = _setting(
        "100000000", _whole(1, 1_000_000_000), "Most pixels of a picture, judged before it is decoded."
    )

    retention_outputs: timedelta = _setting(
        "14d", _duration("1m", "3650d"), "How long the files of a task are kept.", heading="Keeping"
    )
    retention_uploads: timedelta = _setting("3d", _duration("1m", "3650d"), "How long uploaded files are kept.")
    retention_records: timedelta = _setting(
        "60d",
        _duration("1m", "3650d"),
        "How long tasks are kept on record. At least as long as their files, and at least 1d: for so long an "
        "Idempotency-Key is answered with its task.",
    )

    worker_concurrency: int = _setting(
        "10000", _whole(1, 100_000), "Live tasks that one worker holds at the same time.", heading="Work"
    )
    worker_test_concurrency: int = _setting(
        "1000", _whole(1, 100_000), "Test tasks that one worker holds at the same time, beside the live ones."
    )
    worker_port: int | None = _optional(
        _whole(0, 65535),
        "Port on which `tessera worker` answers /metrics, /healthz and /readyz. Unset: it listens nowhere.",
    )
    heartbeat_seconds: float = _setting(
        "10", _seconds(0.1, 3600), "A task whose worker was silent for so many seconds is taken over by another."
    )
    dequeue_seconds: float = _setting(
        "2", _seconds(0.05, 60), "How often a worker looks for tasks that nobody told it of, lost ones included."
    )
    task_deadline: timedelta = _setting("30m", _duration("1s", "7d"), "A task that has not ended by then fails.")
    late_window: timedelta = _setting(
        "1d", _duration("0s", "30d"), "How long after its deadline a task's result is still waited for, and taken."
    )
    drain_seconds: float = _setting(
        "20",
        _seconds(0, 3600),
        "At shutdown tasks are handed back; steps under way (a submission, say) get so many seconds to end.",
    )
    resend_ambiguous: bool = _setting(
        "false",
        _yes_no,
        "Submit again when it is unknown whether a provider accepted a task. It may then be paid for twice.",
    )

    webhook_timeout: timedelta = _setting(
        "15s", _duration("100ms", "5m"), "How long a callback may take to be answered.", heading="Callbacks"
    )
    webhook_schedule: tuple[timedelta, ...] = _setting(
        "5s,30s,2m,10m,1h,3h,6h,12h", _schedule, "Waits between the tries of a callback, after the first one."
    )

    allow_private_networks: bool | None = _setting(
        "auto",
        _yes_no_auto,
        "May inputs and callbacks point at loopback and private addresses? "
        "auto: at loopback only, and only where the gateway listens on loopback and is not behind a proxy (no public "
        "URL of another host, no trusted proxies).",
        none="auto",
        heading="Network",
    )
    trusted_proxies: tuple[Network, ...] = _setting(
        "", _networks, "Networks of the reverse proxies whose X-Forwarded-For is believed."
    )

    routes: Mapping[str, tuple[str, ...]] = _setting(
        "{}",
        _routes,
        'Providers of a model, in order: a table in the file, JSON elsewhere, such as `{"gpt4o-image": '
        '["openai:gpt-image-2.6-flare"]}`. Models without a route go to every provider that serves them.',
        heading="Providers",
    )
    prices: Path | None = _optional(
        _path, "Your own prices, a TOML file: a model that is named there costs that, any other what its family says."
    )
    sandbox_seconds: float = _setting("3", _seconds(0, 3600), "How many seconds a task of the sandbox takes.")
    openai_timeout: float = _setting("300", _seconds(0.1, 86_400), "How many seconds OpenAI gets to answer.")

    chat_routes: Mapping[str, str] = _setting(
        "{}",
        _chat_routes,
        "Endpoints of chat models: a table in the file, JSON elsewhere, such as "
        '`{"gpt-5-2": "openai:gpt-5.2"}`. The others go to their own vendor, under its own spelling of their name.',
        heading="Chat",
    )
    chat_timeout: timedelta = _setting(
        "10m", _duration("1s", "1h"), "How long a chat call may take, its whole answer included."
    )
    chat_max_tokens: int = _setting(
        "16384",
        _whole(1, 10_000_000),
        "Most tokens of an answer where the caller names no number; their price is held while the call lasts.",
    )
    chat_body_max_bytes: int = _setting(
        "20MB", _size("1kB", "100MB"), "Largest body of a chat call, pictures in it included.", show=show_size
    )

    bootstrap_test_key: str | None = _optional(
        _api_key("tsk_test_"),
        "Test key to create at the first start. Unset: a random one.",
        secret=True,
        heading="First start",
    )
    bootstrap_live_key: str | None = _optional(
        _api_key("tsk_live_"), "Live key to create at the first start. Unset: a random one.", secret=True
    )
    bootstrap_webhook_secret: str | None = _optional(
        _webhook_secret, "Webhook secret of the first account. Unset: a random one.", secret=True
    )
    bootstrap_test_credits: int = _setting(
        "10000", _whole(0, 1_000_000_000), "Test credits that the first account is given."
    )

    faults: str | None = _optional(
        _matching(re.compile(r"[a-z0-9.,=:@ ]{1,2000}"), "must be a list such as run.submitted=exit@3"),
        "For tests only: places where this process shall die, hang or fail, such as `run.submitted=exit@3`. "
        "Unset: none, and nothing is spent on them.",
        heading="Tests",
    )

    origins: Mapping[str, Origin] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.storage is StorageKind.S3:
            _check_bucket(self)
        if self.retention_records < self.retention_outputs:
            raise SettingError(
                f"{variable('retention_records')} is {show_duration(self.retention_records)}, but it must be at least "
                f"{variable('retention_outputs')}, which is {show_duration(self.retention_outputs)}."
            )
        if self.retention_records < REPLAYABLE:
            raise SettingError(
                f"{variable('retention_records')} is {show_duration(self.retention_records)}, but it must be at least "
                f"{show_duration(REPLAYABLE)}: for so long an Idempotency-Key is answered with its task."
            )

    @property
    def base_url(self) -> str:
        """Where callers reach us: ``public_url``, or the address that we listen on."""
        if self.public_url is not None:
            return self.public_url
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - read, not bound
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def policy(self) -> NetworkPolicy:
        """Which networks a caller's URL may point into."""
        if self.allow_private_networks is None:
            # A gateway behind a proxy of the same machine listens on loopback, too, and is no laptop.
            laptop = _is_loopback(self.host) and _is_loopback(urlsplit(self.base_url).hostname or "")
            return NetworkPolicy(allow_loopback=laptop and not self.trusted_proxies, allow_private=False)
        return NetworkPolicy(allow_loopback=self.allow_private_networks, allow_private=self.allow_private_networks)

    @property
    def provider_environ(self) -> dict[str, str]:
        """The settings of our own providers as the variables that those read, wherever the values came from."""
        return {variable(name): _show(getattr(self, name)) for name in ("sandbox_seconds", "openai_timeout")}


def _check_bucket(config: Config) -> None:
    needed = ("s3_bucket", "s3_access_key_id", "s3_secret_access_key")
    missing = [variable(name) for name in needed if getattr(config, name) is None]
    if missing:
        raise SettingError(f"{variable('storage')} is s3, which also needs {' and '.join(missing)}.")
    if config.s3_endpoint is None and config.s3_region == "auto":
        raise SettingError(
            f"{variable('storage')} is s3, which also needs {variable('s3_region')} (of AWS) "
            f"or {variable('s3_endpoint')} (of another service)."
        )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()


SETTINGS: Mapping[str, Setting] = {
    item.name: item.metadata["setting"] for item in fields(Config) if "setting" in item.metadata
}
"""Every setting by name, in the order of the reference."""


# ---- loading ----


@dataclass(frozen=True, slots=True)
class _Given:
    """A value that somebody set. ``label`` is what they would call the setting."""

    origin: Origin
    label: str
    value: object


def load(
    environ: Mapping[str, str], toml_path: Path | None = None, overrides: Mapping[str, object] | None = None
) -> Config:
    """The settings as they stand. ``overrides`` are command-line flags by setting name; None is a flag not given.

    The file is ``toml_path``, else the one that ``TESSERA_CONFIG`` names, else ``tessera.toml`` where there is one.
    An empty environment variable is one that is not set. Raises SettingError.
    """
    given = _from_file(toml_path or _named_file(environ)) | _from_environ(environ) | _from_flags(overrides or {})
    values: dict[str, Any] = {name: _read(name, source) for name, source in given.items()}
    origins: dict[str, Origin] = {name: given[name].origin if name in given else "default" for name in SETTINGS}
    return Config(**values, origins=origins)


def _named_file(environ: Mapping[str, str]) -> Path | None:
    named = environ.get(CONFIG_VARIABLE, "").strip()
    if named:
        return Path(named).expanduser()
    return DEFAULT_FILE if DEFAULT_FILE.is_file() else None


def _from_file(path: Path | None) -> dict[str, _Given]:
    if path is None:
        return {}
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingError(f"The settings file {path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise SettingError(f"The settings file {path} is not valid TOML: {error}.") from None
    for key in table:
        if key not in SETTINGS:
            raise SettingError(f"{path} sets {key}, which is no setting{_nearest(key, SETTINGS)}")
    return {key: _Given("tessera.toml", f"{key} in {path}", value) for key, value in table.items()}


def _from_environ(environ: Mapping[str, str]) -> dict[str, _Given]:
    names = {variable(name): name for name in SETTINGS}
    ours = {key: text for key, text in environ.items() if key.startswith(PREFIX) and key not in RESERVED}
    for key in ours:
        if key not in names:
            raise SettingError(f"The environment sets {key}, which is no setting{_nearest(key, names)}")
    return {names[key]: _Given("environment", key, text) for key, text in ours.items() if text.strip()}


def _from_flags(overrides: Mapping[str, object]) -> dict[str, _Given]:
    given = {}
    for name, value in overrides.items():
        flag = f"--{name.replace('_', '-')}"
        if name not in SETTINGS:
            raise SettingError(f"{flag} is no setting{_nearest(name, SETTINGS)}")
        if value is not None:
            given[name] = _Given("command line", flag, value)
    return given


def _nearest(name: str, known: Mapping[str, object]) -> str:
    """The end of a sentence about an unknown name."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else "."


def _read(name: str, given: _Given) -> object:
    setting = SETTINGS[name]
    try:
        return setting.parse(given.value)
    except ValueError as error:
        value = "set to something that does not fit" if setting.secret else _excerpt(given.value)
        # Without its cause: that one may quote the value, and the value may be a secret.
        raise SettingError(f"{given.label} is {value}, but it {error}.") from None


def _excerpt(value: object) -> str:
    """A value as it may be repeated: short, on one line, without the password of a URL."""
    text = re.sub(r"//[^/@]*@", f"//{MASK}@", json.dumps(value, default=str))
    return text if len(text) <= 80 else f"{text[:77]}..."


# ---- showing ----


@dataclass(frozen=True, slots=True)
class Row:
    """One setting for people: what it is now, and why. ``value`` of a secret is a mask, of an unset one empty."""

    name: str
    env: str
    value: str
    origin: Origin
    doc: str


def describe(config: Config) -> list[Row]:
    """Every setting of ``config``, safe to print."""
    return [
        Row(name, variable(name), _shown(name, config), config.origins.get(name, "default"), setting.doc)
        for name, setting in SETTINGS.items()
    ]


def _shown(name: str, config: Config) -> str:
    setting, value = SETTINGS[name], getattr(config, name)
    if value is None:
        return setting.none
    return MASK if setting.secret else setting.show(value)


_PREFACE = """\
# Settings

Every setting can be given as an environment variable, as a key of `tessera.toml`, or as a flag of the commands that
offer it. The command line wins over the environment, the environment over the file, the file over the default.
`tessera config` shows what is in force and where each value came from.

`tessera.toml` is read from the working directory, or from the place that `TESSERA_CONFIG` names. Its keys are the names
below, at the top level:

```toml
port = 8080
rate_limit = "20/10s"
webhook_schedule = ["5s", "30s", "2m"]

[routes]
gpt4o-image = ["openai:gpt-image-2.6-flare"]
```

- A duration is a whole number with a unit: `ms`, `s`, `m`, `h` or `d`; one without is refused. A name that ends in
  `_seconds`, and `openai_timeout`, takes plain seconds.
- A size is a number of bytes, or a number with a unit: `kB`, `MB`, `GB` are powers of ten, `KiB`, `MiB`, `GiB` of two.
- An empty environment variable counts as not set.
- A name that is no setting is refused, in the file and, where it starts with `TESSERA_`, in the environment.
  (Kubernetes adds such variables by itself for a service called `tessera`: set `enableServiceLinks: false`.)
- Secrets are never shown, neither by `tessera config` nor in an error. Prefer the environment for them.
"""

_HEAD = """\
| name | environment | default | meaning |
| --- | --- | --- | --- |
"""


def reference() -> str:
    """The page ``docs/settings.md``."""
    return _PREFACE + "".join(_reference_line(name, setting) for name, setting in SETTINGS.items())


def _reference_line(name: str, setting: Setting) -> str:
    head = f"\n## {setting.heading}\n\n{_HEAD}" if setting.heading else ""
    default = f"`{setting.default}`" if setting.default else "unset"
    doc = setting.doc.replace("|", "\\|") + (" Secret." if setting.secret else "")
    return f"{head}| `{name}` | `{variable(name)}` | {default} | {doc} |\n"
