"""A provider that accepts jobs and bills them, keeps a book of it, and answers as badly as providers do.

Three services under three paths: ``torture-keyed`` takes a repeated Idempotency-Key for the same job, the others book
another one each time; ``torture-findable`` can be asked for the job behind a key. ``POST /calm`` ends the bad manners,
``GET /book`` shows the book.
"""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import msgspec
from aiohttp import web

from tessera.providers.fake import png
from tessera.testing.torture.books import KEYED, Answer, Poll, Post, UpstreamBook, UpstreamJob
from tessera.testing.torture.chance import Chance

SUBMIT = (
    ("429", 0.06),
    ("500 before", 0.03),
    ("500 after", 0.04),
    ("drop before", 0.02),
    ("drop after", 0.05),
    ("stall after", 0.03),
    ("half after", 0.03),
    ("garbage after", 0.03),
    ("400", 0.02),
    ("slow", 0.06),
)
"""How submissions go wrong; ``after`` means that the job was booked before."""

POLL = (
    ("429", 0.04),
    ("500 after", 0.03),
    ("drop after", 0.02),
    ("stall after", 0.01),
    ("half after", 0.02),
    ("garbage after", 0.02),
)
FILE = (("500 after", 0.04), ("drop after", 0.03), ("half after", 0.04), ("slow", 0.08))

STALL = 20.0
"""Seconds; longer than anybody waits."""


@dataclass(slots=True)
class Working:
    """A booked job at work: ready at ``until``, or never."""

    job: UpstreamJob
    files: tuple[bytes, ...]
    until: float
    verdict: str


@dataclass(slots=True)
class Upstream:
    """``quick`` jobs all take the same short time and nothing goes wrong: for measuring, not for torture."""

    chance: Chance
    quick: float | None = None
    book: UpstreamBook = field(default_factory=UpstreamBook)
    calm: bool = False
    _working: dict[str, Working] = field(default_factory=dict)
    _keys: dict[tuple[str, str], str] = field(default_factory=dict)
    _seen: Counter[tuple[str, ...]] = field(default_factory=Counter)

    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                web.post("/{provider}/jobs", self.submit),
                web.get("/{provider}/jobs/{id}", self.poll),
                web.post("/{provider}/jobs/{id}/cancel", self.cancel),
                web.get("/{provider}/find", self.find),
                web.get("/files/{id}/{index}", self.file),
                web.get("/book", self.show),
                web.post("/calm", self.calm_down),
            ]
        )
        return app

    async def submit(self, request: web.Request) -> web.StreamResponse:
        provider, key = request.match_info["provider"], request.headers["Idempotency-Key"]
        order = await request.json()
        mood = self._mood(SUBMIT, "submit", provider, key)
        answer: Answer = "refused" if mood in {"429", "400"} else "accepted" if mood in {"well", "slow"} else "lost"
        self.book.posts.append(
            Post(
                at=time.time(),
                provider=provider,
                key=key,
                task_id=order["task"],
                worker=_worker(request),
                answer=answer,
            )
        )
        if mood == "400":
            return web.json_response({"error": "we do not like this prompt"}, status=400)
        job = None if mood in {"429", "500 before", "drop before"} else self._book(provider, key, order)
        return await self._answer(request, mood, {"id": job.id if job else None})

    async def poll(self, request: web.Request) -> web.StreamResponse:
        job_id = request.match_info["id"]
        self.book.polls.append(Poll(at=time.time(), job=job_id, worker=_worker(request)))
        working = self._working.get(job_id)
        fresh = working is not None and time.time() - working.job.at < 0.7 and self.chance("404", job_id) < 0.2
        if working is None or (fresh and not self.calm and self.quick is None):
            self.book.chaos["poll 404"] = self.book.chaos.get("poll 404", 0) + 1
            return web.json_response({"error": "there is no such job"}, status=404)
        return await self._answer(request, self._mood(POLL, "poll", job_id), self._state(request, working))

    async def cancel(self, request: web.Request) -> web.StreamResponse:
        working = self._working.get(request.match_info["id"])
        if working is None:
            return web.json_response({"error": "there is no such job"}, status=404)
        working.job.canceled = True
        return web.json_response({"canceled": True})

    async def find(self, request: web.Request) -> web.StreamResponse:
        found = self._keys.get((request.match_info["provider"], request.query["key"]))
        return await self._answer(request, self._mood(POLL, "find", request.query["key"]), {"id": found})

    async def file(self, request: web.Request) -> web.StreamResponse:
        job_id, index = request.match_info["id"], int(request.match_info["index"])
        mood = self._mood(FILE, "file", job_id, str(index))
        if mood in {"well", "slow"}:
            await asyncio.sleep(0.5 if mood == "slow" else 0)
            return web.Response(body=self._working[job_id].files[index], content_type="image/png")
        return await self._answer(request, mood, {})

    async def show(self, _: web.Request) -> web.StreamResponse:
        return web.Response(body=msgspec.json.encode(self.book), content_type="application/json")

    async def calm_down(self, _: web.Request) -> web.StreamResponse:
        self.calm = True
        return web.json_response({})

    def _mood(self, table: tuple[tuple[str, float], ...], *about: str) -> str:
        """How this request is treated; the same request again may be treated otherwise."""
        self._seen[about] += 1
        if self.calm or self.quick is not None:
            return "well"
        mood = self.chance.pick(table, "well", *about, self._seen[about])
        if mood != "well":
            name = f"{about[0]} {mood}"
            self.book.chaos[name] = self.book.chaos.get(name, 0) + 1
        return mood

    def _book(self, provider: str, key: str, order: dict[str, Any]) -> UpstreamJob:
        known = self._keys.get((provider, key))
        if known is not None and provider == KEYED:
            return self._working[known].job
        name = f"{provider}-{len(self.book.jobs) + 1}"
        files = tuple(_picture(f"{name}/{index}") for index in range(order["count"]))
        hashes = tuple(sha256(file).hexdigest() for file in files)
        job = UpstreamJob(id=name, at=time.time(), provider=provider, key=key, task_id=order["task"], hashes=hashes)
        self.book.jobs.append(job)
        self._keys.setdefault((provider, key), name)
        verdict = self.chance.pick((("failed", 0.06), ("never", 0.015)), "done", "verdict", key)
        if self.quick is not None:
            verdict = "done"
        self._working[name] = Working(job, files, job.at + self._length(key), verdict)
        return job

    def _length(self, key: str) -> float:
        """Seconds that a job takes: mostly a moment, sometimes long enough to be caught by anything."""
        if self.quick is not None:
            return self.quick
        return 0.2 + 2.5 * self.chance("length", key) + (6 if self.chance("long", key) < 0.08 else 0)

    def _state(self, request: web.Request, working: Working) -> dict[str, Any]:
        now = time.time()
        if working.job.canceled:
            return {"state": "failed", "error": "it was canceled"}
        if working.verdict == "never" or now < working.until:
            length = max(0.001, working.until - working.job.at)
            return {"state": "running", "progress": min(0.9, (now - working.job.at) / length)}
        if working.verdict == "failed":
            return {"state": "failed", "error": "the model did not like it"}
        base = f"http://{request.host}/files/{working.job.id}"
        return {"state": "done", "files": [f"{base}/{index}" for index in range(len(working.files))]}

    async def _answer(self, request: web.Request, mood: str, body: dict[str, Any]) -> web.StreamResponse:
        """The answer in this mood. A dropped connection is cut without a word."""
        text = msgspec.json.encode(body)
        if mood == "429":
            return web.json_response({"error": "too many"}, status=429, headers={"Retry-After": "1"})
        if mood.startswith("500"):
            return web.json_response({"error": "our fault"}, status=500)
        if mood.startswith("garbage"):
            return web.Response(text="<html>Welcome to nginx</html>", content_type="text/html")
        if mood.startswith("stall"):
            await asyncio.sleep(STALL)
        if mood.startswith(("drop", "stall")):
            return _cut(request)
        if mood.startswith("half"):
            return await _half(request, text)
        await asyncio.sleep(0.8 * self.chance("slow", request.path) if mood == "slow" else 0)
        return web.Response(body=text, content_type="application/json")


def _cut(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _half(request: web.Request, text: bytes) -> web.StreamResponse:
    """A promise of bytes that do not come."""
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(text) + 50)})
    await response.prepare(request)
    await response.write(text[: len(text) // 2])
    return _cut(request) if request.transport else response


def _worker(request: web.Request) -> str:
    return request.headers.get("X-Worker", "")


def _picture(name: str) -> bytes:
    """A valid picture of its own: what stands behind the last chunk of a PNG is nobody's business."""
    return png(shade=len(name) % 256) + name.encode()


def main(seed: int, *, quick: float | None = None) -> web.Application:
    return Upstream(Chance(seed), quick=quick).app()
