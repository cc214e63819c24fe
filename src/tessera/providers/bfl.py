"""Black Forest Labs: Flux Kontext, over plain HTTP.

A submission is answered with an address to ask at; that address is the upstream id. They draw one picture a job, so a
request for several is several jobs, submitted one after the other, and its id is all their addresses. Their results lie
at signed addresses for ten minutes: a job that is asked after later than that has lost its picture.

Environment: ``BFL_API_KEY``; ``BFL_BASE_URL`` (default https://api.bfl.ai, others are https://api.eu.bfl.ai and
https://api.us.bfl.ai). Nothing promises that a repeated submission is one job, and there is no way to stop one.
"""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn, Protocol
from urllib.parse import quote, urlsplit

from PIL import Image, ImageOps

from tessera.domain.errors import Ambiguous, ConfigError, Failed, ProviderError, Rejected, Unavailable
from tessera.domain.task import ImageRequest, Reason
from tessera.kit import trace
from tessera.kit.clock import Clock
from tessera.kit.cpu import HOPELESS, WorkLostError
from tessera.kit.exchange import Exchange, ExchangeError, Reply, Unsent, retry_after
from tessera.kit.outbound import BadStatus, Outbound, OutboundError
from tessera.providers.base import (
    Accepted,
    Done,
    InputFile,
    Job,
    LocalFile,
    Manifest,
    Output,
    RemoteFile,
    Running,
    asked,
)

BASE_URL = "https://api.bfl.ai"
DOMAIN = "bfl.ai"
TIMEOUT = 60.0
"""Seconds for one question and its answer; an input picture travels with the question."""

MANIFEST = Manifest(
    name="bfl",
    title="Black Forest Labs",
    operations=frozenset({"image.generate", "image.edit"}),
    models={
        "flux-kontext-pro": "flux-kontext-pro",
        "flux-kontext-max": "flux-kontext-max",
        "FLUX_MAX": "flux-kontext-max",
    },
    environment=("BFL_API_KEY",),
    homepage="https://docs.bfl.ai",
)

IMAGES = 4
WIDEST = 21 / 9
"""The longest ratio that they draw, either way."""

FORMATS = frozenset({"image/png", "image/jpeg", "image/webp"})
IMAGE_BYTES = 20_000_000
IMAGE_PIXELS = 20_000_000
"""What an input may be as it is; others are made smaller. They work at about a megapixel anyhow."""

SIDE = 2048
"""Pixels of the longer side of an input that was made smaller."""

PIXELS = 100_000_000
"""No picture with more is decoded here."""

OUTPUT_BYTES = 100_000_000
OUTPUT_SECONDS = 120.0

AGAIN = timedelta(seconds=1)
PATIENCE = 6
"""How often one of several pictures is submitted where they say that they are busy."""

LATER = timedelta(seconds=2)

FLAGGED = "Your content was flagged by Black Forest Labs as violating content policies"
MODERATED = frozenset({"Request Moderated", "Content Moderated"})

Pause = Callable[[float], Awaitable[None]]


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
    def outbound(self) -> Outbound: ...
    @property
    def environ(self) -> Mapping[str, str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """How one of a job's pictures stands: how far it is, or where it lies."""

    progress: float | None = None
    url: str | None = None
    facts: Mapping[str, int | float] | None = None


class Factory:
    """Makes the provider; ``manifest`` tells beforehand what it needs."""

    manifest: Manifest = MANIFEST

    def __call__(self, context: Context) -> "BlackForestLabs":
        """Raises ConfigError for a wrong setting."""
        return BlackForestLabs(
            key=_key(context.environ),
            base_url=_base_url(context.environ),
            cpu=context.cpu,
            clock=context.clock,
            outbound=context.outbound,
        )


provider = Factory()
"""What the entry point names."""


def _key(environ: Mapping[str, str]) -> str:
    key = environ.get("BFL_API_KEY", "").strip()
    if not key:
        raise ConfigError("BFL_API_KEY is not set; the Black Forest Labs provider needs it")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigError("BFL_API_KEY contains characters that no key has")
    return key


def _base_url(environ: Mapping[str, str]) -> str:
    url = environ.get("BFL_BASE_URL", "").strip().rstrip("/") or BASE_URL
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc or parts.query:
        raise ConfigError("BFL_BASE_URL is not an http(s) address without credentials, such as " + BASE_URL)
    return url


class BlackForestLabs:
    """Generations and edits with Kontext. ``timeout`` is in seconds; ``pause`` waits for so many."""

    def __init__(
        self,
        *,
        key: str,
        base_url: str,
        cpu: Cpu,
        clock: Clock,
        outbound: Outbound,
        timeout: float = TIMEOUT,
        pause: Pause = asyncio.sleep,
    ) -> None:
        self._key = key
        self._base = base_url
        self._cpu = cpu
        self._clock = clock
        self._outbound = outbound
        self._pause = pause
        self._http = Exchange(timeout=timeout)

    @property
    def manifest(self) -> Manifest:
        return MANIFEST

    async def submit(self, job: Job) -> Accepted:
        """Submit each picture. Raises Rejected, Unavailable, Ambiguous; Failed where only a part was accepted."""
        request = _terms(job)
        fields = _fields(request)
        bodies = [await self._body(job, fields, request, number) for number in range(request.count)]
        places = [await self._post(job, bodies[0])]
        for body in bodies[1:]:
            places.append(await self._another(job, body, len(places), request.count))
        return Accepted(upstream_id=" ".join(places))

    async def poll(self, job: Job) -> Running | Done:
        """Ask after every picture. Raises Failed for their verdict, Unavailable when there was no answer."""
        places = (job.upstream_id or "").split()
        if not places or not all(map(self._ours, places)):
            raise Failed("Black Forest Labs does not know this job", reason=Reason.UNKNOWN)
        sights = [await self._look(place) for place in places]
        if any(sight.url is None for sight in sights):
            known = [1.0 if sight.url else sight.progress for sight in sights]
            told = [part for part in known if part is not None]
            return Running(progress=sum(told) / len(known) if told else None, again=AGAIN)
        outputs = [await self._output(job, number, str(sight.url)) for number, sight in enumerate(sights, start=1)]
        return Done(outputs=tuple(outputs), facts={"model": job.model, **(sights[0].facts or {})})

    async def cancel(self, job: Job) -> bool:
        return False

    async def close(self) -> None:
        await self._http.close()

    # Submitting.

    async def _body(self, job: Job, fields: Mapping[str, Any], request: ImageRequest, number: int) -> bytes | Path:
        """One submission as JSON: with pictures in it, a file. Raises Rejected and Unavailable; nothing is sent."""
        words = dict(fields)
        if request.seed is not None:
            words["seed"] = request.seed + number
        if not job.images:
            return json.dumps(words).encode()
        target = job.workdir / f"request-{number}.json"
        try:
            await self._cpu.run(write_body, words, tuple((image.path, _fits(image)) for image in job.images), target)
        except HOPELESS as error:
            raise Rejected("The input files are too large to be made ready", reason=Reason.INPUT_INVALID) from error
        except (OSError, WorkLostError) as error:
            message = "The input files could not be made ready; nothing was sent"
            raise Unavailable(message, detail={"error": type(error).__name__}) from error
        return target

    async def _post(self, job: Job, body: bytes | Path) -> str:
        """Submit one picture; answers where to ask after it."""
        url = f"{self._base}/v1/{quote(job.model, safe='')}"
        try:
            reply = await self._http.ask("POST", url, headers=self._headers("application/json"), body=body)
        except Unsent as error:
            raise Unavailable("Black Forest Labs could not be reached", detail={"error": error.cause}) from None
        except ExchangeError as error:
            message = "Black Forest Labs was asked, but no usable answer came back"
            raise Ambiguous(message, detail={"error": error.cause}) from None
        except OSError as error:
            message = "The input files could not be read; nothing was sent"
            raise Unavailable(message, detail={"error": type(error).__name__}) from None
        if reply.status != 200:
            raise self._refusal(reply)
        return self._place(reply)

    async def _another(self, job: Job, body: bytes | Path, had: int, count: int) -> str:
        """A further picture of a job whose first one is being drawn, and paid for, already."""
        tries = 0
        while True:
            tries += 1
            try:
                return await self._post(job, body)
            except Unavailable as busy:
                if tries == PATIENCE:
                    raise self._partial(had, count, busy) from None
                await self._pause((busy.retry_after or LATER).total_seconds())
            except ProviderError as error:
                raise self._partial(had, count, error) from None

    def _partial(self, had: int, count: int, error: ProviderError) -> Failed:
        reason = error.reason if isinstance(error, Rejected) else Reason.PROVIDER
        return Failed(f"Black Forest Labs took {had} of {count} pictures: {error}", reason=reason, detail=error.detail)

    def _headers(self, media_type: str | None = None) -> dict[str, str]:
        content = {"Content-Type": media_type} if media_type else {}
        return {"x-key": self._key, "Accept": "application/json", **content, **(trace.carrier() or {})}

    def _place(self, reply: Reply) -> str:
        """Where to ask after a job: what they say, if it is a place of theirs, else the usual one."""
        told = reply.json()
        job_id = told.get("id") if isinstance(told, dict) else None
        if not isinstance(job_id, str) or not job_id:
            raise Ambiguous("Black Forest Labs accepted the request, but did not say how to ask after it")
        place = told.get("polling_url")
        if isinstance(place, str) and self._ours(place):
            return place
        return f"{self._base}/v1/get_result?id={quote(job_id, safe='')}"

    def _ours(self, place: str) -> bool:
        """Whether our key may be shown at this address: at the configured host, or at a neighbour of it in bfl.ai."""
        if any(char.isspace() for char in place):
            return False
        try:
            parts, base = urlsplit(place), urlsplit(self._base)
            if parts.scheme != base.scheme or "@" in parts.netloc:
                return False
            neighbours = all(_in_domain(each.hostname) and each.port in {None, 443} for each in (parts, base))
            return neighbours or (parts.hostname, parts.port) == (base.hostname, base.port)
        except ValueError:  # a port that is none
            return False

    def _refusal(self, reply: Reply) -> ProviderError:
        """Their answer to a submission with another status than 200."""
        status, detail = reply.status, self._detail(reply)
        wait = retry_after(reply.headers.get("retry-after"), self._clock())
        if status == 429 or (status == 503 and wait is not None):
            return Unavailable("Black Forest Labs is receiving too many requests", retry_after=wait, detail=detail)
        if status >= 500 or status in {408, 409}:
            message = "Black Forest Labs failed after the request was sent; it may have been accepted"
            return Ambiguous(message, detail=detail)
        return _final(status, detail)

    def _detail(self, reply: Reply) -> dict[str, int | str]:
        """What operators may know: the status, which fields were wrong, and their words but for our key."""
        told = reply.json()
        said = told.get("detail") if isinstance(told, dict) else None
        found: dict[str, int | str] = {"status": reply.status}
        if isinstance(said, list):
            places = [each.get("loc") for each in said if isinstance(each, dict)]
            found["fields"] = self._clean(
                " ".join(str(place[-1]) for place in places if isinstance(place, list) and place)
            )
            said = "; ".join(str(each.get("msg")) for each in said if isinstance(each, dict))
        if isinstance(said, str) and reply.status not in {401, 403}:  # those like to quote the key
            found["message"] = self._clean(said)
        return found

    def _clean(self, text: str) -> str:
        return text.replace(self._key, "***")[:300]

    # Asking after a job.

    async def _look(self, place: str) -> Sight:
        """One picture's state. Raises Failed and Unavailable."""
        try:
            reply = await self._http.ask("GET", place, headers=self._headers())
        except ExchangeError as error:
            raise Unavailable("Black Forest Labs could not be asked", detail={"error": error.cause}) from None
        told = reply.json()
        status = told.get("status") if isinstance(told, dict) else None
        if status == "Task not found":
            raise Failed("Black Forest Labs does not know this job, or no longer", reason=Reason.UNKNOWN)
        if reply.status != 200 or not isinstance(status, str):
            wait = retry_after(reply.headers.get("retry-after"), self._clock())
            raise Unavailable("Black Forest Labs gave no usable answer", retry_after=wait, detail=self._detail(reply))
        if status in MODERATED:
            raise Failed(FLAGGED, reason=Reason.CONTENT, detail={"status": status})
        if status == "Error":
            raise Failed("Black Forest Labs could not make the picture", detail={"status": status})
        return self._ready(told.get("result")) if status == "Ready" else _waiting(told.get("progress"))

    def _ready(self, result: object) -> Sight:
        url = result.get("sample") if isinstance(result, dict) else None
        if not isinstance(result, dict) or not isinstance(url, str) or not url.startswith(("https://", "http://")):
            raise Failed("Black Forest Labs ended the job without a picture")
        numbers = {name: result.get(name) for name in ("seed", "duration")}
        return Sight(url=url, facts={name: value for name, value in numbers.items() if isinstance(value, (int, float))})

    async def _output(self, job: Job, number: int, url: str) -> Output:
        """The picture as it lies at their place; one with a watermark is fetched and marked here."""
        mark = asked(job, ImageRequest).watermark
        if not mark:
            return RemoteFile(url=url)
        source, target = job.workdir / f"bare-{number}", job.workdir / f"marked-{number}"
        try:
            await self._outbound.download(url, source, max_bytes=OUTPUT_BYTES, timeout=OUTPUT_SECONDS)
            await self._cpu.run(write_marked, source, mark, target)
        except BadStatus as error:
            if 400 <= error.status < 500:
                message = "The picture is no longer where Black Forest Labs had put it"
                raise Failed(message, reason=Reason.STORAGE, detail={"status": error.status}) from None
            raise Unavailable("The picture could not be fetched", detail={"status": error.status}) from None
        except HOPELESS as error:
            raise Failed("The picture is too large to be worked on", reason=Reason.STORAGE) from error
        except (OutboundError, OSError, WorkLostError) as error:
            raise Unavailable("The picture could not be fetched", detail={"error": type(error).__name__}) from None
        return LocalFile(path=target)


def _in_domain(host: str | None) -> bool:
    return host is not None and (host == DOMAIN or host.endswith(f".{DOMAIN}"))


def _waiting(progress: object) -> Sight:
    if isinstance(progress, (int, float)) and 0 <= progress <= 1:
        return Sight(progress=float(progress))
    return Sight()


def _terms(job: Job) -> ImageRequest:
    """The request, if they can serve it. Raises Rejected; another provider may have other limits."""
    request = asked(job, ImageRequest)
    if not request.prompt.strip():
        _refuse("Black Forest Labs needs a prompt")
    if job.mask is not None:
        _refuse("Flux Kontext takes no mask")
    if len(job.images) > IMAGES:
        _refuse(f"Flux Kontext takes up to {IMAGES} images, not {len(job.images)}")
    if request.width or request.height or request.resolution not in {None, "1K"}:
        _refuse("Flux Kontext draws about one megapixel; it takes a ratio, and no size")
    if request.ratio != "auto":
        _check_ratio(request.ratio)
    return request


def _check_ratio(ratio: str) -> None:
    across, _, down = ratio.partition(":")
    known = across.isdecimal() and down.isdecimal() and int(across) and int(down)
    if not known or not 1 / WIDEST <= int(across) / int(down) <= WIDEST:
        _refuse(f"Flux Kontext draws ratios from 21:9 to 9:21, not {ratio}")


def _refuse(message: str) -> NoReturn:
    raise Rejected(message, reason=Reason.INPUT_INVALID, portable=True)


def _fields(request: ImageRequest) -> dict[str, Any]:
    """What all pictures of a job share. An edit without a ratio keeps that of its picture."""
    fields: dict[str, Any] = {
        "prompt": request.prompt,
        "output_format": request.format,
        "prompt_upsampling": request.enhance,
    }
    if request.tolerance is not None:
        fields["safety_tolerance"] = request.tolerance
    return fields if request.ratio == "auto" else {**fields, "aspect_ratio": request.ratio}


def _fits(image: InputFile) -> bool:
    """Whether they take the file as it is."""
    pixels = (image.width or 0) * (image.height or 0)
    return image.media_type in FORMATS and image.size <= IMAGE_BYTES and 0 < pixels <= IMAGE_PIXELS


def _final(status: int, detail: Mapping[str, int | str]) -> Rejected:
    """A client error that nothing but another request, or another setting here, will change."""
    if status in {401, 403}:
        message = "Black Forest Labs does not accept the key of this gateway; its operator has to look at BFL_API_KEY"
        return Rejected(message, portable=True, detail=detail)
    if status == 402:
        return Rejected(
            "The account of this gateway at Black Forest Labs has no credits left", portable=True, detail=detail
        )
    if status == 404:
        message = "Black Forest Labs does not know the model that this gateway asks for"
        return Rejected(message, portable=True, detail=detail)
    if status == 413 or "input_image" in str(detail.get("fields", "")):
        return Rejected("Black Forest Labs cannot use the given image", reason=Reason.INPUT_INVALID, detail=detail)
    return Rejected("Black Forest Labs refused the request", portable=status not in {400, 422}, detail=detail)


# What follows runs in another process: plain functions of paths and words.


def write_body(words: Mapping[str, Any], images: tuple[tuple[Path, bool], ...], target: Path) -> None:
    """A submission with its pictures as Base64. Raises Rejected for what is no picture, and OSError."""
    body = dict(words)
    for number, (path, fits) in enumerate(images, start=1):
        content = path.read_bytes() if fits else _smaller(path, target.with_suffix(f".{number}"))
        body["input_image" if number == 1 else f"input_image_{number}"] = base64.b64encode(content).decode()
    target.write_text(json.dumps(body))


def _smaller(path: Path, scratch: Path) -> bytes:
    """Any picture, upright and no larger than is of use, as PNG or, where that is large, as JPEG."""
    unusable = Rejected(
        f"An input image cannot be read as a picture of up to {PIXELS:,} pixels", reason=Reason.INPUT_INVALID
    )
    try:
        with Image.open(path) as opened:
            if opened.width * opened.height > PIXELS:
                raise unusable
            image = ImageOps.exif_transpose(opened).convert("RGBA" if opened.has_transparency_data else "RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise unusable from None  # Pillow says "cannot decode" in all these ways
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    image.save(scratch, "PNG")
    if scratch.stat().st_size > IMAGE_BYTES:
        image.convert("RGB").save(scratch, "JPEG", quality=92)
    content = scratch.read_bytes()
    scratch.unlink()
    return content


def write_marked(source: Path, text: str, target: Path) -> None:
    """The picture with a watermark, in the format that it has. Raises OSError."""
    from tessera.providers.sandbox.stamp import stamp

    with Image.open(source, formats=("PNG", "JPEG", "WEBP")) as opened:
        kind = opened.format
        image = opened.convert("RGB")
    stamp(image, text)
    image.save(target, kind, **({} if kind == "PNG" else {"quality": 95}))
