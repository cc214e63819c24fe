"""The whole gateway with a provider that notes when it is called: ``python -m bench.house NOTES``.

The provider answers at once with a small picture. A line of NOTES is ``task id, moment of the call, moment of the
answer``, both in nanoseconds of the machine's monotonic clock, which every process here shares.
"""

import os
import shutil
import sys
import time
from pathlib import Path
from typing import TextIO

import uvicorn
import uvloop
from PIL import Image

from tessera import config
from tessera.api import app
from tessera.cli import logs
from tessera.domain.errors import Failed
from tessera.providers.base import Done, Job, LocalFile, Manifest, Provider, Running
from tessera.wiring import House


class Noting:
    """Stands in for the sandbox, so that test keys run on it."""

    manifest = Manifest(
        name="sandbox",
        title="Bench",
        operations=frozenset({"image.generate"}),
        models={"*": "instant"},
        idempotent=True,
    )

    def __init__(self, notes: TextIO, picture: Path) -> None:
        self._notes = notes
        self._picture = picture

    async def submit(self, job: Job) -> Done:
        called = time.monotonic_ns()
        path = job.workdir / "picture.png"
        shutil.copyfile(self._picture, path)
        self._notes.write(f"{job.task_id} {called} {time.monotonic_ns()}\n")
        self._notes.flush()
        return Done(outputs=(LocalFile(path=path),))

    async def poll(self, job: Job) -> Running | Done:
        raise Failed("there is nothing to poll")

    async def cancel(self, job: Job) -> bool:
        return False

    async def close(self) -> None:
        """Nothing is held."""


async def serve(provider: Provider) -> None:
    settings = config.load(os.environ)
    logs.setup(settings.log_level, settings.log_format)
    async with House(settings, provided={"sandbox": provider}) as house:
        served = uvicorn.Config(app.build(house), host=settings.host, port=settings.port, log_config=None)
        await uvicorn.Server(served).serve()


def main() -> None:
    path = Path(sys.argv[1])
    picture = path.with_suffix(".png")
    Image.effect_noise((64, 64), 80).save(picture)
    with path.open("w") as notes:
        uvloop.run(serve(Noting(notes, picture)))


if __name__ == "__main__":
    main()
