"""A real gateway as a child process, for as long as a block runs."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tessera.cli.fail import Fail
from tessera.config import Config
from tessera.domain.task import Mode

INHERITED = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "TZ", "XDG_RUNTIME_DIR")
"""What the child gets of our environment: no setting, and no key of any provider."""

START = 90.0
STOP = 30.0
TAIL = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """A running gateway, a test key of it, and what verifies its callbacks."""

    url: str
    key: str
    webhook_secret: str


@asynccontextmanager
async def gateway(folder: Path, data: Path) -> AsyncIterator[Gateway]:
    """A gateway on a free port, with its data in ``data``; stopped at the end, whatever happened. Raises Fail.

    ``folder`` is where it works and logs.
    """
    with (folder / "gateway.log").open("w") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tessera.cli.main", "serve", "--json"),
            *("--port", "0", "--data-dir", str(data.resolve()), "--log-format", "json"),
            cwd=folder,  # no tessera.toml of the caller's is found there
            env={name: os.environ[name] for name in INHERITED if name in os.environ},
            stdout=PIPE,
            stderr=log,
            start_new_session=True,  # a Ctrl-C at the terminal is ours alone, and we pass it on in order
        )
    try:
        yield await _ready(process, folder / "gateway.log", data)
    finally:
        await _stop(process)


async def _ready(process: Process, log: Path, data: Path) -> Gateway:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START):
            line = await process.stdout.readline()
        told = json.loads(line)
        first = told["first_start"]
        key, secret = (first["test_key"], first["webhook_secret"]) if first else await _known(data)
        return Gateway(url=told["url"], key=key, webhook_secret=secret)
    except (TimeoutError, ValueError, KeyError, TypeError) as error:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-TAIL:])
        raise Fail(f"The gateway did not start. The end of its log:\n{tail}") from error


async def _known(data: Path) -> tuple[str, str]:
    """A new test key and the webhook secret of a gateway whose first start was another day: it told them then."""
    from tessera.wiring import open_accounts

    async with open_accounts(Config(data_dir=data)) as accounts:
        owner = await accounts.find("default")
        return (await accounts.create_key(owner, Mode.TEST, name="demo")).secret, owner.webhook_secret


async def _stop(process: Process) -> None:
    """Ask it to end, and make it end where it does not."""
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(STOP):
            await process.wait()
    except BaseException as error:  # in a hurry or not: it must not be left behind
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        if not isinstance(error, TimeoutError):
            raise
