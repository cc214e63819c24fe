"""Chat: a question goes to an endpoint and its answer back to the caller, as it comes, and both are paid for once.

The call is held for before anything is asked, and ends exactly once whatever happens: settled with what the endpoint
has counted; or with what was delivered, where the caller left or the time was up; or released, where there was no
answer. A caller who leaves takes the endpoint's connection with him.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

import structlog
from litestar import Request, post
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.types import Receive, Scope, Send

from tessera.api import watch
from tessera.api.auth import Keys
from tessera.api.http import PRIVATE, Direct, HttpRequest, HttpResponse, answer, body, header
from tessera.contract.envelope import encode
from tessera.dialects import chat, chat_models
from tessera.dialects.chat import Asked, Tally
from tessera.dialects.chat_models import ChatModel
from tessera.domain.account import NOT_ALLOWED, ApiKey
from tessera.domain.chat import Declined, Question, Usage, Wire, guess
from tessera.domain.errors import Invalid, Unauthorized
from tessera.domain.task import ChatRequest, Failure, Reason, Task
from tessera.kit.sse import Splitter, TooLong
from tessera.wiring import House

log = structlog.get_logger(__name__)

T = TypeVar("T")

UNKNOWN_MODEL = (
    "The model name you specified is not supported. Please verify your input and use one of the supported models "
    "provided by KIE."
)
UNAUTHORIZED = (
    "Unauthorized – Authentication failed. Please check that your Authorization and Content-Type headers are correctly "
    "set."
)
LATE = "The answer took longer than this gateway lets it take"
TOO_LARGE = "The provider's answer is larger than this gateway takes"

ANSWER_BYTES = 64_000_000
"""The largest answer in one piece."""

EVENTS = "text/event-stream; charset=utf-8"
STREAMED = {**PRIVATE, "Cache-Control": "no-cache, no-store", "X-Accel-Buffering": "no"}
"""Of a stream: no proxy on the way shall gather it."""

SDK = (b"x-stainless-lang", b"x-goog-api-client")
"""By these headers the vendors' own clients are known: they read HTTP statuses, and want JSON unless they say
otherwise. Programs written for the Market read the code in the body."""

REAL = {422: 400, 433: 403, 505: 501}
"""HTTP statuses for codes that those clients do not know."""

PASSED = (b"anthropic-version", b"anthropic-beta")

LARGE = 1_000_000
MANY = 5_000
"""Bytes and values from which on a body is read beside the event loop."""

GONE = Failure(Reason.CANCELED, "The caller left before there was an answer; nothing was charged")
REASONS = {400: Reason.CONTENT, 408: Reason.DEADLINE, 422: Reason.INPUT_INVALID, 429: Reason.UNAVAILABLE}


class Left(Exception):
    """The caller has hung up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """A path: what is spoken there, which vendor's models answer (empty: any), where else the key may be shown.

    ``streams`` is what a question that says nothing of it gets; ``real`` that every HTTP status is a real one.
    """

    path: str
    wire: Wire
    vendor: str = ""
    key: bytes = b""
    streams: bool = False
    real: bool = False


DOORS = (
    Door(path="/{chatModel:str}/v1/chat/completions", wire=Wire.CHAT),
    Door(path="/codex/v1/responses", wire=Wire.RESPONSES, vendor="OpenAI"),
    Door(path="/api/v1/responses", wire=Wire.RESPONSES, vendor="OpenAI"),
    Door(path="/grok/v1/responses", wire=Wire.RESPONSES, vendor="xAI", streams=True),
    Door(path="/claude/v1/messages", wire=Wire.MESSAGES, key=b"x-api-key", streams=True),
    Door(path="/anthropic/v1/messages", wire=Wire.MESSAGES, key=b"x-api-key", streams=True, real=True),
    Door(path="/gemini/v1/models/{geminiModel:str}", wire=Wire.GEMINI, key=b"x-goog-api-key", streams=True),
)

VERBS = {"streamGenerateContent": True, "generateContent": False}
"""What may stand behind a Gemini model, and whether it streams. The second is what Google's clients ask for."""

MARK = "chat.real"


def here(request: HttpRequest) -> bool:
    """Whether a request came in at one of these doors."""
    return MARK in request.scope.get("state", {})


def refused(
    request: HttpRequest,
    code: int,
    text: str,
    headers: Mapping[str, str],
    *,
    own: Mapping[str, Any] | None = None,
    parting: bool = False,
) -> HttpResponse:
    """A refusal: our envelope, with the text twice, as vendors' clients look for it elsewhere; and ``own`` beside it.

    The HTTP status is a real one for those clients.
    """
    watch.note(request.scope, code)
    status = REAL.get(code, code) if request.scope["state"][MARK] else 429 if code == 429 else 200
    sent = encode({"code": code, "msg": text, "data": None, "message": text, **(own or {})})
    return answer(sent, status=status, headers=headers, parting=parting)


class Chats:
    """What the handlers share."""

    def __init__(self, house: House, keys: Keys) -> None:
        self._house = house
        self._keys = keys

    async def serve(self, request: HttpRequest, door: Door) -> "HttpResponse | Stream":
        native = any(header(request, name) is not None for name in SDK)
        request.scope.setdefault("state", {})[MARK] = native or door.real
        key = await self._key(request, door)
        asked, model = await self._understand(request, door, key, native=native)
        call = await self._open(key, asked, model)
        question = self._question(request, asked, call.upstream)
        try:
            return await self._answer(request, call, question)
        except Declined as error:
            await call.fail(_failure(error))
            log.warning("call declined", model=model.id, endpoint=call.endpoint.name, code=error.code, **error.detail)
            return _declined(request, error)
        except Left:
            await call.fail(GONE)
            return answer(b"", status=499)  # nobody reads it; the books count it
        except asyncio.CancelledError:
            await call.fail(GONE)
            raise
        except BaseException:  # whatever it is, the hold must not outlive the call; it goes on as it is
            await call.fail(Failure(Reason.PROVIDER, "The call failed; nothing was charged"))
            raise

    async def _key(self, request: HttpRequest, door: Door) -> ApiKey:
        """The caller's key, wherever the clients of this protocol show it."""
        shown = header(request, door.key) if door.key else None
        if shown is not None and header(request, b"authorization") is None:
            headers = [*request.scope["headers"], (b"authorization", b"Bearer " + shown.encode("latin-1"))]
            request = Request({**request.scope, "headers": headers})
        try:
            return await self._keys(request)
        except Unauthorized as error:
            raise Unauthorized(f"{UNAUTHORIZED} ({str(error).removeprefix(f'{NOT_ALLOWED}: ')})") from error

    async def _understand(
        self, request: HttpRequest, door: Door, key: ApiKey, *, native: bool
    ) -> tuple[Asked, ChatModel]:
        """What is asked of which model. Who may not ask is refused before a body of megabytes is read."""
        name, streams = _named(request, door, native=native)
        config = self._house.config
        if name is not None:
            _model(door, name)
        await self._house.talks.admit(key)
        sent = await body(request, config.chat_body_max_bytes)
        given = partial(
            chat.understand,
            door.wire,
            sent,
            model=name,
            streams=streams,
            most=config.chat_max_tokens,
            betas=header(request, b"anthropic-beta") or "",
        )
        asked = given() if len(sent) <= LARGE and chat.values(sent) <= MANY else await asyncio.to_thread(given)
        return asked, _model(door, asked.model)

    async def _open(self, key: ApiKey, asked: Asked, model: ChatModel) -> "Call":
        endpoint, upstream = self._house.chats.of(key.mode, model.id, asked.wire)
        request = ChatRequest(
            wire=asked.wire.value,
            stream=asked.stream,
            most=asked.most,
            given=asked.given,
            count=asked.count,
            caches=asked.caches,
        )
        end = asyncio.get_running_loop().time() + self._house.config.chat_timeout.total_seconds()
        task = await self._house.talks.open(key, model.id, request)
        return Call(self._house, task, asked, endpoint, upstream, end)

    @staticmethod
    def _question(request: HttpRequest, asked: Asked, upstream: str) -> Question:
        given = {name.decode(): value for name in PASSED if (value := header(request, name)) is not None}
        return Question(
            wire=asked.wire,
            model=upstream,
            body=asked.body,
            stream=asked.stream,
            most=asked.most,
            headers=given,
        )

    async def _answer(self, request: HttpRequest, call: "Call", question: Question) -> "HttpResponse | Stream":
        try:
            async with asyncio.timeout_at(call.end):
                reply = await _attended(request, call.endpoint.ask(question))
                if reply.streams:
                    return Stream(call, reply)
                try:
                    whole = await _attended(request, _read(reply))
                finally:
                    reply.close()
        except TimeoutError as error:
            raise Declined(408, f"{LATE}; nothing was charged") from error
        return await _whole(call, whole)


class Endpoint(Protocol):
    """Whoever answers questions, see ``providers.chat.base.Chat``."""

    @property
    def name(self) -> str: ...

    async def ask(self, question: Question) -> "Reply": ...


class Reply(Protocol):
    """An answer that has begun, see ``providers.chat.base.Reply``."""

    @property
    def streams(self) -> bool: ...

    def chunks(self) -> AsyncIterator[bytes]: ...

    def close(self) -> None: ...


class Call:
    """A call that is held for. It ends once: whatever comes second changes nothing."""

    def __init__(self, house: House, task: Task, asked: Asked, endpoint: Endpoint, upstream: str, end: float) -> None:
        self.asked = asked
        self.endpoint = endpoint
        self.upstream = upstream
        self.end = end
        self._talks = house.talks
        self._task = task
        self._ended = False

    async def settle(self, usage: Usage) -> int:
        """Take what was used; answers the milli-credits."""
        return await self._end(self._talks.settle(self._task, usage), 0)

    async def fail(self, failure: Failure) -> None:
        """Give all of it back."""
        await self._end(self._talks.fail(self._task, failure), False)

    async def _end(self, ending: Coroutine[Any, Any, T], over: T) -> T:
        if self._ended:
            ending.close()
            return over
        self._ended = True
        # A caller who leaves now, or a gateway that stops, must not leave the hold behind.
        return await asyncio.shield(asyncio.ensure_future(ending))


class Stream:
    """An answer that is passed on event by event."""

    def __init__(self, call: Call, reply: Reply) -> None:
        self._call = call
        self._reply = reply
        self._tally = Tally(call.asked)
        self._send: Send

    def to_asgi_response(self, app: Any, request: Any, **more: Any) -> Any:
        return self._answer

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._send = send
        request: HttpRequest = Request(scope, receive, send)
        headers = [(name.lower().encode(), value.encode()) for name, value in STREAMED.items()]
        try:
            await send(
                {
                    "type": "http.response.start",
                    "status": 200,
                    "headers": [(b"content-type", EVENTS.encode()), *headers],
                }
            )
            await self._attend(request)
            with suppress(OSError):
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        except Left:
            await self._part()
        except BaseException:  # whatever it is, what was delivered is settled; it goes on as it is
            await self._part()
            raise
        finally:
            self._reply.close()

    async def _attend(self, request: HttpRequest) -> None:
        """The answer to its end, or a last event that says why there is none."""
        try:
            async with asyncio.timeout_at(self._call.end):
                await _attended(request, self._pump())
            await self._close()
        except TimeoutError:
            await self._part()
            await self._pass(chat.trouble(self._call.asked.wire, 408, LATE))
        except (Declined, TooLong) as error:
            failure = _failure(error) if isinstance(error, Declined) else Failure(Reason.PROVIDER, TOO_LARGE)
            await self._call.fail(failure)
            log.warning("call broke off", endpoint=self._call.endpoint.name, error=str(error))
            await self._pass(chat.trouble(self._call.asked.wire, 500, failure.message))

    async def _pump(self) -> None:
        splitter = Splitter()
        async for piece in self._reply.chunks():
            events = [event.raw for event in splitter.feed(piece) if self._tally.see(event)]
            # Who reads that it is over can rely on it that it is paid.
            if self._tally.over:
                await self._close()
            await self._pass(b"".join(events))
        for event in splitter.feed(b"\n\n") if splitter.rest.strip() else ():
            if self._tally.see(event):
                await self._pass(event.raw)

    async def _pass(self, data: bytes) -> None:
        if data:
            await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def _close(self) -> None:
        if self._tally.failed is not None:
            await self._call.fail(Failure(Reason.PROVIDER, "The provider gave up in the middle of its answer"))
        else:
            await self._call.settle(self._tally.known(whole=True))

    async def _part(self) -> None:
        """The end of a call that was broken off here: what was delivered is paid for, and what the endpoint counted."""
        if self._tally.failed is not None:
            await self._close()
        elif self._tally.said or self._tally.usage is not None:
            await self._call.settle(self._tally.known(whole=False))
        else:
            await self._call.fail(GONE)


async def _attended(request: HttpRequest, work: Coroutine[Any, Any, T]) -> T:
    """Do some work for as long as the caller is there. Raises Left."""
    doing, leaving = asyncio.create_task(work), asyncio.create_task(_left(request))
    try:
        await asyncio.wait({doing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            return doing.result()
        raise Left
    finally:
        for each in (doing, leaving):
            each.cancel()
        await asyncio.wait({doing, leaving})


async def _left(request: HttpRequest) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _read(reply: Reply) -> bytes:
    held = bytearray()
    async for piece in reply.chunks():
        held += piece
        if len(held) > ANSWER_BYTES:
            raise Declined(500, f"{TOO_LARGE}; nothing was charged")
    return bytes(held)


async def _whole(call: Call, sent: bytes) -> HttpResponse:
    try:
        reply, usage = chat.whole(call.asked.wire, sent)
    except ValueError as error:
        raise Declined(500, "The provider's answer cannot be read; nothing was charged") from error
    cost = await call.settle(usage or Usage(input=guess(call.asked.given), output=guess(len(sent))))
    return answer(chat.finished(call.asked.wire, reply, cost))


def _named(request: HttpRequest, door: Door, *, native: bool) -> tuple[str | None, bool]:
    """The model that the path names, and whether an answer streams where the body does not say it."""
    if door.wire is Wire.GEMINI:
        name, _, verb = str(request.path_params["geminiModel"]).rpartition(":")
        if verb not in VERBS:
            raise NotFoundException
        return name, VERBS[verb]
    if door.wire is Wire.CHAT:
        name = str(request.path_params["chatModel"])
        return name, not native and name.startswith("gemini")
    return None, not native and door.streams


def _model(door: Door, name: str) -> ChatModel:
    found = chat_models.find(door.wire, name)
    if found is None or door.vendor not in ("", found.vendor):
        raise Invalid(UNKNOWN_MODEL, field="model")
    return found


def _failure(error: Declined) -> Failure:
    return Failure(REASONS.get(error.code, Reason.PROVIDER), str(error))


def _declined(request: HttpRequest, error: Declined) -> HttpResponse:
    """A refusal of the endpoint's, with its own words where those are for the caller."""
    said = error.body if isinstance(error.body, dict) else {}
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after.total_seconds())))
    own = {name: said[name] for name in ("type", "error") if name in said}
    return refused(request, error.code, str(error), headers, own=own)


def routes(house: House, keys: Keys) -> list[HTTPRouteHandler]:
    desk = Chats(house, keys)
    return [_handler(desk, door) for door in DOORS]


def _handler(desk: Chats, door: Door) -> HTTPRouteHandler:
    async def handle(request: Request) -> HttpResponse:  # type: ignore[type-arg]
        return await desk.serve(request, door)  # type: ignore[return-value]

    return post(door.path, status_code=200, middleware=[Direct])(handle)
