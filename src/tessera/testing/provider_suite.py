"""The promises of a provider, as tests that every provider inherits.

    class TestMine(ProviderSuite):
        @pytest.fixture
        async def provider(self):
            async with Upstream() as upstream:          # a simulator, or the provider itself where it is offline
                mine = make(upstream)
                yield mine
                await mine.close()

Only ``provider`` has to be given. ``world`` tells the suite what to provoke and which secrets to look for; ``make_job``
can be replaced where a job needs more than a drawn picture; ``pace`` is the longest pause between two polls.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any, ClassVar, Protocol

import aiohttp
import pytest
from PIL import Image, ImageDraw

from tessera.domain.errors import Ambiguous, Failed, ProviderError, Rejected, Unavailable
from tessera.domain.task import ImageRequest
from tessera.providers.base import Accepted, Done, InputFile, Job, LocalFile, Output, Provider, RemoteFile, Running

OPERATIONS = ("image.generate", "image.edit")
ERRORS: tuple[type[ProviderError], ...] = (Rejected, Unavailable, Ambiguous, Failed)

Provocation = Callable[[], Mapping[str, Any]]
"""Prepares the world for one failure, and answers the changes to the request that bring it about, if any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What lies around a provider under test. A failure without an entry in ``provoke`` is skipped."""

    provoke: Mapping[type[ProviderError], Provocation] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()


class JobMaker(Protocol):
    """Makes a fresh job with its own folder. ``changes`` go into the request; an edit gets a picture to edit."""

    def __call__(
        self,
        *,
        operation: str = "image.generate",
        mask: bool = False,
        model: str | None = None,
        idempotency_key: str | None = None,
        **changes: Any,
    ) -> Job: ...


def paint(path: Path, size: tuple[int, int] = (96, 64), colour: str = "teal") -> InputFile:
    """A PNG with a round spot, as an input file."""
    picture = Image.new("RGB", size, colour)
    ImageDraw.Draw(picture).ellipse((8, 8, size[1] - 8, size[1] - 8), fill="gold")
    picture.save(path, "PNG")
    return InputFile(
        path=path, media_type="image/png", size=path.stat().st_size, width=picture.width, height=picture.height
    )


def paint_mask(path: Path, size: tuple[int, int] = (96, 64)) -> InputFile:
    """A PNG that asks for the left half to be edited: black there, white elsewhere."""
    picture = Image.new("L", size, 255)
    picture.paste(0, (0, 0, size[0] // 2, size[1]))
    picture.save(path, "PNG")
    return InputFile(
        path=path, media_type="image/png", size=path.stat().st_size, width=size[0], height=size[1], role="mask"
    )


class ProviderSuite:
    """Inherit, give ``provider``, and run."""

    pace: ClassVar[float] = 0.05
    steps: ClassVar[int] = 400

    @pytest.fixture
    def world(self) -> World:
        return World()

    @pytest.fixture
    def make_job(self, provider: Provider, tmp_path: Path) -> JobMaker:
        numbers = count(1)

        def make(
            *,
            operation: str = "image.generate",
            mask: bool = False,
            model: str | None = None,
            idempotency_key: str | None = None,
            **changes: Any,
        ) -> Job:
            number = next(numbers)
            folder = tmp_path / f"job-{number}"
            folder.mkdir()
            images = (paint(tmp_path / f"image-{number}.png"),) if operation == "image.edit" else ()
            request = ImageRequest(
                prompt="a lighthouse at dusk",
                images=tuple(f"https://pictures.example/{image.path.name}" for image in images),
            )
            return Job(
                task_id=f"{number:032x}",
                idempotency_key=idempotency_key or f"attempt-{number:08}",
                model=model or next(iter(provider.manifest.models.values())),
                request=replace(request, **changes),
                workdir=folder,
                operation=operation,
                files=(*images, paint_mask(tmp_path / f"mask-{number}.png")) if mask else images,
            )

        return make

    async def drive(self, provider: Provider, job: Job) -> Done:
        """Submit, and poll until it is done."""
        receipt = await provider.submit(job)
        return receipt if isinstance(receipt, Done) else await self.follow(provider, job, receipt)

    async def follow(self, provider: Provider, job: Job, receipt: Accepted) -> Done:
        job = replace(job, upstream_id=receipt.upstream_id)
        for _ in range(self.steps):
            answer = await provider.poll(job)
            if isinstance(answer, Done):
                return answer
            assert answer.progress is None or 0 <= answer.progress <= 1, "progress is a part of one"
            await self.rest(answer)
        raise AssertionError(f"not done after {self.steps} polls")

    async def rest(self, running: Running) -> None:
        """Between two polls. A provider on a clock of the test can move it here."""
        await asyncio.sleep(min(running.again.total_seconds(), self.pace))

    async def read(self, job: Job, output: Output) -> bytes:
        """An output's bytes; a local one must lie in the job's folder."""
        if isinstance(output, RemoteFile):
            return await _fetch(output)
        assert isinstance(output, LocalFile)
        assert output.path.resolve().is_relative_to(job.workdir.resolve()), f"{output.path} is outside of the workdir"
        assert not output.path.is_symlink(), f"{output.path} is a link"
        return await asyncio.to_thread(output.path.read_bytes)

    async def pictures(self, job: Job, done: Done) -> list[Image.Image]:
        return [await asyncio.to_thread(_decode, await self.read(job, output)) for output in done.outputs]

    async def test_the_manifest_says_what_it_is(self, provider: Provider) -> None:
        manifest = provider.manifest
        assert re.fullmatch(r"[a-z][a-z0-9_-]*", manifest.name), "a name is a short word in lower case"
        assert manifest.title.strip(), "a title is for people"
        assert manifest.operations, "a provider that serves nothing"
        assert all(re.fullmatch(r"[a-z]+(\.[a-z_]+)+", name) for name in manifest.operations), manifest.operations
        assert all(name and model for name, model in manifest.models.items()), "every model has an upstream model"
        assert all(re.fullmatch(r"[A-Z][A-Z0-9_]*", name) for name in manifest.environment), manifest.environment
        assert not manifest.homepage or manifest.homepage.startswith("https://"), manifest.homepage

    @pytest.mark.parametrize("operation", OPERATIONS)
    async def test_a_job_ends_with_files(self, provider: Provider, make_job: JobMaker, operation: str) -> None:
        self.needs(provider, operation)
        job = make_job(operation=operation)
        done = await self.drive(provider, job)
        assert done.callbacks == 1, "one end is told once"
        (picture,) = await self.pictures(job, done)
        assert min(picture.size) > 0, "a picture has pixels"

    @pytest.mark.parametrize("number", [1, 2, 4])
    @pytest.mark.parametrize("operation", OPERATIONS)
    async def test_as_many_files_come_as_were_asked_for(
        self, provider: Provider, make_job: JobMaker, operation: str, number: int
    ) -> None:
        self.needs(provider, operation)
        job = make_job(operation=operation, count=number)
        pictures = await self.pictures(job, await self.drive(provider, job))
        assert len(pictures) == number, f"{len(pictures)} pictures for {number}"

    @pytest.mark.parametrize("ratio", ["1:1", "3:2", "2:3"])
    async def test_a_picture_has_the_ratio_that_was_asked_for(
        self, provider: Provider, make_job: JobMaker, ratio: str
    ) -> None:
        self.needs(provider, "image.generate")
        job = make_job(ratio=ratio)
        (picture,) = await self.pictures(job, await self.drive(provider, job))
        wide, high = (int(part) for part in ratio.split(":"))
        assert abs(picture.width / picture.height - wide / high) < 0.02, f"{picture.size} is not {ratio}"

    async def test_an_edit_takes_a_mask(self, provider: Provider, make_job: JobMaker) -> None:
        self.needs(provider, "image.edit")
        job = make_job(operation="image.edit", mask=True)
        assert len(await self.pictures(job, await self.drive(provider, job))) == 1, "one picture for one"

    async def test_jobs_at_the_same_time_keep_apart(self, provider: Provider, make_job: JobMaker) -> None:
        self.needs(provider, "image.generate")
        jobs = [make_job(prompt=f"picture number {number}") for number in range(8)]
        ends = await asyncio.gather(*(self.drive(provider, job) for job in jobs))
        contents = [await self.read(job, done.outputs[0]) for job, done in zip(jobs, ends, strict=True)]
        assert len(set(contents)) == len(jobs), "two jobs were answered with the same picture"

    async def test_the_same_key_is_the_same_job(self, provider: Provider, make_job: JobMaker) -> None:
        if not provider.manifest.idempotent:
            pytest.skip("this provider does not promise it")
        self.needs(provider, "image.generate")
        jobs = [make_job(idempotency_key="one-and-the-same") for _ in range(2)]
        receipts = [await provider.submit(job) for job in jobs]
        if isinstance(receipts[0], Accepted):
            assert receipts[0] == receipts[1], "two submissions with one key are two jobs"
        contents = []
        for job, receipt in zip(jobs, receipts, strict=True):
            done = receipt if isinstance(receipt, Done) else await self.follow(provider, job, receipt)
            contents.append([await self.read(job, output) for output in done.outputs])
        assert contents[0] == contents[1], "two submissions with one key gave different files"

    async def test_asking_after_a_stranger_is_an_error(self, provider: Provider, make_job: JobMaker) -> None:
        with pytest.raises(ProviderError):
            await provider.poll(replace(make_job(), upstream_id="no-such-job"))

    @pytest.mark.parametrize("kind", ERRORS)
    async def test_a_failure_is_one_of_the_four_and_keeps_secrets(
        self, provider: Provider, make_job: JobMaker, world: World, kind: type[ProviderError]
    ) -> None:
        if kind not in world.provoke:
            pytest.skip(f"this world cannot provoke {kind.__name__}")
        job = make_job(**world.provoke[kind]())
        with pytest.raises(ProviderError) as caught:
            await self.drive(provider, job)
        assert type(caught.value) is kind, f"{type(caught.value).__name__} instead of {kind.__name__}"
        assert str(caught.value).strip(), "an error speaks to its reader"
        said = f"{caught.value} {caught.value!r} {caught.value.detail!r}"
        assert not any(secret in said for secret in world.secrets), "a secret is told in an error"

    async def test_a_failure_does_not_end_the_provider(
        self, provider: Provider, make_job: JobMaker, world: World
    ) -> None:
        self.needs(provider, "image.generate")
        for provocation in world.provoke.values():
            with pytest.raises(ProviderError):
                await self.drive(provider, make_job(**provocation()))
        await self.drive(provider, make_job())

    async def test_canceling_again_and_again_is_calm(self, provider: Provider, make_job: JobMaker) -> None:
        self.needs(provider, "image.generate")
        job = make_job()
        receipt = await provider.submit(job)
        if isinstance(receipt, Accepted):
            job = replace(job, upstream_id=receipt.upstream_id)
        answers = [await provider.cancel(job) for _ in range(3)]
        assert all(isinstance(answer, bool) for answer in answers), answers

    async def test_nothing_shows_a_secret(self, provider: Provider, world: World) -> None:
        shown = f"{provider.manifest!r} {provider!r}"
        assert not any(secret in shown for secret in world.secrets), "a secret is told by the provider itself"

    async def test_closing_twice_is_calm(self, provider: Provider) -> None:
        await provider.close()
        await provider.close()

    @staticmethod
    def needs(provider: Provider, operation: str) -> None:
        if operation not in provider.manifest.operations:
            pytest.skip(f"this provider does not serve {operation}")


async def _fetch(output: RemoteFile) -> bytes:
    async with aiohttp.ClientSession() as session, session.get(output.url, headers=output.headers) as response:
        response.raise_for_status()
        return await response.read()


def _decode(content: bytes) -> Image.Image:
    assert content, "an empty file"
    picture = Image.open(BytesIO(content))
    picture.load()
    return picture
