"""The OpenAI Images API on 127.0.0.1, as strict as its published description.

    async with Simulator() as sim:
        client = AsyncOpenAI(base_url=sim.url, api_key=sim.key, max_retries=0)

It serves ``POST /v1/images/generations``, ``POST /v1/images/edits`` (multipart) and ``GET /v1/models`` for the GPT
image models, and refuses whatever the description does not allow, with error bodies of the same shape. Pictures are
drawn from the request alone: the same request gives the same bytes. ``book`` holds what was accepted, and so would have
been billed, answered or not; ``posts`` counts every POST that arrived, so that no hidden retry stays hidden.

Not here: DALL-E, streaming, edits as JSON, SVG and animations; requests for them are refused.
"""

import asyncio
import base64
import hashlib
import json
import re
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from io import BytesIO
from types import TracebackType
from typing import Literal, Self

from aiohttp import BodyPartReader, web
from PIL import Image, ImageDraw

from tessera.kit.clock import Clock, system

How = Literal["status", "blocked", "drop", "stall", "half", "garbage", "empty", "fewer"]
"""What goes wrong: a status; a moderation refusal; then, all of them accepted and billed: the connection closed
without an answer, no answer at all, half an answer, an answer that is no JSON, one without pictures, one with a picture
less than were asked for."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

IMAGE_BYTES = 50_000_000
MASK_BYTES = 4_000_000
TEXT_BYTES = 1_000_000
IMAGES = 16
PROMPT_CHARS = 32_000
CREATED = 1_780_000_000


@dataclass(frozen=True, slots=True)
class Model:
    """``generation`` decides which sizes and qualities it takes."""

    generation: float
    shutdown: date | None = None


MODELS: Mapping[str, Model] = {
    "gpt-image-1-mini": Model(1.0, date(2026, 12, 1)),
    "gpt-image-1.5": Model(1.5, date(2026, 12, 1)),
    "chatgpt-image-latest": Model(1.5, date(2026, 12, 1)),
    "gpt-image-2": Model(2.0),
    "gpt-image-2-2026-04-21": Model(2.0),
    "gpt-image-2.5-sunburst": Model(2.5),
    "gpt-image-2.5-sunburst-2026-09-08": Model(2.5),
    "gpt-image-2.5-flare": Model(2.5),
    "gpt-image-2.5-flare-2026-09-08": Model(2.5),
    "gpt-image-2.6-sunburst": Model(2.6),
    "gpt-image-2.6-flare": Model(2.6),
}
DEFAULT_MODEL = "gpt-image-1.5"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file part as it came."""

    name: str
    filename: str
    media_type: str
    content: bytes = field(repr=False)

    def open(self) -> Image.Image:
        return Image.open(BytesIO(self.content))


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request that was accepted and billed.

    ``fields`` are the parameters as sent, numbers as numbers; the names of ``headers`` are in lower case; ``port`` is
    the client's, another one for each connection.
    """

    operation: Literal["generate", "edit"]
    fields: Mapping[str, object]
    headers: Mapping[str, str] = field(repr=False)
    port: int = 0
    images: tuple[Upload, ...] = ()
    mask: Upload | None = None

    @property
    def model(self) -> str:
        return str(self.fields.get("model") or DEFAULT_MODEL)

    @property
    def prompt(self) -> str:
        return str(self.fields["prompt"])

    @property
    def count(self) -> int:
        n = self.fields.get("n")
        return n if isinstance(n, int) else 1

    @property
    def size(self) -> tuple[int, int]:
        """In pixels; ``auto`` is a square."""
        text = str(self.fields.get("size") or "auto")
        width, _, height = ("1024x1024" if text == "auto" else text).partition("x")
        return int(width), int(height)

    @property
    def format(self) -> str:
        return str(self.fields.get("output_format") or "png")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """How the next good request is answered instead."""

    how: How
    status: int = 500
    code: str | None = None
    type: str = "server_error"
    param: str | None = None
    message: str = "The server had an error while processing your request."
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None


class Refused(Exception):
    """A request that the description does not allow."""

    def __init__(self, message: str, *, status: int = 400, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.param = param
        self.code = code


class Simulator:
    """One account with one key. Use it as an async context manager; ``url`` is the base URL for a client."""

    def __init__(self, *, key: str = "sk-simulated-0123456789abcdef", clock: Clock = system) -> None:
        self.key = key
        self.url = ""
        self.posts = 0
        self.book: list[Call] = []
        self.stalled = asyncio.Event()
        """Set when a request is being kept waiting."""
        self._clock = clock
        self._faults: deque[Fault] = deque()
        self._released = asyncio.Event()
        self._answered = 0
        self._runner: web.AppRunner | None = None

    def fail_next(
        self,
        how: How = "status",
        *,
        status: int = 500,
        code: str | None = None,
        type: str = "server_error",
        param: str | None = None,
        message: str = "The server had an error while processing your request.",
        headers: Mapping[str, str] | None = None,
        body: str | None = None,
        times: int = 1,
    ) -> None:
        """Script the answer to the next good requests; ``body`` is sent as it is, in place of an error object."""
        fault = Fault(
            how=how,
            status=status,
            code=code,
            type=type,
            param=param,
            message=message,
            headers=headers or {},
            body=body,
        )
        self._faults.extend([fault] * times)

    def release(self) -> None:
        """Let stalled requests end, without an answer."""
        self._released.set()

    async def __aenter__(self) -> Self:
        app = web.Application(middlewares=[self._guard], client_max_size=TEXT_BYTES)
        app.router.add_post("/v1/images/generations", self._generations)
        app.router.add_post("/v1/images/edits", self._edits)
        app.router.add_get("/v1/models", self._models, allow_head=False)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}/v1"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Path and method first, then the key, then the request itself; every refusal in their shape."""
        self.posts += request.method == "POST"
        try:
            if request.match_info.http_exception is None:
                self._authorize(request)
            return await handler(request)
        except Refused as refused:
            return self._error(refused.status, str(refused), param=refused.param, code=refused.code)
        except web.HTTPNotFound:
            return self._error(404, f"Invalid URL ({request.method} {request.path})", code="unknown_url")
        except web.HTTPMethodNotAllowed as wrong:
            message = f"Not allowed to {request.method} on {request.path}"
            return self._error(405, message, code="method_not_supported", headers={"Allow": wrong.headers["Allow"]})

    def _authorize(self, request: web.Request) -> None:
        sent = request.headers.get("Authorization")
        if sent is None:
            raise Refused("No API key was given in an Authorization header.", status=401)
        if sent != f"Bearer {self.key}":
            raise Refused("Incorrect API key provided.", status=401, code="invalid_api_key")

    async def _models(self, request: web.Request) -> web.Response:
        if request.query_string:
            raise Refused("This list takes no parameters.", code="unknown_parameter")
        rows = [
            {
                "id": name,
                "object": "model",
                "created": CREATED,
                "owned_by": "system",
                "shutdown_date": model.shutdown.isoformat() if model.shutdown else None,
            }
            for name, model in MODELS.items()
        ]
        return web.json_response({"object": "list", "data": rows}, headers=self._stamp())

    async def _generations(self, request: web.Request) -> web.StreamResponse:
        fields = await _json_fields(request)
        check(fields, GENERATION)
        call = Call(operation="generate", fields=fields, headers=_headers(request), port=_port(request))
        return await self._answer(request, call)

    async def _edits(self, request: web.Request) -> web.StreamResponse:
        fields, images, mask = await _form_fields(request)
        check(fields, EDIT)
        await asyncio.to_thread(check_images, images, mask)
        call = Call(
            operation="edit",
            fields=fields,
            headers=_headers(request),
            port=_port(request),
            images=images,
            mask=mask,
        )
        return await self._answer(request, call)

    async def _answer(self, request: web.Request, call: Call) -> web.StreamResponse:
        fault = self._faults.popleft() if self._faults else None
        if fault is not None and fault.how in {"status", "blocked"}:
            return self._refusal(fault)
        self.book.append(call)
        if fault is None:
            return web.Response(body=await self._body(call), content_type="application/json", headers=self._stamp())
        return await self._spoil(request, call, fault.how)

    def _refusal(self, fault: Fault) -> web.Response:
        if fault.how == "blocked":
            message = "Your request was rejected by the safety system."
            return self._error(400, message, kind="image_generation_user_error", code="moderation_blocked")
        if fault.body is not None:
            return web.Response(status=fault.status, text=fault.body, headers={**fault.headers, **self._stamp()})
        return self._error(
            fault.status, fault.message, kind=fault.type, param=fault.param, code=fault.code, headers=fault.headers
        )

    async def _spoil(self, request: web.Request, call: Call, how: How) -> web.StreamResponse:
        """Accepted, billed, and not answered as it should be."""
        if how == "garbage":
            return web.Response(text='{"created": 17, "data": [{"b64_js', content_type="application/json")
        if how == "empty":
            return web.json_response({"created": CREATED, "data": []}, headers=self._stamp())
        if how == "fewer":
            body = json.loads(await self._body(call))
            return web.json_response({**body, "data": body["data"][1:]}, headers=self._stamp())
        response = web.StreamResponse(headers=self._stamp())
        if how == "half":
            body = await self._body(call)
            response.content_length = len(body)
            await response.prepare(request)
            await response.write(body[: len(body) // 2])
        elif how == "stall":
            self.stalled.set()
            await self._released.wait()
        if request.transport is not None:
            request.transport.close()
        return response

    async def _body(self, call: Call) -> bytes:
        pictures = await asyncio.gather(*(asyncio.to_thread(draw, call, index) for index in range(call.count)))
        quality = call.fields.get("quality") or "auto"
        body = {
            "created": int(self._clock().timestamp()),
            "background": "opaque",
            "data": [{"b64_json": base64.b64encode(picture).decode()} for picture in pictures],
            "output_format": call.format,
            "quality": "medium" if quality == "auto" else quality,
            "size": "{}x{}".format(*call.size),
            "usage": usage(call),
        }
        return json.dumps(body).encode()

    def _error(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> web.Response:
        error = {"message": message, "type": kind, "param": param, "code": code}
        return web.json_response({"error": error}, status=status, headers={**(headers or {}), **self._stamp()})

    def _stamp(self) -> dict[str, str]:
        self._answered += 1
        return {"x-request-id": f"req_simulated_{self._answered:04}"}


# What a request may say.

Check = Callable[[object, Model], bool]
"""Whether this model takes this value."""


def _one_of(*values: object) -> Check:
    return lambda value, _: isinstance(value, str) and value in values


def _whole(least: int, most: int) -> Check:
    return lambda value, _: type(value) is int and least <= value <= most


def _text(most: int) -> Check:
    return lambda value, _: isinstance(value, str) and 0 < len(value) <= most


def _size(value: object, model: Model) -> bool:
    if not isinstance(value, str):
        return False
    if value in {"auto", "1024x1024", "1536x1024", "1024x1536"}:
        return True
    sides = value.split("x")
    if model.generation < 2 or len(sides) != 2 or not all(re.fullmatch("[1-9][0-9]{1,4}", side) for side in sides):
        return False
    short, long = sorted(int(side) for side in sides)
    return short % 16 == 0 and long % 16 == 0 and short <= 2160 and long <= 3840 and long <= 3 * short


def _quality(value: object, model: Model) -> bool:
    best = {"xhigh", "max"} if model.generation >= 2.5 else set()
    return isinstance(value, str) and value in {"auto", "low", "medium", "high"} | best


BOTH: Mapping[str, Check] = {
    "prompt": _text(PROMPT_CHARS),
    "model": lambda value, _: isinstance(value, str),
    "n": _whole(1, 10),
    "size": _size,
    "quality": _quality,
    "background": _one_of("transparent", "opaque", "auto"),
    "output_format": _one_of("png", "jpeg", "webp"),
    "output_compression": _whole(0, 100),
    "user": _text(512),
    "safety_identifier": _text(512),
}
GENERATION: Mapping[str, Check] = {**BOTH, "moderation": _one_of("low", "auto")}
EDIT: Mapping[str, Check] = {
    **BOTH,
    # From the second generation on every input is followed closely, and the parameter is gone.
    "input_fidelity": lambda value, model: model.generation == 1.5 and value in {"high", "low"},
}
NUMBERS = frozenset({"n", "output_compression"})
NEVER_NULL = frozenset({"prompt", "user"})


def check(fields: Mapping[str, object], allowed: Mapping[str, Check]) -> None:
    """Raises Refused at the first parameter that is unknown here, wrong, or in conflict with another."""
    for name in fields:
        if name not in allowed:
            raise Refused(f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
    if "prompt" not in fields:
        raise Refused("Missing required parameter: 'prompt'.", param="prompt", code="missing_required_parameter")
    model = _model(fields)
    for name, value in fields.items():
        if value is None and name not in NEVER_NULL:
            continue
        if not allowed[name](value, model):
            raise Refused(f"Invalid value for '{name}'.", param=name, code="invalid_value")
    _check_together(fields)


def _model(fields: Mapping[str, object]) -> Model:
    name = fields.get("model")
    model = MODELS.get(DEFAULT_MODEL if name is None else str(name))
    if model is None:
        raise Refused(f"The model '{name}' does not exist.", status=404, param="model", code="model_not_found")
    return model


def _check_together(fields: Mapping[str, object]) -> None:
    kind = fields.get("output_format") or "png"
    if fields.get("background") == "transparent" and kind == "jpeg":
        raise Refused("A transparent background needs png or webp.", param="background", code="invalid_value")
    if fields.get("output_compression") is not None and kind == "png":
        raise Refused("A png cannot be compressed further.", param="output_compression", code="invalid_value")


def _headers(request: web.Request) -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers.items()}


def _port(request: web.Request) -> int:
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return int(peer[1]) if peer else 0


async def _json_fields(request: web.Request) -> dict[str, object]:
    if request.content_type != "application/json":
        raise Refused(f"Unsupported content type '{request.content_type}'; send application/json.")
    try:
        body = json.loads(await request.read())
    except ValueError as error:
        raise Refused("The body of the request is not JSON.") from error
    if not isinstance(body, dict):
        raise Refused("The body of the request is not an object.")
    return body


async def _form_fields(request: web.Request) -> tuple[dict[str, object], tuple[Upload, ...], Upload | None]:
    """Texts, images and mask of a form. ``image`` is one picture, ``image[]`` any number of them."""
    if request.content_type != "multipart/form-data":
        raise Refused(f"Unsupported content type '{request.content_type}'; send multipart/form-data.")
    texts: dict[str, object] = {}
    files: list[Upload] = []
    try:
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader) or not part.name:
                raise Refused("A part of the form has no name.")
            if part.filename is None:
                _keep_text(texts, part.name, (await _bytes(part, TEXT_BYTES)).decode())
            else:
                files.append(await _file(part))
    except ValueError as error:
        raise Refused("The form cannot be read.") from error
    return texts, *_sorted_files(files)


def _keep_text(texts: dict[str, object], name: str, text: str) -> None:
    if name in texts:
        raise Refused(f"Duplicate parameter: '{name}'.", param=name, code="duplicate_parameter")
    if name in {"image", "image[]", "mask"}:
        raise Refused(f"'{name}' is a file.", param=name.removesuffix("[]"), code="invalid_type")
    texts[name] = int(text) if name in NUMBERS and text.isascii() and text.isdecimal() else text


async def _file(part: BodyPartReader) -> Upload:
    name = part.name or ""
    if name not in {"image", "image[]", "mask"}:
        raise Refused(f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
    media_type = part.headers.get("Content-Type", "")
    return Upload(
        name=name, filename=part.filename or "", media_type=media_type, content=await _bytes(part, IMAGE_BYTES)
    )


async def _bytes(part: BodyPartReader, limit: int) -> bytes:
    content = bytearray()
    while chunk := await part.read_chunk(1 << 16):
        content += chunk
        if len(content) >= limit:
            raise Refused(f"'{part.name}' must have less than {limit} bytes.", param=part.name, code="file_too_large")
    return bytes(content)


def _sorted_files(files: list[Upload]) -> tuple[tuple[Upload, ...], Upload | None]:
    single = [file for file in files if file.name == "image"]
    listed = [file for file in files if file.name == "image[]"]
    masks = [file for file in files if file.name == "mask"]
    if not single and not listed:
        raise Refused("Missing required parameter: 'image'.", param="image", code="missing_required_parameter")
    if len(single) > 1 or (single and listed) or len(masks) > 1:
        raise Refused("Duplicate file; several images are sent as image[].", param="image", code="duplicate_parameter")
    if len(listed) > IMAGES:
        raise Refused(f"At most {IMAGES} images can be edited.", param="image", code="array_above_max_length")
    return tuple(single or listed), masks[0] if masks else None


def check_images(images: tuple[Upload, ...], mask: Upload | None) -> None:
    """Raises Refused for a file that is no png, webp or jpeg, or that lies about it, and for a mask that is none."""
    for image in images:
        with _verified(image, {"image/png": "PNG", "image/webp": "WEBP", "image/jpeg": "JPEG"}):
            pass
    if mask is None:
        return
    if len(mask.content) >= MASK_BYTES:
        raise Refused("The mask must have less than 4 MB.", param="mask", code="file_too_large")
    with images[0].open() as first, _verified(mask, {"image/png": "PNG"}) as picture:
        if "A" not in picture.getbands():
            raise Refused("The mask has no alpha channel.", param="mask", code="invalid_image_format")
        if picture.size != first.size:
            raise Refused("Image and mask differ in size.", param="mask", code="invalid_image_dimensions")


def _verified(file: Upload, formats: Mapping[str, str]) -> Image.Image:
    param = file.name.removesuffix("[]")
    try:
        with file.open() as probe:
            probe.verify()
        picture = file.open()
    except (OSError, SyntaxError, ValueError) as error:
        raise Refused(f"'{param}' is no picture.", param=param, code="invalid_image_file") from error
    if formats.get(file.media_type) != picture.format:
        picture.close()
        raise Refused(f"'{param}' is not of a supported type.", param=param, code="invalid_image_format")
    return picture


# What it draws.


def colour(call: Call, index: int) -> tuple[int, int, int]:
    """The colour of the ``index``-th picture of a call, from its prompt."""
    red, green, blue = hashlib.sha256(f"{call.model}/{call.prompt}/{index}".encode()).digest()[:3]
    return red, green, blue


def draw(call: Call, index: int) -> bytes:
    """A plain picture with a frame; or the first image, painted where the mask is transparent (without one: halfway all
    over), with the other images in a row along its lower edge."""
    paint = Image.new("RGB", call.size, colour(call, index))
    if call.operation == "edit":
        paint = _edited(call, paint)
    else:
        ImageDraw.Draw(paint).rectangle((0, 0, call.size[0] - 1, call.size[1] - 1), outline="white", width=16)
    out = BytesIO()
    paint.save(out, call.format.upper(), **({"compress_level": 1} if call.format == "png" else {}))
    return out.getvalue()


def _edited(call: Call, paint: Image.Image) -> Image.Image:
    with call.images[0].open() as first:
        base = first.convert("RGB").resize(call.size)
    if call.mask is None:
        result = Image.blend(base, paint, 0.5)
    else:
        with call.mask.open() as mask:
            kept = mask.getchannel("A").resize(call.size, Image.Resampling.NEAREST)
        result = Image.composite(base, paint, kept)
    side = call.size[0] // IMAGES
    for place, extra in enumerate(call.images[1:]):
        with extra.open() as picture:
            result.paste(picture.convert("RGB").resize((side, side)), (place * side, call.size[1] - side))
    return result


def usage(call: Call) -> dict[str, object]:
    """Token counts that follow from the request: a quarter a character, 200 an input image, 1,000 an output."""
    text, images, output = len(call.prompt) // 4 + 1, 200 * len(call.images), 1000 * call.count
    return {
        "input_tokens": text + images,
        "input_tokens_details": {"text_tokens": text, "image_tokens": images},
        "output_tokens": output,
        "output_tokens_details": {"text_tokens": 0, "image_tokens": output},
        "total_tokens": text + images + output,
    }
