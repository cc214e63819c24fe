"""``python -m tests.wire.sweep``: sweep, and write the page. ``--quick`` leaves out what takes long and only prints."""

import asyncio
import logging
import shutil
import sys
import tempfile
from pathlib import Path

import structlog
from tests.wire.sweep import page
from tests.wire.sweep.run import Line, Sweep
from tests.wire.sweep.world import opened

from tessera.testing.databases import Databases


async def sweep(folder: Path, *, quick: bool) -> list[Line]:
    databases = Databases(folder / "pg")
    databases.start()
    try:
        await databases.prepare()
        async with opened(databases, folder) as world:
            return await Sweep(world, quick=quick).run()
    finally:
        databases.stop()


def main(arguments: list[str]) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    folder = Path(tempfile.mkdtemp(prefix="tessera-sweep-"))
    quick = "--quick" in arguments
    try:
        text = page.write(asyncio.run(sweep(folder, quick=quick)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if quick:
        sys.stdout.write(text)
    else:
        page.PLACE.write_text(text)
        sys.stdout.write(f"wrote {page.PLACE}\n")
    if page.UNEXPLAINED in text:
        sys.exit("some answers are not as documented, and nobody said why: see the page")


main(sys.argv[1:])
