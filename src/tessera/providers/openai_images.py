"""OpenAI Images: the GPT image models, through the official SDK (the extra ``openai``).

The service is synchronous: one POST is answered with the pictures themselves, and there is no job to ask after. So a
submission whose answer did not arrive is ``Ambiguous`` for good. Every POST carries our ``Idempotency-Key``, which
does no harm, but OpenAI promises nothing about it; the manifest therefore says that a repeated submission is a new job.

Environment: ``OPENAI_API_KEY``; ``OPENAI_BASE_URL`` (default https://api.openai.com/v1); ``TESSERA_OPENAI_TIMEOUT``,
the seconds from connection to the last byte of an answer (default 300). The process environment is not read: neither
``OPENAI_ORG_ID``, ``OPENAI_CUSTOM_HEADERS`` and their like nor proxy variables change what is sent, or where.
"""

import asyncio
import base64
import io
import json
import math
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn, Protocol
from urllib.parse import urlsplit

from PIL import Image, ImageOps

from tessera.domain.errors import Ambiguous, ConfigError, Failed, ProviderError, Rejected, Unavailable
from tessera.domain.task import ImageRequest, Reason
from tessera.kit import trace
from tessera.kit.clock import Clock
from tessera.kit.cpu import HOPELESS, WorkLostError
from tessera.kit.exchange import retry_after
from tessera.providers.base import Accepted, Done, InputFile, Job, LocalFile, Manifest, Running, asked

if TYPE_CHECKING:
    import httpx2
    from openai import APIStatusError, AsyncOpenAI

BASE_URL = "https://api.openai.com/v1"
MODEL = "gpt-image-2.6-flare"
TIMEOUT = 300.0
CONNECT = 10.0
"""Seconds for DNS, TCP and TLS. Until they are done nothing was sent, so giving up early is safe."""

MANIFEST = Manifest(
    name="openai",
    title="OpenAI Images",
    operations=frozenset({"image.generate", "image.edit"}),
    models={"gpt4o-image": MODEL, "GPT_IMAGE_1": MODEL},
    environment=("OPENAI_API_KEY",),
    homepage="https://developers.openai.com/api/docs/guides/image-generation",
)

SIZES: Mapping[str, str] = {"1:1": "1024x1024", "3:2": "1536x1024", "2:3": "1024x1536"}
FORMATS: Mapping[str, tuple[str, str]] = {
    "image/png": ("png", "image/png"),
    "image/webp": ("webp", "image/webp"),
    **dict.fromkeys(("image/jpeg", "image/jpg", "image/pjpeg", "image/jfif"), ("jpg", "image/jpeg")),
}
"""What they read: suffix and type to send, by the type of our file. Everything else is sent as PNG."""

PROMPT_CHARS = 32_000
COUNT = 10
IMAGES = 16
IMAGE_BYTES = 50_000_000
MASK_BYTES = 4_000_000
"""Their limits; for "MB" the smaller reading. Pictures and mask must stay below, the others may be reached."""

ANSWER_BYTES = 512 * 1024 * 1024
"""More than ten of the largest pictures as Base64. It keeps a broken server from filling the disk."""

PIXELS = 64_000_000
"""No picture with more is decoded here."""

NEUTRAL = "Redraw the given picture. Keep its subject, its composition and its style."
"""Stands in where a caller sent pictures and no words: a prompt is required there."""

KEPT_HEADERS = frozenset(
    {
        "host",
        "connection",
        "accept",
        "accept-encoding",
        "authorization",
        "content-length",
        "content-type",
        "idempotency-key",
        "transfer-encoding",
        "user-agent",
        "x-stainless-raw-response",  # the SDK reads it back from the request
    }
)
CONTENT_CODES = frozenset({"moderation_blocked", "content_policy_violation"})
FUNDS_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
USAGE = ("input_tokens", "output_tokens", "total_tokens")
MAGIC: tuple[tuple[bytes, bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", b"", "png"),
    (b"\xff\xd8\xff", b"", "jpg"),
    (b"RIFF", b"WEBP", "webp"),
)

PIECE = 1 << 20
"""Bytes of an input that one request holds in memory while it is sent."""


class TornError(OSError):
    """An input could not be read to its end, so the request did not leave whole"""


class Later(io.RawIOBase):
    """A file that is opened when its turn to be sent comes, and closed at its end.

    A request waits for minutes for its answer, and thousands may wait: what was sent must hold no file open meanwhile.
    Whoever asks how long it is gets the size that was judged; one that was cut since ends the request.
    """

    def __init__(self, path: Path, size: int) -> None:
        super().__init__()
        self._path = path
        self._size = size
        self._at = 0
        self._file: BinaryIO | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._shut()
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        """The next ``size`` bytes; all that are left for a negative one. Empty at the end. Raises TornError."""
        left = self._size - self._at
        wanted = left if size < 0 else min(size, left)
        if wanted <= 0:
            return b""
        try:
            piece = self._opened().read(wanted)
        except OSError as error:
            raise TornError(type(error).__name__) from error
        if len(piece) < wanted:
            raise TornError("shorter than it was")
        self._at += len(piece)
        if self._at == self._size:
            self._shut()
        return piece

    def close(self) -> None:
        self._shut()
        super().close()

    def _opened(self) -> BinaryIO:
        if self._file is None:
            self._file = self._path.open("rb")
            self._file.seek(self._at)
        return self._file

    def _shut(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


Upload = tuple[str, Later, str]
"""A part of a form: file name, content, media type."""


class Cpu(Protocol):
    """Runs plain functions where they do not hold up the event loop."""

    async def run(self, call: Callable[..., Any], /, *args: Any) -> Any: ...


class Context(Protocol):
    """What this provider takes from its surroundings."""

    @property
    def clock(self) -> Clock: ...
    @property
    def cpu(self) -> Cpu: ...
    @property
    def environ(self) -> Mapping[str, str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A job in their words, ready to be sent. Without images it is a generation, with them an edit."""

    prompt: str
    size: str
    count: int
    images: tuple[Upload, ...] = ()
    mask: Upload | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back: the pictures, by now files, and the token counts that were told."""

    files: tuple[Path, ...]
    usage: Mapping[str, int] = field(default_factory=dict)


class Factory:
    """Makes the provider; ``manifest`` tells beforehand what it needs."""

    manifest: Manifest = MANIFEST

    def __call__(self, context: Context) -> "OpenAIImages":
        """Raises ConfigError for a missing SDK or a wrong setting."""
        key = _key(context.environ)
        timeout = _timeout(context.environ)
        client = connect(key=key, base_url=_base_url(context.environ), timeout=timeout)
        return OpenAIImages(client=client, key=key, timeout=timeout, cpu=context.cpu, clock=context.clock)


provider = Factory()
"""What the entry point names."""


def connect(*, key: str, base_url: str, timeout: float) -> "AsyncOpenAI":
    """An SDK client that sends each request once, to ``base_url`` and nowhere else, with our headers only.

    No connection is kept for a second POST: one that the server had closed meanwhile would look like a lost answer,
    and a paid request would end as ambiguous for nothing. A handshake costs little beside the drawing of a picture.
    """
    try:
        import httpx2
        from openai import AsyncOpenAI, DefaultAsyncHttpx2Client
    except ImportError as missing:
        raise ConfigError("The OpenAI provider needs the OpenAI SDK: make setup EXTRAS=openai") from missing

    patience = httpx2.Timeout(timeout, connect=CONNECT)
    http = DefaultAsyncHttpx2Client(
        trust_env=False,
        follow_redirects=False,
        timeout=patience,
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=0),
        event_hooks={"request": [_only_our_headers(key)]},
    )
    return AsyncOpenAI(
        api_key=key,
        admin_api_key="",  # an empty text keeps the SDK from looking into the environment
        webhook_secret="",
        base_url=base_url,
        timeout=patience,
        max_retries=0,
        http_client=http,
    )


def _only_our_headers(key: str) -> "Callable[[httpx2.Request], Awaitable[None]]":
    """A last look at each request: the SDK adds headers from the environment and about this machine."""

    async def strip(request: "httpx2.Request") -> None:
        _send_beside(request)
        for name in [name for name in request.headers if name.lower() not in KEPT_HEADERS]:
            del request.headers[name]
        request.headers["Authorization"] = f"Bearer {key}"
        request.headers.update(trace.carrier() or {})

    return strip


def _send_beside(request: "httpx2.Request") -> None:
    """Have the files of a form read beside the event loop, a piece at a time: the library would read them on it."""
    import httpx2

    form = request.stream
    if isinstance(form, httpx2.ByteStream) or not isinstance(form, httpx2.SyncByteStream):
        return
    chunks: Iterator[bytes] = iter(form)

    class Beside(httpx2.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            while piece := await asyncio.to_thread(_piece, chunks):
                yield piece

    request.stream = Beside()


def _piece(chunks: Iterator[bytes]) -> bytes:
    """The next chunks as one, about ``PIECE`` bytes; empty at the end."""
    piece = bytearray()
    for chunk in chunks:
        piece += chunk
        if len(piece) >= PIECE:
            break
    return bytes(piece)


def _key(environ: Mapping[str, str]) -> str:
    key = environ.get("OPENAI_API_KEY", "").strip()
    if not key:
        raise ConfigError("OPENAI_API_KEY is not set; the OpenAI provider needs it")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigError("OPENAI_API_KEY contains characters that no key has")
    return key


def _base_url(environ: Mapping[str, str]) -> str:
    url = environ.get("OPENAI_BASE_URL", "").strip() or BASE_URL
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
        raise ConfigError("OPENAI_BASE_URL is not an http(s) address without credentials, such as " + BASE_URL)
    return url


def _timeout(environ: Mapping[str, str]) -> float:
    text = environ.get("TESSERA_OPENAI_TIMEOUT", "").strip() or str(TIMEOUT)
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= 86_400:
        raise ConfigError("TESSERA_OPENAI_TIMEOUT is not a number of seconds between 0 and 86400")
    return seconds


class OpenAIImages:
    """Generations and edits. One POST a job, never repeated here.

    ``timeout`` is in seconds and covers the whole exchange, so that an answer which trickles in ends, too.
    """

    def __init__(self, *, client: "AsyncOpenAI", key: str, timeout: float, cpu: Cpu, clock: Clock) -> None:
        self._client = client
        self._key = key
        self._timeout = timeout
        self._cpu = cpu
        self._clock = clock

    @property
    def manifest(self) -> Manifest:
        return MANIFEST

    async def submit(self, job: Job) -> Accepted | Done:
        """Draw, or edit ``job.images``; always ``Done``. Raises Rejected, Unavailable, Ambiguous or Failed."""
        order = await self._order(job)
        try:
            answer, facts = await self._exchange(job, order)
        except Exception as error:  # noqa: BLE001 whatever breaks from here on may have been paid for
            # "from None": their words, and with them perhaps our key, stay out of every traceback.
            raise self._translate(error) from None
        if len(answer.files) < order.count:
            raise Failed(f"OpenAI returned {len(answer.files)} of {order.count} pictures", detail=facts)
        return Done(outputs=tuple(LocalFile(path=path) for path in answer.files), facts=facts)

    async def poll(self, job: Job) -> Running | Done:
        """There is nothing to ask: raises Ambiguous."""
        raise Ambiguous("OpenAI keeps no job to ask after; without its answer the outcome stays unknown")

    async def cancel(self, job: Job) -> bool:
        return False

    async def close(self) -> None:
        await self._client.close()

    async def _order(self, job: Job) -> Order:
        """The job in their words; raises Rejected for what they would refuse. Nothing is sent."""
        prompt, size = _terms(job)
        try:
            images, mask = await self._files(job)
        except HOPELESS as error:
            raise Rejected("The input files are too large to be made ready", reason=Reason.INPUT_INVALID) from error
        except (OSError, WorkLostError) as error:
            message = "The input files could not be made ready; nothing was sent"
            raise Unavailable(message, detail={"error": type(error).__name__}) from error
        return Order(prompt=prompt, size=size, count=job.request.count, images=images, mask=mask)

    async def _files(self, job: Job) -> tuple[tuple[Upload, ...], Upload | None]:
        images = []
        first: Path | None = None
        for number, image in enumerate(job.images, start=1):
            path, kind = await self._readable(job, number, image)
            images.append(await _upload(path, kind, f"Image {number}", IMAGE_BYTES))
            first = first or path
        # With several pictures nobody can say which one is meant: the mask is not used then.
        if job.mask is None or first is None or len(images) > 1:
            return tuple(images), None
        target = job.workdir / "mask.png"
        await self._cpu.run(write_mask, job.mask.path, first, target)
        return tuple(images), await _upload(target, FORMATS["image/png"], "The mask", MASK_BYTES)

    async def _readable(self, job: Job, number: int, image: InputFile) -> tuple[Path, tuple[str, str]]:
        kind = FORMATS.get(image.media_type)
        if kind is not None:
            return image.path, kind
        target = job.workdir / f"input-{number}.png"
        await self._cpu.run(write_png, image.path, target)
        return target, FORMATS["image/png"]

    async def _exchange(self, job: Job, order: Order) -> tuple[Answer, dict[str, str | int | float]]:
        """Send and receive. The pictures go to disk as they come and are decoded elsewhere."""
        body = job.workdir / "answer.json"
        images = self._client.images.with_streaming_response
        headers = {"Idempotency-Key": job.idempotency_key}
        words: dict[str, Any] = {
            "model": job.model,
            "prompt": order.prompt,
            "n": order.count,
            "size": order.size,
            "extra_headers": headers,
        }
        if order.images:
            words["image"] = list(order.images)
            if order.mask is not None:
                words["mask"] = order.mask
        post = images.edit if order.images else images.generate
        with ExitStack() as sending:
            for _, content, _ in (*order.images, *([order.mask] if order.mask else [])):
                sending.callback(content.close)
            async with asyncio.timeout(CONNECT + self._timeout), post(**words) as response:
                await _save(response.iter_bytes(1 << 20), body)
                request_id = response.headers.get("x-request-id")
        answer: Answer = await self._cpu.run(unpack, body, order.count)
        await asyncio.to_thread(body.unlink)
        facts: dict[str, str | int | float] = {"model": job.model, **answer.usage}
        if request_id:
            facts["request_id"] = self._clean(request_id)
        return answer, facts

    def _translate(self, error: Exception) -> ProviderError:
        """Their errors, and the network's, in ours. The one border."""
        import httpx2
        from openai import APIConnectionError, APIStatusError

        if isinstance(error, APIStatusError):
            return self._verdict(error)
        cause = error.__cause__ if isinstance(error, APIConnectionError) else error
        detail = {"error": type(error).__name__, "cause": type(cause).__name__}
        if isinstance(cause, TornError):
            # Its length was announced: nobody takes a request of which a part is missing.
            return Unavailable("The input files could not be read to their end; nothing whole was sent", detail=detail)
        unsent = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)
        if isinstance(cause, unsent):
            return Unavailable("OpenAI could not be reached", detail=detail)
        return Ambiguous("OpenAI was asked, but no usable answer came back", detail=detail)

    def _verdict(self, error: "APIStatusError") -> ProviderError:
        """Their answer with a status of 300 or more."""
        status, detail = error.status_code, self._detail(error)
        said = {detail.get("code"), detail.get("type")}
        wait = retry_after(error.response.headers.get("retry-after"), self._clock())
        if status < 500 and said & CONTENT_CODES:
            message = "Your content was flagged by OpenAI as violating content policies"
            return Rejected(message, reason=Reason.CONTENT, detail=detail)
        if status < 500 and said & FUNDS_CODES:
            return Rejected("The OpenAI account of this gateway has no funds left", portable=True, detail=detail)
        if status == 429:
            return Unavailable("OpenAI is receiving too many requests", retry_after=wait, detail=detail)
        if status == 503 and wait is not None:
            return Unavailable("OpenAI is overloaded", retry_after=wait, detail=detail)
        if status >= 500 or status in {408, 409}:
            return Ambiguous("OpenAI failed after the request was sent; it may have been accepted", detail=detail)
        return _refusal(status, detail)

    def _detail(self, error: "APIStatusError") -> dict[str, int | str]:
        """What operators may know: the status and, where they are texts, code, type, param, request_id, message."""
        told: dict[str, object] = {name: getattr(error, name) for name in ("code", "type", "param", "request_id")}
        if error.status_code != 401:  # that one likes to quote a part of the key
            told["message"] = error.message
        texts = {name: self._clean(text) for name, text in told.items() if isinstance(text, str)}
        return {"status": error.status_code, **texts}

    def _clean(self, text: str) -> str:
        """Their text, short and without our key."""
        return text.replace(self._key, "***")[:300]


def _terms(job: Job) -> tuple[str, str]:
    """Prompt and size. Raises Rejected where one of their limits is broken; another provider may have others."""
    request = asked(job, ImageRequest)
    prompt = request.prompt if request.prompt.strip() else NEUTRAL
    if prompt is NEUTRAL and not job.images:
        _refuse("A prompt or an image is needed")
    if len(prompt) > PROMPT_CHARS:
        _refuse(f"The prompt has {len(prompt)} characters; OpenAI takes up to {PROMPT_CHARS}")
    if request.ratio not in SIZES:
        _refuse(f"OpenAI is not asked for pictures of {request.ratio}; use {', '.join(SIZES)}")
    if not 1 <= request.count <= COUNT:
        _refuse(f"OpenAI makes 1 to {COUNT} pictures at once, not {request.count}")
    if len(job.images) > IMAGES:
        _refuse(f"OpenAI takes up to {IMAGES} images, not {len(job.images)}")
    return prompt, SIZES[request.ratio]


def _refuse(message: str) -> NoReturn:
    raise Rejected(message, reason=Reason.INPUT_INVALID, portable=True)


async def _upload(path: Path, kind: tuple[str, str], label: str, limit: int) -> Upload:
    """The file as a part of a form. Its own name stays here. Raises Rejected from ``limit`` bytes on."""
    suffix, media_type = kind
    size = (await asyncio.to_thread(path.stat)).st_size
    if size >= limit:
        _refuse(f"{label} has {size:,} bytes as it would be sent; OpenAI takes less than {limit:,}")
    stem = label.lower().removeprefix("the ").replace(" ", "-")
    return f"{stem}.{suffix}", Later(path, size), media_type


async def _save(chunks: AsyncIterator[bytes], target: Path) -> None:
    """Write the chunks as they come. Raises ValueError beyond ANSWER_BYTES."""
    size = 0
    with await asyncio.to_thread(target.open, "wb") as file:
        async for chunk in chunks:
            size += len(chunk)
            if size > ANSWER_BYTES:
                raise ValueError("the answer is larger than any that was asked for")
            await asyncio.to_thread(file.write, chunk)


def _refusal(status: int, detail: Mapping[str, int | str]) -> Rejected:
    """A client error that is none of the special ones."""
    param = str(detail.get("param", "")).partition("[")[0]
    if status in {400, 422}:
        if param in {"image", "images", "mask"}:
            return Rejected("OpenAI cannot use the given image or mask", reason=Reason.INPUT_INVALID, detail=detail)
        # A refused model is the operator's choice of upstream model, not the caller's fault.
        return Rejected("OpenAI refused the request", portable=param == "model", detail=detail)
    if status == 413:
        message = "The images are too large for OpenAI"
        return Rejected(message, reason=Reason.INPUT_INVALID, portable=True, detail=detail)
    if status in {401, 403}:
        message = "OpenAI does not accept the key of this gateway; its operator has to look at OPENAI_API_KEY"
        return Rejected(message, portable=True, detail=detail)
    if status == 404:
        return Rejected("OpenAI does not know the model that this gateway asks for", portable=True, detail=detail)
    return Rejected("OpenAI does not serve this request", portable=True, detail=detail)


# What follows runs in another process: plain functions of paths and numbers.


def write_png(source: Path, target: Path) -> None:
    """Any picture Pillow reads, upright, as PNG; of an animation the first frame. Raises Rejected for others."""
    with _opened(source, "An input image") as picture:
        _plain(ImageOps.exif_transpose(picture)).save(target, "PNG")


def write_mask(source: Path, image: Path, target: Path) -> None:
    """Black is to be edited, white to be kept; they want that as alpha 0 and 255, in a PNG of the image's size.

    Their rule knows only full transparency, so grey is decided at the middle: darker is edited. That also takes care of
    the soft edges that JPEG gives a mask. What is transparent in the given mask is edited: there it means the same.
    """
    with _opened(image, "The input image", decode=False) as picture:
        size = picture.size
    with _opened(source, "The mask") as mask:
        keep = _grey(mask).point([0] * 128 + [255] * 128)
    if keep.size != size:
        keep = keep.resize(size, Image.Resampling.NEAREST)
    painted = Image.new("RGBA", size, "white")
    painted.putalpha(keep)
    painted.save(target, "PNG", optimize=True)


def _plain(picture: Image.Image) -> Image.Image:
    """The picture in a mode that every reader of PNG knows."""
    if picture.mode in {"1", "L", "LA", "P", "RGB", "RGBA"}:
        return picture
    if picture.mode[0] in "IF":
        return picture.convert("L")
    return picture.convert("RGBA" if picture.has_transparency_data else "RGB")


def _grey(mask: Image.Image) -> Image.Image:
    if not mask.has_transparency_data:
        return mask.convert("L")
    ground = Image.new("RGBA", mask.size, "black")
    return Image.alpha_composite(ground, mask.convert("RGBA")).convert("L")


@contextmanager
def _opened(path: Path, label: str, *, decode: bool = True) -> Iterator[Image.Image]:
    """A picture of bearable size. Raises Rejected, in words that name it, for what Pillow cannot read or convert."""
    unusable = Rejected(f"{label} cannot be read as a picture of up to {PIXELS:,} pixels", reason=Reason.INPUT_INVALID)
    with ExitStack() as stack:
        try:
            picture = stack.enter_context(Image.open(path))
            if math.prod(picture.size) > PIXELS:
                raise unusable
            if decode:
                picture.load()
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise unusable from None  # Pillow says "cannot decode" in all these ways
        try:
            yield picture
        except ValueError:
            raise unusable from None  # a colour space without a way to ours


def unpack(body: Path, count: int) -> Answer:
    """Their answer, a JSON file, as picture files beside it. Raises ValueError for any other content."""
    told = json.loads(body.read_bytes())
    data = told.get("data") if isinstance(told, dict) else None
    if not isinstance(data, list) or not data:
        raise ValueError("an answer without pictures")
    files = tuple(_picture(item, body.parent / f"output-{number}") for number, item in enumerate(data[:count], start=1))
    return Answer(files=files, usage=_usage(told.get("usage")))


def _picture(item: object, target: Path) -> Path:
    text = item.pop("b64_json", None) if isinstance(item, dict) else None
    if not isinstance(text, str):
        raise ValueError("a picture without bytes")
    content = base64.b64decode(text, validate=True)
    for start, kind, suffix in MAGIC:
        if content.startswith(start) and content[8 : 8 + len(kind)] == kind:
            path = target.with_suffix(f".{suffix}")
            path.write_bytes(content)
            return path
    raise ValueError("bytes that are no picture")


def _usage(told: object) -> dict[str, int]:
    """Token counts, flat: ``input_tokens``, ``input_image_tokens`` and so on, as far as they were told."""
    if not isinstance(told, dict):
        return {}
    found = {name: told.get(name) for name in USAGE}
    for side in ("input", "output"):
        details = told.get(f"{side}_tokens_details")
        if isinstance(details, dict):
            found |= {f"{side}_{kind}_tokens": details.get(f"{kind}_tokens") for kind in ("text", "image")}
    return {name: number for name, number in found.items() if isinstance(number, int)}
