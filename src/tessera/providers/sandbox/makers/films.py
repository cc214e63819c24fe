"""Films: shot from words and pictures, continued, worked on, enlarged."""

from pathlib import Path

from tessera.domain.errors import Rejected
from tessera.domain.task import Piece, Reason, VideoRequest
from tessera.providers.base import InputFile, Job, LocalFile
from tessera.providers.sandbox import reel
from tessera.providers.sandbox.makers.base import MISSING, Made, Work, seed
from tessera.providers.sandbox.reel import Film, Shot

SHORT = {"360p": 360, "480p": 480, "512p": 512, "540p": 540, "580p": 580, "720p": 720, "768p": 768, "1080p": 1080}
SHORT |= {"1k": 1080, "2k": 1440, "1440p": 1440, "4k": 2160, "2160p": 2160}
"""Pixels of the shorter side, by tier."""

LONGEST = 60.0
"""Seconds; a film that is ordered longer is cut to it."""

_WIDE = 16 / 9


class Films:
    operations = frozenset(
        {"video.generate", "video.extend", "video.modify", "video.upscale", "video.talk", "video.clip"}
    )

    def stages(self, job: Job) -> tuple[tuple[float, str], ...]:
        return ()

    async def check(self, work: Work) -> None:
        if not reel.available():
            raise Rejected(MISSING)
        request = _request(work)
        if request.ratio != "auto" and _aspect(request.ratio) is None:
            raise Rejected(f"{request.ratio!r} is not a ratio such as 16:9", reason=Reason.INPUT_INVALID)
        for role in _NEEDED.get(work.job.operation, ()):
            if not work.job.of(role):
                raise Rejected(f"This needs a file to work on: {role}", reason=Reason.INPUT_INVALID)
        for file in work.job.of("video"):
            found = await work.cpu.run(reel.probe, file.path)
            if found.kind == "video":
                _scaled(found.width, found.height, 720)

    async def make(self, work: Work, stage: str | None) -> Made:
        films = await _MAKE[work.job.operation](work)
        outputs = [LocalFile(path=film.path) for film in films]
        facts: dict[str, str | int | float] = {"seed": seed(work), "seconds": round(films[0].seconds, 3)}
        piece = Piece(files={"video": 0}, facts={"seconds": round(films[0].seconds, 3), "seed": seed(work)})
        if _request(work).cover:
            cover = await work.cpu.run(reel.first_frame, films[0].path, work.job.workdir / "sandbox-cover.png")
            piece = Piece(files={"video": 0, "cover": len(outputs)}, facts=piece.facts)
            outputs.append(LocalFile(path=cover))
        return Made(outputs=tuple(outputs), pieces=(piece,), facts=facts)


def _request(work: Work) -> VideoRequest:
    assert isinstance(work.request, VideoRequest)  # that is what these operations come with
    return work.request


async def _generate(work: Work) -> list[Film]:
    return [
        await work.cpu.run(reel.shoot, _shot(work, f"sandbox-{index + 1}", seed(work) + index))
        for index in range(_request(work).count)
    ]


async def _extend(work: Work) -> list[Film]:
    """What is new, and then the whole."""
    source = _one(work.job, "video")
    last = await work.cpu.run(reel.last_frame, source, work.job.workdir / "sandbox-last.png")
    size = await _size_of(work)
    segment = await work.cpu.run(reel.shoot, _shot(work, "sandbox-segment", seed(work), first=last, size=size))
    whole = await work.cpu.run(reel.extend, _shot(work, "sandbox-whole", seed(work), source=source, size=size))
    return [segment, whole]


async def _modify(work: Work) -> list[Film]:
    size = await _size_of(work)
    return [
        await work.cpu.run(reel.modify, _shot(work, "sandbox-1", seed(work), source=_one(work.job, "video"), size=size))
    ]


async def _upscale(work: Work) -> list[Film]:
    source = _one(work.job, "video")
    found = await work.cpu.run(reel.probe, source)
    factor, tier = _request(work).scale, SHORT.get(_request(work).resolution.lower(), 1080)
    short = round(factor * min(found.width, found.height)) if factor else tier
    width, height = _scaled(found.width, found.height, short)
    return [await work.cpu.run(reel.upscale, source, work.job.workdir, "sandbox-1", width, height)]


async def _talk(work: Work) -> list[Film]:
    return [await work.cpu.run(reel.talk, _shot(work, "sandbox-1", seed(work), audio=_one(work.job, "audio")))]


async def _clip(work: Work) -> list[Film]:
    request, cover = _request(work), next(iter(work.job.of("first")), None)
    film = await work.cpu.run(
        reel.music_video,
        _one(work.job, "audio"),
        cover.path if cover else None,
        request.title or request.prompt,
        request.author,
        request.watermark,
        work.job.workdir,
        "sandbox-1",
    )
    return [film]


_MAKE = {
    "video.generate": _generate,
    "video.extend": _extend,
    "video.modify": _modify,
    "video.upscale": _upscale,
    "video.talk": _talk,
    "video.clip": _clip,
}
_NEEDED = {
    "video.extend": ("video",),
    "video.modify": ("video",),
    "video.upscale": ("video",),
    "video.talk": ("first", "audio"),
    "video.clip": ("audio",),
}
"""The parts that have to be there, by operation."""


def _shot(
    work: Work,
    name: str,
    seed: int,
    *,
    first: Path | None = None,
    source: Path | None = None,
    audio: Path | None = None,
    size: tuple[int, int] | None = None,
) -> Shot:
    job, request = work.job, _request(work)
    width, height = size or _size(request, job)
    last = next(iter(job.of("last")), None)
    given = next(iter(job.of("first")), None)
    return Shot(
        prompt=request.prompt or request.title,
        seed=seed,
        seconds=_seconds(work),
        width=width,
        height=height,
        folder=job.workdir,
        name=name,
        label=(job.model, f"seed {seed}", f"{width} x {height}", request.resolution),
        first=first or (given.path if given else None),
        last=last.path if last else None,
        references=tuple(file.path for file in job.of("reference")),
        source=source,
        audio=audio,
        sound=request.sound,
    )


def _seconds(work: Work) -> float:
    """How long the film is to be; 0 leaves the length to what is there already."""
    kept = work.job.operation in {"video.modify", "video.talk"}
    return min(LONGEST, max(0.0 if kept else 1.0, 0.0 if kept else _request(work).seconds))


def _size(request: VideoRequest, job: Job) -> tuple[int, int]:
    """Width and height in pixels of a film of this ratio and tier."""
    aspect = _aspect(request.ratio) or _shape([*job.of("first"), *job.of("reference"), *job.of("last")])
    short = SHORT.get(request.resolution.lower(), 720)
    return reel.sized(aspect, short)


async def _size_of(work: Work) -> tuple[int, int]:
    """The size of a film that is made out of another: that one's, brought to the tier."""
    found = await work.cpu.run(reel.probe, _one(work.job, "video"))
    return _scaled(found.width, found.height, SHORT.get(_request(work).resolution.lower(), 720))


def _scaled(width: int, height: int, short: int) -> tuple[int, int]:
    """A size of the same shape. Raises BadMediaError for one that is no film's."""
    return reel.sized(max(1, width) / max(1, height), short)


def _aspect(ratio: str) -> float | None:
    across, _, down = ratio.partition(":")
    if not all(side.isascii() and side.isdigit() and len(side) < 10 and int(side) for side in (across, down)):
        return None
    return _bounded(int(across), int(down))


def _bounded(across: int, down: int) -> float:
    return min(reel.NARROWEST, max(1 / reel.NARROWEST, across / down))


def _shape(pictures: list[InputFile]) -> float:
    """The aspect of the first picture that has one."""
    sizes = ((file.width, file.height) for file in pictures)
    known = next(((width, height) for width, height in sizes if width and height), None)
    return _bounded(*known) if known else _WIDE


def _one(job: Job, role: str) -> Path:
    return job.of(role)[0].path
