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

INHERITED = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "TZ", "XDG_RUNTIME_DIR")
"""What the child gets of our environment: no setting, and no key of any provider."""

START = 90.0
STOP = 30.0
TAIL = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """A running gateway as its first start tells of it."""

    url: str
    key: str
    webhook_secret: str


@asynccontextmanager
async def gateway(folder: Path) -> AsyncIterator[Gateway]:
    """A gateway on a free port, with its data in ``folder``; stopped at the end, whatever happened. Raises Fail."""
    with (folder / "gateway.log").open("w") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tessera.cli.main", "serve", "--json"),
            *("--port", "0", "--data-dir", str(folder / "data"), "--log-format", "json"),
            cwd=folder,  # no tessera.toml of the caller's is found there
            env={name: os.environ[name] for name in INHERITED if name in os.environ},
            stdout=PIPE,
            stderr=log,
            start_new_session=True,  # a Ctrl-C at the terminal is ours alone, and we pass it on in order
        )
    try:
        yield await _ready(process, folder / "gateway.log")
    finally:
        await _stop(process)


async def _ready(process: Process, log: Path) -> Gateway:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START):
            line = await process.stdout.readline()
        told = json.loads(line)
        first = told["first_start"]
        return Gateway(url=told["url"], key=first["test_key"], webhook_secret=first["webhook_secret"])
    except (TimeoutError, ValueError, KeyError, TypeError) as error:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-TAIL:])
        raise Fail(f"The gateway did not start. The end of its log:\n{tail}") from error


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
