"""Pictures: drawn from words, or worked on."""

from pathlib import Path

from tessera.domain.errors import Rejected
from tessera.domain.task import ImageRequest, Piece, Reason
from tessera.providers.base import Job, LocalFile
from tessera.providers.sandbox import reel
from tessera.providers.sandbox.makers.base import MISSING, Made, Work, together
from tessera.providers.sandbox.render import (
    BACKGROUND,
    MOST,
    SEGMENT,
    UPSCALE,
    Order,
    check,
    render,
    seed,
    segments,
    size,
)
from tessera.providers.sandbox.trouble import BadMediaError


class Pictures:
    operations = frozenset({"image.generate", "image.edit", UPSCALE, BACKGROUND, SEGMENT})

    def stages(self, job: Job) -> tuple[tuple[float, str], ...]:
        return ()

    async def check(self, work: Work) -> None:
        if work.job.operation in (BACKGROUND, SEGMENT) and not reel.available():
            raise Rejected(MISSING)
        order = _order(work)
        if not order.images:
            if order.mask is not None:
                raise Rejected("A mask needs a picture to edit", reason=Reason.INPUT_INVALID)
            if order.operation in (UPSCALE, BACKGROUND, SEGMENT):
                raise Rejected("There is no picture to work on", reason=Reason.INPUT_INVALID)
        try:
            pixels = await work.cpu.run(check, order) if order.images else size(order, (1, 1))
        except BadMediaError:  # it is a ValueError, too
            raise
        except ValueError as error:
            raise Rejected(f"The sandbox cannot draw this size: {error}", reason=Reason.INPUT_INVALID) from error
        if pixels[0] * pixels[1] > MOST:
            wanted = f"{pixels[0]} x {pixels[1]} pixels"
            message = f"The sandbox cannot draw this size: {wanted} are more than {MOST:,}"
            raise Rejected(message, reason=Reason.INPUT_INVALID)

    async def make(self, work: Work, stage: str | None) -> Made:
        if work.job.operation == SEGMENT:
            return await _segments(work)
        order = _order(work)
        paths = await together(work.cpu.run(render, order, index) for index in range(order.count))
        return Made(outputs=tuple(LocalFile(path=path) for path in paths), facts={"seed": order.seed})


async def _segments(work: Work) -> Made:
    found = await work.cpu.run(segments, _paths(work.job)[0], work.job.workdir)
    pieces = tuple(Piece(files={"mask": index}, facts={"name": name}) for index, (_, name) in enumerate(found))
    return Made(outputs=tuple(LocalFile(path=path) for path, _ in found), pieces=pieces)


def _request(work: Work) -> ImageRequest:
    assert isinstance(work.request, ImageRequest)  # that is what these operations come with
    return work.request


def _paths(job: Job) -> tuple[Path, ...]:
    return tuple(image.path for image in job.images)


def _order(work: Work) -> Order:
    job, request = work.job, _request(work)
    given = request.seed
    return Order(
        prompt=request.prompt,
        seed=seed(request.prompt, request.ratio, job.model, enhance=request.enhance) if given is None else given,
        ratio=request.ratio,
        count=request.count,
        model=job.model,
        enhance=request.enhance,
        folder=job.workdir,
        images=_paths(job),
        mask=job.mask.path if job.mask else None,
        operation=job.operation or "image.generate",
        resolution=request.resolution,
        width=request.width,
        height=request.height,
        scale=request.scale,
        format=request.format,
        watermark=request.watermark,
    )
