"""Named places where a test may make the process stumble. Unarmed, a place costs one look at an empty dict.

    await faults.reach("kettle.filled")                       # in the code
    faults.arm("kettle.filled", action)                       # in a test, in the same process
    faults.arm_all(faults.parse("kettle.filled=exit@3"))      # in a process of a test, from outside

A plan is a comma-separated list of ``place=action``. The actions are ``exit`` (the process is gone at once, as after
SIGKILL), ``hang`` (for ever) and ``raise`` (Stumble); each happens at every pass, with ``action:0.05`` at one pass in
twenty, with ``action@3`` at the third. ``seed=7`` in the list makes the chances the same each time.
"""

import asyncio
import os
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from random import Random
from typing import Literal, cast, get_args

Action = Callable[[], Awaitable[None]]
Kind = Literal["exit", "hang", "raise"]

KILLED = 137
"""The exit status of a process that a plan ended: what a shell shows after SIGKILL."""

_ENTRY = re.compile(
    r"(?P<place>[a-z.]{1,50})=(?P<kind>exit|hang|raise)"
    r"(?::(?P<chance>[01](?:\.[0-9]{1,6})?)|@(?P<nth>[1-9][0-9]{0,5}))?"
)
_SEED = re.compile(r"seed=(?P<seed>[0-9]{1,18})")

_armed: dict[str, Action] = {}


class Stumble(Exception):
    """A test made this place fail."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens at a place: at the ``nth`` pass, or at any with this ``chance`` (0..1)."""

    place: str
    kind: Kind
    chance: float = 1.0
    nth: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Faults to come; ``seed`` None is another chance each time."""

    faults: tuple[Fault, ...]
    seed: int | None = None


def arm(place: str, action: Action) -> None:
    _armed[place] = action


def disarm() -> None:
    _armed.clear()


async def reach(place: str) -> None:
    if _armed and (action := _armed.get(place)):
        await action()


def parse(text: str) -> Plan:
    """A plan from its text. Raises ValueError, which says the rule."""
    faults: list[Fault] = []
    seed = None
    for part in filter(None, (part.strip() for part in text.split(","))):
        if match := _SEED.fullmatch(part):
            seed = int(match["seed"])
        elif match := _ENTRY.fullmatch(part):
            chance = float(match["chance"]) if match["chance"] else 1.0
            nth = int(match["nth"]) if match["nth"] else None
            faults.append(Fault(match["place"], cast("Kind", match["kind"]), chance, nth))
        else:
            kinds = ", ".join(get_args(Kind))
            raise ValueError(f"{part!r} is no place=action; actions are {kinds}, alone or as exit:0.05 or exit@3")
    return Plan(tuple(faults), seed)


def arm_all(plan: Plan, known: Iterable[str]) -> None:
    """Arm every fault of a plan. Raises ValueError for a place that is not among the ``known``."""
    places = frozenset(known)
    if strange := {fault.place for fault in plan.faults} - places:
        raise ValueError(f"there is no place {min(strange)!r}; there are {', '.join(sorted(places))}")
    chance = Random(plan.seed)  # noqa: S311 - nothing is secret about it
    for fault in plan.faults:
        arm(fault.place, _Stumbling(fault, chance))


class _Stumbling:
    """An action that counts its passes."""

    def __init__(self, fault: Fault, chance: Random) -> None:
        self._fault = fault
        self._chance = chance
        self._passes = 0

    async def __call__(self) -> None:
        self._passes += 1
        nth = self._fault.nth
        if self._passes == nth or (nth is None and self._chance.random() < self._fault.chance):
            await _stumble(self._fault)


async def _stumble(fault: Fault) -> None:
    # Straight to the file descriptor: nobody flushes a buffer in a process that is about to be gone.
    os.write(2, f"fault: {fault.place} {fault.kind}\n".encode())
    if fault.kind == "exit":
        os._exit(KILLED)
    if fault.kind == "hang":
        await asyncio.Event().wait()
    raise Stumble(f"a test made {fault.place} fail")
