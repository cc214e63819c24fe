"""Named places where a test may make the process stumble. Unarmed, a place costs one look at an empty dict.

The walk of a task passes them in this order; a test build arms one with ``arm(place, action)``.
"""

from collections.abc import Awaitable, Callable
from typing import Literal

Place = Literal[
    "intake.committed",
    "run.claimed",
    "run.intended",
    "run.called",
    "run.submitted",
    "run.ingesting",
    "run.finishing",
    "run.finished",
    "callback.sending",
    "callback.recorded",
    "retention",
    "drain",
]

Action = Callable[[], Awaitable[None]]

_armed: dict[str, Action] = {}


def arm(place: Place, action: Action) -> None:
    _armed[place] = action


def disarm() -> None:
    _armed.clear()


async def reach(place: Place) -> None:
    if _armed and (action := _armed.get(place)):
        await action()
