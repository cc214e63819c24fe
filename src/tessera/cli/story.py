"""The demo: the main job, done as a customer would, against a gateway that lives for these few seconds."""

import asyncio
import hashlib
import re
import shlex
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
from PIL import Image

from tessera.cli import logs, show
from tessera.cli.child import Gateway, gateway
from tessera.cli.customer import FILMS, PICTURES, SONGS, Customer, finished
from tessera.cli.demo import Part
from tessera.cli.fail import Fail
from tessera.cli.receiver import Callback, Receiver, kie, receiver, standard
from tessera.cli.scene import harbour
from tessera.cli.stage import Stage
from tessera.cli.stop import on_signal
from tessera.config import LogFormat, LogLevel
from tessera.domain.credit import milli
from tessera.domain.credit import show as show_credits

PROMPT = "The same harbour on a moonlit night, as a Roman mosaic of glass and gold"
BEFORE = "harbour.png"
AFTER = "harbour-at-night.png"

MOVES = "The camera drifts over the harbour at night, the water glitters, a boat comes home"
FILM = "harbour-at-night.mp4"
SECONDS = 4

TITLE = "Harbour Lights"
STYLE = "slow folk waltz, accordion, warm"
LYRICS = """[Verse]
The boats come home across the bay
A lantern swings at the end of day
[Chorus]
Harbour lights, shine for me
Harbour lights, over the sea"""
LENGTH = 20
SONG = "harbour-lights-{}.mp3"


@dataclass(frozen=True, slots=True)
class Direct:
    """A file that came over a direct link."""

    url: str
    data: bytes
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """Who takes part in the story, and where it leaves what it makes."""

    host: Gateway
    customer: Customer
    ear: Receiver
    stage: Stage
    output: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """What came of one part: lines for people, facts for scripts, and the URL of a picture to go on with."""

    rows: Mapping[str, str]
    facts: Mapping[str, object]
    picture: str | None = None
    heard: int = field(default=1)


def tell(output: Path, data: Path, parts: Sequence[Part], *, as_json: bool = False) -> None:
    """Run the demo; what it makes is left in ``output``, what its gateway knows in ``data``. Raises Fail."""
    logs.setup(LogLevel.WARNING, LogFormat.CONSOLE)
    try:
        _folder(output)
        facts = asyncio.run(_tell(output, data, parts, Stage(show.err if as_json else show.out)))
    except asyncio.CancelledError:
        show.error("Stopped before the end; the gateway of the demo is stopped, too.")
        sys.exit(130)
    if as_json:
        show.data(facts)


async def _tell(output: Path, data: Path, parts: Sequence[Part], stage: Stage) -> dict[str, object]:
    main = asyncio.current_task()
    assert main is not None
    with on_signal(main.cancel), tempfile.TemporaryDirectory(prefix="tessera-demo-") as folder:
        async with AsyncExitStack() as opened:
            try:
                return await _play(Path(folder), data, output, parts, stage, opened)
            except (aiohttp.ClientError, TimeoutError) as error:
                raise Fail(f"The gateway did not answer: {error or type(error).__name__}.") from error


async def _play(
    folder: Path, data: Path, output: Path, parts: Sequence[Part], stage: Stage, opened: AsyncExitStack
) -> dict[str, object]:
    """The whole story, in the order in which a customer would live it; answers what came of it."""
    began = time.perf_counter()
    stage.title("Tessera demo", "a gateway of your own, used through its HTTP API only")
    with stage.step("Start a gateway: embedded PostgreSQL, sandbox provider"):
        host = await opened.enter_async_context(gateway(folder, data))
    stage.note(f"{host.url}, ready after {time.perf_counter() - began:.1f} s")
    ear = await opened.enter_async_context(receiver())
    session = await opened.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)))
    customer = Customer(session, host)
    had = await customer.credits()

    cast = Cast(host=host, customer=customer, ear=ear, stage=stage, output=output)
    acts: list[Act] = []
    for part in parts:
        picture = next((act.picture for act in acts if act.picture), None)
        acts.append(await _ACTS[part](cast, picture))

    left = await customer.credits()
    again = f"{show.program()} serve --data-dir {shlex.quote(str(data))} --port {urlsplit(host.url).port}"
    stage.summary(
        f"Done in {time.perf_counter() - began:.1f} s",
        {
            **{name: text for act in acts for name, text in act.rows.items()},
            "callbacks": f"{sum(act.heard for act in acts)} to {ear.url}  (each signed twice, verified twice)",
            "credits": f"{_credits(had)} before, {_credits(left)} after",
            "gateway": f"stops now; its data stays in {data}",
            "again": f"{again}  (then the result URLs answer)",
            "a key": f"{show.program()} keys create --data-dir {shlex.quote(str(data))}",
            "next": f"{show.program()} serve: a gateway of your own, to stay",
        },
    )
    facts = {name: fact for act in acts for name, fact in act.facts.items()}
    return {**facts, "data_dir": str(data.resolve()), "again": again}


# ---- a picture ----


async def _picture(cast: Cast, _: str | None) -> Act:
    customer, stage, path = cast.customer, cast.stage, cast.output / AFTER
    stage.part("A picture", "4o images: upload, edit, callback, direct download")
    picture = await _upload(cast)
    with stage.step("Ask for an edit of it, with a callback URL"):
        task_id = await customer.edit(picture, PROMPT, cast.ear.url)
    stage.note(f"task {task_id}: {PROMPT}")
    with stage.progress("Poll the task until it has succeeded") as progress:
        result = await finished(customer, PICTURES, task_id, progress)
    with stage.step("Receive the callback and verify both of its signatures"):
        await _heard(cast, task_id, result)
    stage.note("X-Webhook-Signature: valid")
    stage.note("webhook-signature: valid; with a changed body: refused")
    with stage.step("Ask for a direct download URL and download with it"):
        direct = await _fetched(cast, await customer.link(task_id, result), path)
        seen = await asyncio.to_thread(_picture_seen, direct.data)
    stage.note(f"{_short(direct.url)}, good for {_lifetime(direct.url)}")
    stage.note(f"{len(direct.data):,} bytes, {seen}, as an attachment")
    stage.note(f"SHA-256 {direct.sha256} = ETag")
    await _tamper(cast, direct)
    return Act(
        picture=result,
        rows={
            "picture": f"{path}  (made from {BEFORE} beside it)",
            "result URL": f"{result}  (kept 14 days, answered while the gateway runs)",
            "direct URL": f"{_short(direct.url)}  (good for {_lifetime(direct.url)})",
        },
        facts={
            "picture": str(path.resolve()),
            "task": task_id,
            "result_url": result,
            "direct_url": direct.url,
            "sha256": direct.sha256,
        },
    )


async def _upload(cast: Cast) -> str:
    with cast.stage.step("Draw a picture and upload it"):
        data = await asyncio.to_thread(harbour)
        await asyncio.to_thread(_save, cast.output / BEFORE, data)
        url = await cast.customer.upload(data, BEFORE)
    cast.stage.note(f"{len(data):,} bytes, now at {url}")
    return url


async def _tamper(cast: Cast, direct: Direct) -> None:
    """A link that was changed in any way must be refused."""
    last = direct.url[-1]
    changes = {
        "another signature": direct.url[:-1] + ("0" if last != "0" else "1"),
        "a longer life": direct.url.replace(f"X-Amz-Expires={_seconds(direct.url)}", "X-Amz-Expires=604800"),
        "another file": direct.url.replace(".png?", "2.png?"),
    }
    with cast.stage.step("Change the link a little and try again"):
        for what, url in changes.items():
            status, _, _ = await cast.customer.fetch(url)
            if url == direct.url or status != 403:
                raise Fail(f"A link with {what} was answered with HTTP status {status} instead of 403.")
    cast.stage.note(f"{', '.join(changes)}: refused with 403")


def _picture_seen(data: bytes) -> str:
    """Decode a picture to its last pixel. Raises Fail."""
    try:
        with Image.open(BytesIO(data)) as image:
            image.load()
            return f"{image.format} {image.width} x {image.height}"
    except (OSError, SyntaxError, ValueError) as error:
        raise Fail(f"What came over the direct link is no picture: {error}.") from error


# ---- a film ----


async def _film(cast: Cast, picture: str | None) -> Act:
    stage, path = cast.stage, cast.output / FILM
    stage.part("A film", f"Veo: {SECONDS} seconds with sound" + (", from the picture" if picture else ""))
    with stage.step("Ask for a film, with a callback URL"):
        task_id = await cast.customer.film([picture] if picture else [], MOVES, SECONDS, cast.ear.url)
    stage.note(f"task {task_id}: {MOVES}")
    with stage.progress("Poll the task until it has succeeded") as progress:
        result = await finished(cast.customer, FILMS, task_id, progress)
    with stage.step("Receive and verify the callback, download the film"):
        await _heard(cast, task_id, result)
        direct = await _fetched(cast, await cast.customer.direct(result), path)
        seen = await asyncio.to_thread(_film_seen, direct.data)
    stage.note(f"{len(direct.data):,} bytes: {seen}")
    return Act(
        rows={"film": f"{path}  ({seen})"},
        facts={"film": str(path.resolve()), "film_task": task_id, "film_url": result, "film_sha256": direct.sha256},
    )


# ---- a song ----


async def _song(cast: Cast, _: str | None) -> Act:
    customer, stage = cast.customer, cast.stage
    stage.part("A song", "Suno: two versions, told in three stages")
    with stage.step("Ask for a song, with a callback URL"):
        task_id = await customer.song(TITLE, STYLE, LYRICS, LENGTH, cast.ear.url)
    stage.note(f"task {task_id}: {TITLE}, {STYLE}")
    with stage.step("First callback, text: the words are there"):
        await _heard_stage(cast, task_id, "text")
        record = await customer.record(SONGS, task_id)
    stage.note(f"record-info says {record['status']}: {_first_line(record)}")
    with stage.step("Second callback, first: one version is there, and can be downloaded"):
        word = await _heard_stage(cast, task_id, "first")
        tracks = [await _track(cast, number, url) for number, url in enumerate(_urls(word), 1)]
    stage.note(_named(tracks))
    with stage.step("Third callback, complete: so is the other"):
        word = await _heard_stage(cast, task_id, "complete")
        more = [await _track(cast, number, url) for number, url in enumerate(_urls(word), 1) if number > len(tracks)]
    stage.note(_named(more))
    files = [path for path, _ in (*tracks, *more)]
    return Act(
        rows={"song": f"{', '.join(map(str, files))}  (two versions)"},
        facts={
            "songs": [str(path.resolve()) for path in files],
            "song_task": task_id,
            "song_urls": _urls(word),
        },
        heard=3,
    )


async def _heard_stage(cast: Cast, task_id: str, stage: str) -> Callback:
    return await _heard(cast, task_id, f'"callbackType":"{stage}"')


async def _track(cast: Cast, number: int, url: str) -> tuple[Path, str]:
    """Download one version of a song; answers where it lies, and what it is."""
    path = cast.output / SONG.format(number)
    direct = await _fetched(cast, await cast.customer.direct(url), path)
    return path, await asyncio.to_thread(_song_seen, direct.data)


def _first_line(record: Mapping[str, object]) -> str:
    """The first line that is sung, as the record has it."""
    found: dict[str, list[dict[str, str]]] = dict(record["response"] or {})  # type: ignore[call-overload]
    words = found["sunoData"][0]["prompt"] if found.get("sunoData") else ""
    return next((line for line in words.splitlines() if line and not line.startswith("[")), "nothing to be sung")


def _urls(word: Callback) -> list[str]:
    """The files of a song, as its callback names them. Raises Fail."""
    tracks = word.content["data"]["data"]
    if not isinstance(tracks, list) or not all(track.get("audio_url") for track in tracks):
        raise Fail("The callback names no file of a song.")
    return [str(track["audio_url"]) for track in tracks]


def _named(tracks: Sequence[tuple[Path, str]]) -> str:
    return ", ".join(f"{path.name}: {seen}" for path, seen in tracks)


_ACTS: Mapping[Part, Callable[[Cast, str | None], Awaitable[Act]]] = {
    Part.PICTURE: _picture,
    Part.FILM: _film,
    Part.SONG: _song,
}

# ---- what every part needs ----


async def _heard(cast: Cast, task_id: str, holds: str) -> Callback:
    """Wait for the callback, and believe it only with both signatures; neither may fit anything else. Raises Fail."""
    came = await cast.ear.wait()
    word, secret = came, cast.host.webhook_secret
    changed = replace(word, body=word.body.replace(b'"code"', b'"Code"'))
    checks = {
        "is about another task": word.task_id == task_id,
        f"does not hold {holds}": holds.encode() in word.body,
        "has no valid KIE signature": kie(word, secret),
        "has no valid Standard Webhooks signature": standard(word, secret),
        "has a signature that fits another secret": not kie(word, f"{secret}x"),
        "has a signature that fits a changed body": not standard(changed, secret),
    }
    for fault, fine in checks.items():
        if not fine:
            raise Fail(f"The callback {fault}.")
    return word


async def _fetched(cast: Cast, url: str, path: Path) -> Direct:
    """Follow a direct link without a key, check what comes, and keep it. Raises Fail."""
    status, headers, data = await cast.customer.fetch(url)
    if status != 200:
        raise Fail(f"The direct link answered with HTTP status {status}.")
    sha256 = await asyncio.to_thread(_digest, data)
    if headers.get("etag") != f'"{sha256}"':
        raise Fail(f"The ETag {headers.get('etag')} is not the SHA-256 of what came ({sha256}).")
    await asyncio.to_thread(_save, path, data)
    return Direct(url, data, sha256)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _film_seen(data: bytes) -> str:
    """Decode a film to its last frame. Raises Fail."""
    import av  # an extra: a picture can be made without it

    try:
        with av.open(BytesIO(data), "r") as film:
            picture, sound = film.streams.video[0], film.streams.audio
            frames = sum(1 for _ in film.decode(picture))
            rate = float(picture.average_rate or 0)
            length = frames / rate if rate else 0.0
            size = f"{picture.codec_context.codec.canonical_name.upper()} {picture.width} x {picture.height}"
            return f"{size}, {length:.1f} s, {'with' if sound else 'without'} sound"
    except (av.FFmpegError, IndexError) as error:
        raise Fail(f"What came over the direct link is no film: {error}.") from error


def _song_seen(data: bytes) -> str:
    """Decode a song to its last sample. Raises Fail."""
    import av  # an extra: a picture can be made without it

    try:
        with av.open(BytesIO(data), "r") as song:
            stream = song.streams.audio[0]
            samples = sum(frame.samples for frame in song.decode(stream))
            kind = stream.codec_context.codec.canonical_name.upper()
            return f"{kind}, {samples / stream.rate:.1f} s, {len(data):,} bytes"
    except (av.FFmpegError, IndexError) as error:
        raise Fail(f"What came over the direct link is no song: {error}.") from error


def _folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Fail(f"{path} cannot be made: {error.strerror}; choose another folder with --output.") from error


def _save(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise Fail(f"{path} cannot be written: {error.strerror}; choose another folder with --output.") from error


def _seconds(url: str) -> int:
    found = re.search(r"[?&]X-Amz-Expires=(\d+)", url)
    if found is None:
        raise Fail("The direct link says nothing of its lifetime.")
    return int(found[1])


def _lifetime(url: str) -> str:
    return f"{_seconds(url) // 60} minutes"


def _short(url: str) -> str:
    """A presigned link, as far as it says something to people."""
    base, _, query = url.partition("?")
    return f"{base}?{query[:34]}..."


def _credits(amount: float) -> str:
    return show_credits(milli(str(amount)))
