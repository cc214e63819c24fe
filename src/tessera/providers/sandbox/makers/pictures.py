"""Pictures: drawn from words, or worked on."""

from pathlib import Path

from tessera.domain.errors import Rejected
from tessera.domain.task import ImageRequest, Reason
from tessera.providers.base import Job, LocalFile
from tessera.providers.sandbox import art
from tessera.providers.sandbox.makers.base import Made, Work, together
from tessera.providers.sandbox.render import Order, check, render, seed


class Pictures:
    operations = frozenset({"image.generate", "image.edit"})

    def stages(self, job: Job) -> tuple[tuple[float, str], ...]:
        return ()

    async def check(self, work: Work) -> None:
        _examine(work)
        if work.job.images:
            mask = work.job.mask
            await work.cpu.run(check, _paths(work.job), mask.path if mask else None)

    async def make(self, work: Work, stage: str | None) -> Made:
        order = _order(work)
        paths = await together(work.cpu.run(render, order, index) for index in range(order.count))
        return Made(outputs=tuple(LocalFile(path=path) for path in paths), facts={"seed": order.seed})


def _request(work: Work) -> ImageRequest:
    assert isinstance(work.request, ImageRequest)  # that is what these operations come with
    return work.request


def _examine(work: Work) -> None:
    """What can be known of a request without opening its files."""
    try:
        art.size(_request(work).ratio)
    except ValueError as error:
        raise Rejected(f"The sandbox cannot draw this size: {error}", reason=Reason.INPUT_INVALID) from error
    if work.job.mask is not None and not work.job.images:
        raise Rejected("A mask needs a picture to edit", reason=Reason.INPUT_INVALID)


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
    )
