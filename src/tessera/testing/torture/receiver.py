"""A receiver of callbacks that refuses, hangs, redirects and hangs up, and keeps a book of everything that came.

``POST /fine/...`` behaves as badly as receivers do, until ``POST /calm``; ``/never`` is always broken, ``/gone`` has
gone.
"""

import asyncio
import hmac
import time
from collections import Counter
from dataclasses import dataclass, field

import msgspec
from aiohttp import web

from tessera.testing.torture.books import Received, ReceiverBook
from tessera.testing.torture.chance import Chance
from tessera.webhooks import sign

MOODS = (("500", 0.12), ("302", 0.05), ("hang", 0.05), ("drop", 0.04))
HANG = 10.0


@dataclass(slots=True)
class Callbacks:
    """``secret`` is the account's webhook secret."""

    chance: Chance
    secret: str
    book: ReceiverBook = field(default_factory=ReceiverBook)
    calm: bool = False
    _seen: Counter[str] = field(default_factory=Counter)

    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                web.get("/book", self.show),
                web.post("/calm", self.calm_down),
                web.post("/{manner}/{name}", self.receive),
            ]
        )
        return app

    async def receive(self, request: web.Request) -> web.StreamResponse:
        body = msgspec.json.decode(await request.read())
        message_id, task_id = request.headers["webhook-id"], str(body["data"]["taskId"])
        self._seen[message_id] += 1
        mood = self._mood(request.match_info["manner"], message_id)
        moment = int(request.headers["X-Webhook-Timestamp"])
        expected = sign.kie(self.secret, task_id, moment)
        self.book.received.append(
            Received(
                at=time.time(),
                message_id=message_id,
                task_id=task_id,
                code=body["code"],
                genuine=hmac.compare_digest(expected, request.headers["X-Webhook-Signature"]),
                status=int(mood) if mood.isdigit() else None,
            )
        )
        if mood == "hang":
            await asyncio.sleep(HANG)
        if mood in {"hang", "drop"} and request.transport is not None:
            request.transport.abort()
        if mood == "302":
            return web.Response(status=302, headers={"Location": "/fine/elsewhere"})
        return web.Response(status=int(mood) if mood.isdigit() else 200)

    async def show(self, _: web.Request) -> web.StreamResponse:
        return web.Response(body=msgspec.json.encode(self.book), content_type="application/json")

    async def calm_down(self, _: web.Request) -> web.StreamResponse:
        self.calm = True
        return web.json_response({})

    def _mood(self, manner: str, message_id: str) -> str:
        if manner != "fine":
            return "410" if manner == "gone" else "500"
        mood = "200" if self.calm else self.chance.pick(MOODS, "200", message_id, self._seen[message_id])
        if mood != "200":
            self.book.chaos[mood] = self.book.chaos.get(mood, 0) + 1
        return mood


def main(seed: int, secret: str) -> web.Application:
    return Callbacks(Chance(seed), secret).app()
