"""Signals: the first one asks for an orderly end, the second cuts it short."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

log = structlog.get_logger(__name__)

HURRY = 5.0
"""Seconds that the second signal leaves for closing what is open."""


@contextmanager
def on_signal(first: Callable[[], object]) -> Iterator[None]:
    """Within the block the first SIGINT, SIGTERM or SIGHUP calls ``first``; the second cancels this task.

    After the second one the process has a few seconds; then, and at a third signal, it is gone as it stands.
    """
    loop, main, seen = asyncio.get_running_loop(), asyncio.current_task(), 0
    assert main is not None

    def caught(number: signal.Signals) -> None:
        nonlocal seen
        seen += 1
        if seen == 1:
            log.info("stopping", signal=number.name, again="stops without waiting")
            first()
        elif seen == 2:
            log.warning("stopping at once", signal=number.name)
            loop.call_later(HURRY, os._exit, 128 + number)
            main.cancel()
        else:
            os._exit(128 + number)

    numbers = list(_numbers())
    for number in numbers:
        loop.add_signal_handler(number, caught, number)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _numbers() -> Iterator[signal.Signals]:
    yield signal.SIGINT
    yield signal.SIGTERM
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup wants it ignored
        yield signal.SIGHUP
