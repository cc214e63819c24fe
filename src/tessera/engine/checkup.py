"""The parts of a gateway looked at one by one, by whoever wants to know what is wrong with it.

A check answers findings and raises nothing that belongs to the part that it looks at; ``examined`` is where an error
becomes a finding. Nothing is changed, but for a small file that the storage is given and asked to forget.
"""

import hashlib
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from tessera.db import audit, facts, ledger, stats
from tessera.db.connection import Database
from tessera.db.migrate import head
from tessera.domain.errors import StorageError
from tessera.domain.finding import Finding, bad, good, note
from tessera.engine.routes import ANY, SANDBOX
from tessera.kit.clock import Clock, system
from tessera.providers.base import Manifest
from tessera.storage.base import Store

SKEW = timedelta(seconds=2)
"""More than this between our clock and the database's, and deadlines and signatures begin to be wrong."""

LATE = timedelta(minutes=5)
"""A job that is due for so long has no worker."""

LATELY = timedelta(days=1)

LIVE_KEYS = "live keys"
"""The name of the finding that there are some."""

FEW = 8
"""A family of more models than these is told in one line."""

REPORT = "grant nothing and restore nothing: keep a backup, and report it"

BUSY = 0.1
"""From this share of failed callbacks on it is no single receiver's bad day."""


async def examined(name: str, check: Awaitable[Iterable[Finding]], advice: str) -> list[Finding]:
    """The findings of a check, or that it could not be made."""
    try:
        return list(await check)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with a part is what we are here to tell
        text = " ".join(str(error).split()) or "no answer"
        return [bad(name, f"{type(error).__name__}: {text}", advice)]


async def database(database: Database, clock: Clock) -> list[Finding]:
    """Reachable, the schema, how durable a commit is, and whose clock is right."""
    before = clock()
    server = await stats.server(database)
    after = clock()
    middle = before + (after - before) / 2
    return [
        good("database", f"PostgreSQL {server.version} answers"),
        _schema(server.revision, await facts.get(database, facts.SCHEMA_MINIMUM) if server.revision else None),
        _durability(server.settings),
        _clocks(abs(server.now - middle), after - before),
    ]


def _schema(revision: str | None, minimum: str | None = None) -> Finding:
    """``minimum`` is the least that a program has to know, where a contract has set one."""
    if revision is None:
        return note("schema", "there is none yet", "start the gateway once: it makes the schema")
    if minimum is not None and minimum > head():
        text = f"{revision}, which programs work with that know {minimum}; this one knows {head()}"
        return bad("schema", text, "run the newer Tessera here, too")
    if revision < head():
        return note("schema", f"{revision}, this program knows {head()}", "run `tessera migrate`, or start the gateway")
    if revision > head():
        text = f"{revision}, newer than the {head()} of this program, which works with it all the same"
        return note("schema", text, "run the newer Tessera here, too, when it suits")
    return good("schema", revision)


def _durability(settings: Mapping[str, str]) -> Finding:
    off = sorted(name for name, value in settings.items() if value == "off")
    if off:
        return bad(
            "durability",
            f"{', '.join(off)} {'is' if len(off) == 1 else 'are'} off: an accepted task can be lost in a power cut",
            f"turn {'it' if len(off) == 1 else 'them'} on in the database's configuration",
        )
    return good("durability", ", ".join(f"{name} {value}" for name, value in sorted(settings.items())))


def _clocks(apart: timedelta, took: timedelta) -> Finding:
    # What the question itself took is no error of a clock.
    apart = max(timedelta(0), apart - took / 2)
    if apart > SKEW:
        return bad(
            "clock", f"{apart.total_seconds():.1f} s apart from the database's", "synchronise both with NTP or chrony"
        )
    return good("clock", f"{apart.total_seconds() * 1000:.0f} ms apart from the database's")


async def queue(database: Database) -> list[Finding]:
    jobs = await stats.jobs(database)
    total = sum(each.count for each in jobs)
    due = max((each.due for each in jobs if each.status == "queued"), default=0.0)
    if due > LATE.total_seconds():
        text = f"{_jobs(total)}, the oldest due since {due / 60:.0f} minutes"
        return [bad("queue", text, "run `tessera serve` or `tessera worker`")]
    return [good("queue", _jobs(total) + (f", the oldest due since {due:.0f} s" if due else ""))]


def _jobs(count: int) -> str:
    return f"{count} job{'' if count == 1 else 's'}"


async def books(database: Database, clock: Clock = system) -> list[Finding]:
    """Balances, holds and attempts, by the checks that tests of durability make; and whether live keys are about."""
    return [
        _balances(await ledger.anomalies(database)),
        _holds(await audit.holds(database)),
        _attempts(await audit.attempts_open(database, clock())),
        *_live_keys(await audit.live_keys(database, clock())),
    ]


def _balances(found: Sequence[str]) -> Finding:
    if found:
        text = f"{len(found)} balances are not the sum of their entries: {found[0]}"
        return bad("ledger", text, REPORT)
    return good("ledger", "every balance is the sum of its entries")


def _holds(found: Sequence[str]) -> Finding:
    if found:
        return bad("holds", f"{_number(found)} tasks whose money does not go with their state: {found[0]}", REPORT)
    return good("holds", "every task has one, and its end where the task is over")


def _attempts(found: Sequence[str]) -> Finding:
    if found:
        text = f"{_number(found)} are open though their task is over: {found[0]}"
        return note("attempts", text, "look for them at the provider: it may still be at work on them, and bill them")
    return good("attempts", "none is open whose task is over")


def _number(found: Sequence[str]) -> str:
    return f"{len(found)}" if len(found) < audit.SHOWN else f"at least {len(found)}"


def _live_keys(count: int) -> list[Finding]:
    return [good(LIVE_KEYS, f"{count} in force")] if count else []


async def callbacks(database: Database, clock: Clock) -> list[Finding]:
    failing = await stats.failing(database, clock() - LATELY)
    if not failing:
        return [good("callbacks", "none has failed for good within a day")]
    worst = failing[0]
    text = f"{worst.failed} of {worst.total} of {worst.account} have failed for good within a day"
    advice = f"tessera webhooks list --state failed --account {worst.account}"
    share = worst.failed / worst.total
    return [bad("callbacks", text, advice) if share >= BUSY else note("callbacks", text, advice)]


async def storage(store: Store, folder: Path, fetch: Callable[[str], Awaitable[bytes]] | None) -> list[Finding]:
    """Write, read, delete; with ``fetch`` (where others serve the links) that a presigned link is accepted."""
    key, body = f"check/{secrets.token_hex(8)}.txt", secrets.token_hex(512).encode()
    path = folder / "check.txt"
    path.write_bytes(body)
    await store.put(key, path, media_type="text/plain")
    try:
        read = b"".join([chunk async for chunk in store.read(key)])
        if hashlib.sha256(read).digest() != hashlib.sha256(body).digest():
            raise StorageError("what was read is not what was written")
        findings = [good("storage", "write, read and delete")]
        if fetch is not None:
            findings.append(await _link(store, key, body, fetch))
    finally:
        await store.delete([key])
    return findings


async def _link(store: Store, key: str, body: bytes, fetch: Callable[[str], Awaitable[bytes]]) -> Finding:
    url = store.sign(key, expires=timedelta(minutes=1), now=system())
    advice = "check the endpoint, the region and the key of the bucket, and this machine's clock"
    try:
        same = await fetch(url) == body
    except Exception as error:  # noqa: BLE001 - a link that is refused is the finding
        return bad("direct links", f"a presigned link was not accepted: {error}", advice)
    if not same:
        return bad("direct links", "a presigned link brought something else", advice)
    return good("direct links", "a presigned link is accepted")


def providers(manifests: Sequence[tuple[str, Manifest]], environ: Mapping[str, str]) -> list[Finding]:
    """Which are on, and what the others wait for."""
    found = []
    for name, manifest in sorted(manifests):
        missing = [variable for variable in manifest.environment if not environ.get(variable)]
        if missing:
            found.append(note(f"provider {name}", "off", f"set {' and '.join(missing)} to turn it on"))
        else:
            models = "every model" if ANY in manifest.models else ", ".join(sorted(manifest.models))
            found.append(good(f"provider {name}", f"on, for {models}"))
    return found


def chats(endpoints: Mapping[str, str], environ: Mapping[str, str]) -> list[Finding]:
    """The endpoints of chat models, each with the variable that turns it on."""
    return [
        good(f"chat {name}", "on")
        if environ.get(variable, "").strip()
        else note(f"chat {name}", "off", f"set {variable} to turn it on")
        for name, variable in sorted(endpoints.items())
    ]


def models(
    manifests: Sequence[tuple[str, Manifest]],
    environ: Mapping[str, str],
    routes: Mapping[str, Sequence[str]],
    families: Mapping[str, frozenset[str]],
) -> list[Finding]:
    """Routes that lead nowhere, and models by family that no live key can use. A family of many is told in one line."""
    on = {name: each for name, each in manifests if all(environ.get(variable) for variable in each.environment)}
    live = {name: each for name, each in on.items() if name != SANDBOX}
    findings = [_route(model, route, live) for model, route in sorted(routes.items())]
    for family, known in sorted(families.items()):
        open_ = sorted(known - routes.keys())
        if len(open_) > FEW:
            findings.append(_many(family, open_, manifests, live))
        else:
            findings += [_model(model, manifests, live) for model in open_]
    return findings


def _model(model: str, manifests: Sequence[tuple[str, Manifest]], live: Mapping[str, Manifest]) -> Finding:
    serving = _serving(model, live)
    if serving:
        return good(f"model {model}", f"runs on {', '.join(serving)}")
    return note(
        f"model {model}", "no provider: live keys are refused, test keys work", _how_to_serve([model], manifests)
    )


def _many(
    family: str, models: Sequence[str], manifests: Sequence[tuple[str, Manifest]], live: Mapping[str, Manifest]
) -> Finding:
    served = [model for model in models if _serving(model, live)]
    text = f"{len(served)} of {len(models)} can run with live keys; test keys work for all"
    if len(served) == len(models):
        return good(f"models of {family}", text)
    return note(f"models of {family}", text, _how_to_serve(models, manifests))


def _serving(model: str, live: Mapping[str, Manifest]) -> list[str]:
    return sorted(name for name, each in live.items() if {model, ANY} & each.models.keys())


def _how_to_serve(models: Sequence[str], manifests: Sequence[tuple[str, Manifest]]) -> str:
    wanted = {*models, ANY}
    could = sorted({v for _, each in manifests if wanted & each.models.keys() for v in each.environment})
    if not could:
        return "install a provider that serves it"
    return f"set {could[0]}" if len(could) == 1 else f"set one of {', '.join(could)}"


def _route(model: str, route: Sequence[str], live: Mapping[str, Manifest]) -> Finding:
    lost = sorted({hop.partition(":")[0] for hop in route} - live.keys())
    if lost:
        advice = f"turn {' and '.join(lost)} on, or take it out of the route"
        return bad(f"model {model}", f"its route names {', '.join(lost)}, which is not on here", advice)
    return good(f"model {model}", f"runs on {', '.join(route)}")
