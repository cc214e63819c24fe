"""Blocking calls in a thread that is never left behind."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def run(call: Callable[..., T], *args: object) -> T:
    """Run a blocking call in a thread and return when it has ended, also when cancelled meanwhile.

    With ``asyncio.to_thread`` a cancelled caller goes on to close and remove files that the thread still writes to;
    a file number that is reused in that moment would send those bytes into somebody else's file.
    """
    work = asyncio.get_running_loop().run_in_executor(None, call, *args)
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        while not work.done():
            try:
                await asyncio.wait([work])
            except asyncio.CancelledError:
                continue  # the first one is on its way already
        if not work.cancelled():
            work.exception()  # seen: nobody else will ask for it
        raise
