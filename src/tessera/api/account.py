"""The account's credits, and whether the gateway is well."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import structlog
from litestar import Request, get
from litestar.handlers import HTTPRouteHandler

from tessera.api.auth import Keys
from tessera.api.http import HttpResponse, answer, success
from tessera.contract.envelope import encode
from tessera.db import ledger
from tessera.domain.credit import credits
from tessera.wiring import House

log = structlog.get_logger(__name__)

FRESH = 1.0


def routes(house: House, keys: Keys) -> list[HTTPRouteHandler]:
    @get("/api/v1/chat/credit")
    async def credit(request: Request) -> HttpResponse:  # type: ignore[type-arg]
        key = await keys(request)
        return success(credits(await ledger.balance(house.database, key.account_id, key.mode)))

    return [credit]


def health(house: House) -> list[HTTPRouteHandler]:
    @get("/healthz")
    async def healthz() -> HttpResponse:
        return answer(b'{"status":"ok"}')

    look = Look(house)

    @get("/readyz")
    async def readyz() -> HttpResponse:
        parts = await look()
        ready = all(part["ok"] for part in parts.values())
        return answer(encode({"ready": ready, **parts}), status=200 if ready else 503)

    return [healthz, readyz]


class Look:
    """The readiness of the house, looked at once a second at the most, however many ask."""

    def __init__(self, house: House, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._house = house
        self._monotonic = monotonic
        self._lock = asyncio.Lock()
        self._until = 0.0
        self._parts: dict[str, dict[str, Any]] = {}

    async def __call__(self) -> dict[str, dict[str, Any]]:
        async with self._lock:
            if self._monotonic() >= self._until:
                self._parts = await readiness(self._house)
                self._until = self._monotonic() + FRESH
            return self._parts


async def readiness(house: House) -> dict[str, dict[str, Any]]:
    """Each part that has to work, and what is wrong with it in one word or two; the log has the rest."""
    parts: dict[str, dict[str, Any]] = {}
    for name, check in (
        ("database", house.database.check),
        ("storage", house.store.check),
        ("queue", house.check_queue),
    ):
        try:
            await check()
            parts[name] = {"ok": True}
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a part, the answer is that it is not ready
            log.warning("not ready", part=name, error=str(error), kind=type(error).__name__)
            parts[name] = {"ok": False, "error": type(error).__name__}
    return parts
