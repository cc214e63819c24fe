"""Fault points: armed by name, by a test in the process or by a plan from outside; unarmed they are nothing."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tessera.engine.faults import PLACES
from tessera.kit import faults
from tessera.kit.faults import Fault, Plan, Stumble

SRC = Path(__file__).parents[2] / "src" / "tessera"


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    faults.disarm()


async def passes(place: str, count: int) -> list[int]:
    """Pass a place so often; answers at which passes it stumbled."""
    stumbled = []
    for number in range(1, count + 1):
        try:
            await faults.reach(place)
        except Stumble:
            stumbled.append(number)
    return stumbled


def arm(plan: str) -> None:
    faults.arm_all(faults.parse(plan), ["kettle.filled", "kettle.boiling"])


@pytest.mark.parametrize(
    ("text", "plan"),
    [
        ("", Plan(())),
        ("a.b=exit", Plan((Fault("a.b", "exit"),))),
        ("a.b=hang:0.05", Plan((Fault("a.b", "hang", 0.05),))),
        ("a.b=raise:1", Plan((Fault("a.b", "raise", 1.0),))),
        (
            " a.b=exit@3 , c=raise, seed=7,",
            Plan((Fault("a.b", "exit", nth=3), Fault("c", "raise")), 7),
        ),
    ],
)
def test_a_plan_is_read_from_its_text(text: str, plan: Plan) -> None:
    assert faults.parse(text) == plan


@pytest.mark.parametrize("text", ["a", "a=", "a=explode", "a=exit@0", "a=exit:2", "a=exit:0.5@3", "A=exit", "seed=x"])
def test_a_plan_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no place=action"):
        faults.parse(text)


def test_a_place_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match=r"there is no place 'kettle\.empty'"):
        arm("kettle.empty=exit")


async def test_nothing_happens_at_a_place_that_is_not_armed() -> None:
    arm("kettle.filled=raise")
    assert await passes("kettle.boiling", 3) == []
    faults.disarm()
    assert await passes("kettle.filled", 3) == []


async def test_a_fault_comes_at_the_pass_that_was_named() -> None:
    arm("kettle.filled=raise@3")
    assert await passes("kettle.filled", 6) == [3]


async def test_a_fault_by_chance_is_the_same_for_the_same_seed() -> None:
    arm("seed=5,kettle.filled=raise:0.3")
    first = await passes("kettle.filled", 200)
    arm("seed=5,kettle.filled=raise:0.3")
    assert await passes("kettle.filled", 200) == first
    assert 30 < len(first) < 90
    arm("seed=6,kettle.filled=raise:0.3")
    assert await passes("kettle.filled", 200) != first


async def test_a_place_can_hang() -> None:
    arm("kettle.filled=hang")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await faults.reach("kettle.filled")


def test_a_place_can_end_the_process_as_a_kill_would() -> None:
    code = (
        "import asyncio, atexit\n"
        "from tessera.kit import faults\n"
        "atexit.register(print, 'said good-bye')\n"
        "faults.arm_all(faults.parse('kettle.filled=exit'), ['kettle.filled'])\n"
        "asyncio.run(faults.reach('kettle.filled'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == faults.KILLED
    assert done.stdout == ""
    assert done.stderr == "fault: kettle.filled exit\n"


def test_every_place_stands_in_the_code_and_has_a_name_on_the_list() -> None:
    sources = [path.read_text() for room in ("engine", "webhooks") for path in (SRC / room).rglob("*.py")]
    reached = {place for source in sources for place in re.findall(r'faults\.reach\("([a-z.]+)"\)', source)}
    assert reached == set(PLACES)
