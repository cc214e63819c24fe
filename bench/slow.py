"""A live provider for measuring: a plug-in like a stranger's, found by its entry point, which asks ``bench.upstream``.

``install`` lays the few lines into a folder that make it a package; a process with that folder on its path has the
provider, and no other process has.
"""

from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp

from tessera.domain.errors import Ambiguous, Unavailable
from tessera.providers.base import Accepted, Done, Job, Manifest, RemoteFile, Running
from tessera.providers.registry import Context

VARIABLE = "BENCH_SLOW_URL"
"""Where the service is; without it the provider is off."""

MANIFEST = Manifest(
    name="slow",
    title="Slow (bench)",
    operations=frozenset({"image.generate"}),
    models={"gpt4o-image": "slow-1"},
    environment=(VARIABLE,),
    idempotent=True,
)
PATIENCE = aiohttp.ClientTimeout(total=30)


class Slow:
    manifest = MANIFEST

    def __init__(self, base: str) -> None:
        self._base = base
        self._session: aiohttp.ClientSession | None = None

    async def submit(self, job: Job) -> Accepted | Done:
        try:
            return Accepted(upstream_id=(await self._ask("POST", "/jobs", {"task": job.task_id}))["id"])
        except (TimeoutError, aiohttp.ClientError) as error:
            raise Ambiguous("The connection was lost") from error

    async def poll(self, job: Job) -> Running | Done:
        try:
            state = await self._ask("GET", f"/jobs/{job.upstream_id}")
        except (TimeoutError, aiohttp.ClientError) as error:
            raise Unavailable("They gave no answer") from error
        if state["done"]:
            return Done(outputs=(RemoteFile(url=f"{self._base}/files/{job.upstream_id}.png"),))
        return Running(progress=state["progress"], again=timedelta(seconds=state["again"]))

    async def cancel(self, job: Job) -> bool:
        return False

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _ask(self, method: str, path: str, body: object = None) -> Any:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=PATIENCE, connector=aiohttp.TCPConnector(limit=0))
        async with self._session.request(method, self._base + path, json=body) as response:
            return await response.json()


class Factory:
    manifest = MANIFEST

    def __call__(self, context: Context) -> Slow:
        return Slow(context.environ[VARIABLE])


provider = Factory()


def install(folder: Path) -> None:
    """Make the folder one that brings the provider to every process which has it on ``PYTHONPATH``."""
    about = folder / "bench_slow-1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: bench-slow\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[tessera.providers]\nslow = bench.slow:provider\n")
