"""Child processes that are killed, stopped, and started again; none of them outlives the harness."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tessera.testing.torture.books import Death

START = 40.0
"""Seconds until a process must have said that it is ready; a busy machine takes its time."""

MODULE = "tessera.testing.torture.process"


async def _end(process: asyncio.subprocess.Process, patience: float) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGCONT)
        process.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), patience)
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


class NotReady(Exception):
    """A process did not start; the message holds the end of its log."""


@dataclass(slots=True, kw_only=True)
class Child:
    """A role that is always filled: whoever dies is replaced by the next incarnation, until ``closing``.

    ``arguments`` answers what stands behind the role for an incarnation's name, ``plan`` the faults it is given.
    """

    role: str
    name: str
    arguments: Callable[[str], list[str]]
    environ: Mapping[str, str]
    folder: Path
    plan: Callable[[], str | None] = lambda: None
    deaths: list[Death] = field(default_factory=list)
    port: int = 0
    incarnation: int = 0
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    closing: bool = False
    cause: str = "by itself"
    process: asyncio.subprocess.Process | None = None
    _keeper: asyncio.Task[None] | None = None
    _stopped: bool = False

    @property
    def actor(self) -> str:
        return f"{self.name}.{self.incarnation}"

    async def start(self) -> None:
        """Start, and keep it started. Raises NotReady when the first incarnation does not come up."""
        await self._spawn(None)
        self._keeper = asyncio.create_task(self._keep())

    def signal(self, number: signal.Signals, cause: str) -> bool:
        """Send a signal; False where nobody is there to get it."""
        if self.process is None or self.process.returncode is not None:
            return False
        if number is not signal.SIGCONT:
            self.cause = cause
        self._stopped = number is signal.SIGSTOP
        with suppress(ProcessLookupError):
            self.process.send_signal(number)
        return True

    @property
    def stopped(self) -> bool:
        return self._stopped

    async def close(self, patience: float = 10.0) -> None:
        """End it for good: asked first, then made to."""
        self.closing = True
        if self.process is not None:
            await _end(self.process, patience)
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper

    def log(self) -> str:
        """Everything that all incarnations have said."""
        return "".join(path.read_text(errors="replace") for path in sorted(self.folder.glob(f"{self.name}.*.log")))

    async def _keep(self) -> None:
        while not self.closing:
            assert self.process is not None
            await self.process.wait()
            self.ready.clear()
            self.deaths.append(Death(at=time.time(), actor=self.actor, cause=self._why()))
            self._stopped = False
            if not self.closing:
                await self._replace()

    async def _replace(self) -> None:
        with suppress(NotReady):  # a fault may hit the start itself; the next one has another fault
            await self._spawn(self.plan())

    def _why(self) -> str:
        status = self.process.returncode if self.process else None
        return f"fault ({status})" if status == 137 else f"{self.cause} ({status})"

    async def _spawn(self, faults: str | None) -> None:
        self.incarnation += 1
        self.cause = "by itself"
        environ = {**os.environ, **self.environ, **({"TESSERA_FAULTS": faults} if faults else {})}
        path = self.folder / f"{self.name}.{self.incarnation:03d}.log"
        with path.open("wb") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                MODULE,
                self.role,
                *self.arguments(self.actor),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=environ,
            )
        await self._await_ready(path)

    async def _await_ready(self, path: Path) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        try:
            async with asyncio.timeout(START):
                while line := await self.process.stdout.readline():
                    if line.startswith(b"ready "):
                        self.port = int(line.split()[1])
                        self.ready.set()
                        return
        except TimeoutError:
            self.process.kill()
        raise NotReady(f"{self.actor} did not start: {path.read_text(errors='replace')[-3000:]}")
