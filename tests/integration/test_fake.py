"""The fake keeps the promises of a provider, and does what it is told."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio

from tessera.domain.errors import Ambiguous, Failed, Rejected, Unavailable
from tessera.providers.base import Accepted, Done, Finder, Running
from tessera.providers.fake import Act, Fake, FindingFake, accept, finish, png, refuse, vanish
from tessera.testing.provider_suite import JobMaker, ProviderSuite, Provocation, World


class TestTheFake(ProviderSuite):
    pace = 0.0

    @pytest_asyncio.fixture
    async def provider(self) -> AsyncIterator[Fake]:
        fake = Fake()
        yield fake
        await fake.close()

    @pytest.fixture
    def world(self, provider: Fake) -> World:
        def acting(act: Act) -> Provocation:
            def prepare() -> dict[str, object]:
                provider.script(act)
                return {}

            return prepare

        return World(
            provoke={
                Rejected: acting(refuse(Rejected("no"))),
                Unavailable: acting(refuse(Unavailable("busy"))),
                Ambiguous: acting(vanish(accepted=True)),
                Failed: acting(accept(failure=Failed("it broke"))),
            }
        )


class TestTheFakeThatHonoursKeys(TestTheFake):
    @pytest_asyncio.fixture
    async def provider(self) -> AsyncIterator[Fake]:
        fake = Fake(idempotent=True)
        yield fake
        await fake.close()


class TestTheFakeThatCanBeAsked(TestTheFake):
    @pytest_asyncio.fixture
    async def provider(self) -> AsyncIterator[Fake]:
        fake = FindingFake()
        yield fake
        await fake.close()

    async def test_a_job_is_found_by_its_key(self, provider: FindingFake, make_job: JobMaker) -> None:
        job = make_job()
        assert await provider.find(job) is None
        receipt = await provider.submit(job)
        assert isinstance(receipt, Accepted)
        assert await provider.find(job) == receipt.upstream_id
        assert isinstance(provider, Finder)
        assert not isinstance(Fake(), Finder)


class TestTheScript:
    @pytest.fixture
    def provider(self) -> Fake:
        return Fake(idempotent=True)

    make_job = ProviderSuite.make_job

    async def test_a_job_takes_its_steps_and_ends(self, provider: Fake, make_job: JobMaker) -> None:
        provider.script(accept(0.2, Unavailable("away"), 0.7, files=2))
        job = make_job()
        receipt = await provider.submit(job)
        assert receipt == Accepted(upstream_id="fake-1")
        job = make_job(idempotency_key=job.idempotency_key)
        polled = provider.jobs[0]
        from_there = type(job)(**{name: getattr(job, name) for name in job.__slots__} | {"upstream_id": "fake-1"})
        assert await provider.poll(from_there) == Running(progress=0.2, again=timedelta(0))
        with pytest.raises(Unavailable):
            await provider.poll(from_there)
        assert await provider.poll(from_there) == Running(progress=0.7, again=timedelta(0))
        done = await provider.poll(from_there)
        assert isinstance(done, Done)
        assert len(done.outputs) == 2
        assert not polled.steps

    async def test_a_known_key_is_the_same_job_and_the_same_end(self, provider: Fake, make_job: JobMaker) -> None:
        provider.script(finish(), finish())
        first, second = [await provider.submit(make_job(idempotency_key="same-key")) for _ in range(2)]
        assert isinstance(first, Done)
        assert isinstance(second, Done)
        assert len(provider.jobs) == 1

    async def test_a_submission_waits_for_its_event(self, provider: Fake, make_job: JobMaker) -> None:
        go = asyncio.Event()
        provider.script(accept(until=go))
        task = asyncio.create_task(provider.submit(make_job()))
        await provider.called.get()
        assert not task.done()
        assert not provider.jobs
        go.set()
        assert isinstance(await task, Accepted)

    @pytest.mark.parametrize("accepted", [True, False])
    async def test_silence_may_hide_a_bill(self, provider: Fake, make_job: JobMaker, accepted: bool) -> None:
        provider.script(vanish(accepted=accepted))
        with pytest.raises(Ambiguous):
            await provider.submit(make_job())
        assert len(provider.jobs) == accepted


def test_a_drawn_picture_is_a_picture() -> None:
    from io import BytesIO

    from PIL import Image

    with Image.open(BytesIO(png(7, 3, 200))) as picture:
        picture.load()
        assert (picture.size, picture.mode, picture.getpixel((6, 2))) == ((7, 3), "L", 200)
