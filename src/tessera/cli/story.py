"""The demo: the main job, done as a customer would, against a gateway that lives for these few seconds."""

import asyncio
import hashlib
import re
import shlex
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
from PIL import Image

from tessera.cli import logs, show
from tessera.cli.child import Gateway, gateway
from tessera.cli.customer import Customer, finished
from tessera.cli.fail import Fail
from tessera.cli.receiver import Receiver, kie, receiver, standard
from tessera.cli.scene import harbour
from tessera.cli.stage import Stage
from tessera.cli.stop import on_signal
from tessera.config import LogFormat, LogLevel
from tessera.domain.credit import milli
from tessera.domain.credit import show as show_credits

PROMPT = "The same harbour on a moonlit night, as a Roman mosaic of glass and gold"
BEFORE = "harbour.png"
AFTER = "harbour-at-night.png"


@dataclass(frozen=True, slots=True)
class Direct:
    """A picture that came over a direct link."""

    url: str
    data: bytes
    sha256: str
    size: tuple[int, int]
    form: str


def tell(output: Path, data: Path, *, as_json: bool = False) -> None:
    """Run the demo; the pictures are left in ``output``, what its gateway knows in ``data``. Raises Fail."""
    logs.setup(LogLevel.WARNING, LogFormat.CONSOLE)
    try:
        _folder(output)
        facts = asyncio.run(_tell(output, data, Stage(show.err if as_json else show.out)))
    except asyncio.CancelledError:
        show.error("Stopped before the end; the gateway of the demo is stopped, too.")
        sys.exit(130)
    if as_json:
        show.data(facts)


async def _tell(output: Path, data: Path, stage: Stage) -> dict[str, str]:
    main = asyncio.current_task()
    assert main is not None
    with on_signal(main.cancel), tempfile.TemporaryDirectory(prefix="tessera-demo-") as folder:
        async with AsyncExitStack() as opened:
            try:
                return await _play(Path(folder), data, output, stage, opened)
            except (aiohttp.ClientError, TimeoutError) as error:
                raise Fail(f"The gateway did not answer: {error or type(error).__name__}.") from error


async def _play(folder: Path, data: Path, output: Path, stage: Stage, opened: AsyncExitStack) -> dict[str, str]:
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

    picture = await _upload(customer, output, stage)
    with stage.step("Ask for an edit of it, with a callback URL"):
        task_id = await customer.edit(picture, PROMPT, ear.url)
    stage.note(f"task {task_id}: {PROMPT}")
    with stage.progress("Poll the task until it has succeeded") as progress:
        result = await finished(customer, task_id, progress)
    await _check_callback(ear, host, task_id, result, stage)
    direct = await _download(customer, task_id, result, output / AFTER, stage)
    await _tamper(customer, direct, stage)

    left = await customer.credits()
    again = f"{show.program()} serve --data-dir {shlex.quote(str(data))} --port {urlsplit(host.url).port}"
    stage.summary(
        f"Done in {time.perf_counter() - began:.1f} s",
        {
            "picture": f"{output / AFTER}  (made from {BEFORE} beside it)",
            "result URL": f"{result}  (kept 14 days, answered while the gateway runs)",
            "direct URL": f"{_short(direct.url)}  (good for {_lifetime(direct.url)})",
            "callback": f"{ear.url}  (signed twice, verified twice)",
            "credits": f"{_credits(had)} before, {_credits(left)} after",
            "gateway": f"stops now; its data stays in {data}",
            "again": f"{again}  (then the result URL answers)",
            "a key": f"{show.program()} keys create --data-dir {shlex.quote(str(data))}",
            "next": f"{show.program()} serve: a gateway of your own, to stay",
        },
    )
    return {
        "picture": str((output / AFTER).resolve()),
        "task": task_id,
        "result_url": result,
        "direct_url": direct.url,
        "sha256": direct.sha256,
        "data_dir": str(data.resolve()),
        "again": again,
    }


async def _upload(customer: Customer, output: Path, stage: Stage) -> str:
    with stage.step("Draw a picture and upload it"):
        data = await asyncio.to_thread(harbour)
        await asyncio.to_thread(_save, output / BEFORE, data)
        url = await customer.upload(data, BEFORE)
    stage.note(f"{len(data):,} bytes, now at {url}")
    return url


async def _check_callback(ear: Receiver, host: Gateway, task_id: str, result: str, stage: Stage) -> None:
    """Wait for the callback, and believe it only with both signatures; neither may fit anything else."""
    with stage.step("Receive the callback and verify both of its signatures"):
        callback = await ear.wait()
        changed = replace(callback, body=callback.body.replace(b"success", b"SUCCESS"))
        checks = {
            "is about another task": callback.task_id == task_id,
            "does not name the result": result.encode() in callback.body,
            "has no valid KIE signature": kie(callback, host.webhook_secret),
            "has no valid Standard Webhooks signature": standard(callback, host.webhook_secret),
            "has a signature that fits another secret": not kie(callback, f"{host.webhook_secret}x"),
            "has a signature that fits a changed body": not standard(changed, host.webhook_secret),
        }
        for fault, fine in checks.items():
            if not fine:
                raise Fail(f"The callback {fault}.")
    stage.note("X-Webhook-Signature: valid")
    stage.note("webhook-signature: valid; with a changed body: refused")


async def _download(customer: Customer, task_id: str, result: str, path: Path, stage: Stage) -> Direct:
    """Ask for a direct link, follow it without a key, and look closely at what comes."""
    with stage.step("Ask for a direct download URL and download with it"):
        url = await customer.link(task_id, result)
        status, headers, data = await customer.fetch(url)
        if status != 200:
            raise Fail(f"The direct link answered with HTTP status {status}.")
        direct = await asyncio.to_thread(_examine, url, data)
        if headers.get("etag") != f'"{direct.sha256}"':
            raise Fail(f"The ETag {headers.get('etag')} is not the SHA-256 of what came ({direct.sha256}).")
        await asyncio.to_thread(_save, path, data)
    stage.note(f"{_short(url)}, good for {_lifetime(url)}")
    stage.note(f"{len(data):,} bytes, {direct.form} {direct.size[0]} x {direct.size[1]}, as an attachment")
    stage.note(f"SHA-256 {direct.sha256} = ETag")
    return direct


async def _tamper(customer: Customer, direct: Direct, stage: Stage) -> None:
    """A link that was changed in any way must be refused."""
    last = direct.url[-1]
    changes = {
        "another signature": direct.url[:-1] + ("0" if last != "0" else "1"),
        "a longer life": direct.url.replace(f"X-Amz-Expires={_seconds(direct.url)}", "X-Amz-Expires=604800"),
        "another file": direct.url.replace(".png?", "2.png?"),
    }
    with stage.step("Change the link a little and try again"):
        for what, url in changes.items():
            status, _, _ = await customer.fetch(url)
            if url == direct.url or status != 403:
                raise Fail(f"A link with {what} was answered with HTTP status {status} instead of 403.")
    stage.note(f"{', '.join(changes)}: refused with 403")


def _examine(url: str, data: bytes) -> Direct:
    """Decode the picture to its last pixel. Raises Fail."""
    try:
        with Image.open(BytesIO(data)) as image:
            image.load()
            size, form = image.size, str(image.format)
    except (OSError, SyntaxError, ValueError) as error:
        raise Fail(f"What came over the direct link is no picture: {error}.") from error
    return Direct(url, data, hashlib.sha256(data).hexdigest(), size, form)


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
