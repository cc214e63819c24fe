"""Live providers of the torture: plug-ins like any other, which speak HTTP to the simulator in ``upstream``."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import aiohttp

from tessera.domain.errors import Ambiguous, Failed, ProviderError, Rejected, Unavailable
from tessera.domain.task import ImageRequest, Reason
from tessera.providers.base import Accepted, Done, Job, Manifest, Provider, RemoteFile, Running, asked
from tessera.testing.torture.books import FINDABLE, KEYED, PLAIN

PATIENCE = 2.0
"""Seconds until a question counts as unanswered."""

AGAIN = timedelta(seconds=0.3)


class Torture:
    """One service of the simulator at ``base``; ``worker`` is who asks, for the book.

    A prompt says which of the services it wants, as ``via NAME``: the others reject it, and the route goes on.
    """

    def __init__(self, name: str, base: str, worker: str, *, idempotent: bool = False) -> None:
        self._manifest = Manifest(
            name=name,
            title=f"Torture ({name})",
            operations=frozenset({"image.generate"}),
            models={"gpt4o-image": "torture-1"},
            idempotent=idempotent,
        )
        self._base = f"{base}/{name}"
        self._headers = {"X-Worker": worker}
        self._session: aiohttp.ClientSession | None = None

    @property
    def manifest(self) -> Manifest:
        return self._manifest

    async def submit(self, job: Job) -> Accepted | Done:
        request = asked(job, ImageRequest)
        if f"via {self._manifest.name} " not in request.prompt:
            raise Rejected("This is for another service", portable=True)
        order = {"task": job.task_id, "count": request.count, "prompt": request.prompt}
        status, body, retry = await self._ask("POST", "/jobs", order, {"Idempotency-Key": job.idempotency_key})
        if status == 429:
            raise Unavailable("They are busy", retry_after=retry)
        if status == 400:
            raise Rejected("They refused the prompt", reason=Reason.CONTENT)
        if status != 200 or not isinstance(body.get("id"), str):
            raise Ambiguous("They gave no usable answer")
        return Accepted(upstream_id=body["id"])

    async def poll(self, job: Job) -> Running | Done:
        try:
            status, body, _ = await self._ask("GET", f"/jobs/{job.upstream_id}")
        except ProviderError as error:
            raise Unavailable(str(error)) from error
        match status, body.get("state"):
            case 200, "running":
                return Running(progress=body["progress"], again=AGAIN)
            case 200, "failed":
                raise Failed(body["error"])
            case 200, "done":
                return Done(outputs=tuple(RemoteFile(url=url) for url in body["files"]))
        raise Unavailable(f"They answered with {status}")

    async def cancel(self, job: Job) -> bool:
        try:
            status, _, _ = await self._ask("POST", f"/jobs/{job.upstream_id}/cancel")
        except ProviderError as error:
            raise Unavailable(str(error)) from error
        return status == 200

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, Any], timedelta | None]:
        """Status, body (empty where it is no JSON object), Retry-After. Raises Unavailable and Ambiguous."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers=self._headers,
                connector=aiohttp.TCPConnector(force_close=True, limit=0),
                timeout=aiohttp.ClientTimeout(total=PATIENCE),
            )
        try:
            async with self._session.request(method, self._base + path, json=body, headers=headers) as response:
                retry = response.headers.get("Retry-After")
                found = await response.json() if response.content_type == "application/json" else {}
                return response.status, found, timedelta(seconds=int(retry)) if retry else None
        except aiohttp.ClientConnectorError as error:
            raise Unavailable("They could not be reached") from error
        except (TimeoutError, aiohttp.ClientError, ValueError) as error:
            raise Ambiguous("The connection was lost") from error


class Findable(Torture):
    """A service that can be asked for the job behind a key."""

    async def find(self, job: Job) -> str | None:
        try:
            status, body, _ = await self._ask("GET", f"/find?key={job.idempotency_key}")
        except ProviderError as error:
            raise Unavailable(str(error)) from error
        if status != 200 or "id" not in body:
            raise Unavailable(f"They answered with {status}")
        found = body["id"]
        return found if isinstance(found, str) else None


def providers(base: str, worker: str) -> dict[str, Provider]:
    """The three services by name, for one process."""
    return {
        KEYED: Torture(KEYED, base, worker, idempotent=True),
        PLAIN: Torture(PLAIN, base, worker),
        FINDABLE: Findable(FINDABLE, base, worker),
    }
