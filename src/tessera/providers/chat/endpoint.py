"""What all endpoints over HTTP have in common: a POST with a key, an answer that streams, errors without secrets."""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from tessera.domain.chat import Declined, Question, Wire
from tessera.domain.errors import ConfigError
from tessera.kit.stream import Answer, Broken, Client, Unsent

HIDDEN = "***"
EXCERPT = 2_000
"""Characters of an error that an operator gets to see."""

ERROR_BYTES = 1_000_000

LOST = "The provider broke off its answer; nothing was charged"
DOWN = "The provider cannot be reached at the moment; nothing was charged, try again later"
BUSY = "The provider takes no more requests at the moment; nothing was charged, try again later"
CLOSED = "The provider refused this gateway, not your request; its operator can see why"
FAILED = "The provider failed to answer; nothing was charged, try again later"
LATE = "The provider did not answer in time; nothing was charged, try again later"

OURS = frozenset({401, 402, 403, 404, 405, 407})
"""Refusals that concern the operator: the key, the account, the address, the name of the model."""

TOLD = frozenset({400, 409, 413, 415, 422})
"""Refusals of what the caller asked, which the caller is told in the endpoint's own words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A question as it leaves: the path below the base URL, the body, the headers.

    ``key`` is the header that shows the key, and what stands before the key in it.
    """

    path: str
    body: Mapping[str, Any]
    key: tuple[str, str]
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an endpoint is, and what opens it. Never shown."""

    base: str
    key: str


class Arriving:
    """A reply over a connection."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    @property
    def streams(self) -> bool:
        return self._answer.headers.get("Content-Type", "").lower().startswith("text/event-stream")

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._answer.chunks():
                yield piece
        except Broken as error:
            raise Declined(500, LOST) from error

    def close(self) -> None:
        self._answer.close()


class Endpoint:
    """An endpoint over HTTP: ``forms`` says for each of its protocols how a question is put there."""

    def __init__(
        self,
        name: str,
        place: Place,
        forms: Mapping[Wire, Callable[[Question], Form]],
        client: Client | None = None,
    ) -> None:
        self.name = name
        self.wires = frozenset(forms)
        self._place = place
        self._forms = forms
        self._client = client or Client()

    async def ask(self, question: Question) -> Arriving:
        form = self._forms[question.wire](question)
        name, before = form.key
        headers = {"Content-Type": "application/json", **form.headers, name: before + self._place.key}
        body = await asyncio.to_thread(_written, form.body)
        try:
            answer = await self._client.post(self._place.base + form.path, body, headers)
        except Unsent as error:
            raise Declined(500, DOWN, detail={"cause": str(error)}) from error
        except Broken as error:
            raise Declined(500, LOST, detail={"cause": str(error)}) from error
        if answer.status == 200:
            return Arriving(answer)
        raise await self._declined(answer)

    async def close(self) -> None:
        await self._client.close()

    async def _declined(self, answer: Answer) -> Declined:
        try:
            raw = await answer.read(ERROR_BYTES)
        except Broken:
            raw = b""
        finally:
            answer.close()
        text = raw.decode(errors="replace").replace(self._place.key, HIDDEN)
        return declined(answer.status, text, answer.headers.get("Retry-After", ""))


def declined(status: int, text: str, retry_after: str = "") -> Declined:
    """What a refusal with this HTTP status means to a caller. ``text`` is its body, free of secrets."""
    detail = {"status": status, "body": text[:EXCERPT]}
    # Google calls a wrong key a bad request.
    if status in OURS or "API_KEY_INVALID" in text or 300 <= status < 400:
        return Declined(500, CLOSED, detail=detail)
    if status in TOLD:
        said = _told(text)
        return Declined(422 if status == 422 else 400, _message(said), body=said, detail=detail)
    if status in (429, 529):
        return Declined(429, BUSY, retry_after=_wait(retry_after), detail=detail)
    return Declined(408, LATE, detail=detail) if status in (408, 504) else Declined(500, FAILED, detail=detail)


def place(environ: Mapping[str, str], key: str, base: str, default: str) -> Place:
    """Where an endpoint is, by the variables of these names. Raises ConfigError, which tells no key."""
    secret, url = environ[key].strip(), environ.get(base, "").strip() or default
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
        raise ConfigError(f"{base} is not an http(s) address without credentials, such as {default}")
    if not (secret.isascii() and secret.isprintable()) or " " in secret:
        raise ConfigError(f"{key} contains characters that no key has")
    return Place(base=url.rstrip("/"), key=secret)


def _written(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def _told(text: str) -> dict[str, Any]:
    """What an error says in plain words and numbers, as far as it is an object; its deeper parts are for nobody."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if isinstance(found, list) and len(found) == 1:  # Google answers a stream's refusal so
        found = found[0]
    error = found.get("error", found) if isinstance(found, dict) else {}
    if isinstance(error, str):
        error = {"message": error}
    plain = {_clean(name): _clean(value) for name, value in error.items()} if isinstance(error, dict) else {}
    plain = {name: value for name, value in plain.items() if value is None or isinstance(value, str | int)}
    return {"error": plain} | ({"type": "error"} if isinstance(found, dict) and found.get("type") == "error" else {})


def _clean(value: Any) -> Any:
    """A text without what no database takes and no encoder, and of a bearable length; else the value."""
    if not isinstance(value, str):
        return value
    return value[:EXCERPT].replace("\0", "\ufffd").encode(errors="replace").decode()


def _message(said: Mapping[str, Any]) -> str:
    message = said.get("error", {}).get("message")
    return message if isinstance(message, str) and message else "The provider refused the request"


def _wait(text: str) -> timedelta | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return timedelta(seconds=min(seconds, 3600)) if math.isfinite(seconds) and seconds >= 0 else None
