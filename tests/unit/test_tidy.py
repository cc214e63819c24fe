"""The collector's rhythm: what is dear is done seldom."""

import gc
from itertools import pairwise

import pytest

from tessera.cli import gateway


class StopError(Exception):
    """The test has seen enough."""


@pytest.mark.parametrize("pause", [0.01, 1.0, 20.0])
async def test_looking_at_all_objects_takes_one_part_in_three_hundred_at_the_most(
    pause: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, looks = 0.0, []

    def collect() -> int:
        nonlocal now
        looks.append(now)
        now += pause
        return 0

    async def sleep(seconds: float) -> None:
        nonlocal now
        if len(looks) == 4:
            raise StopError
        now += seconds

    monkeypatch.setattr(gc, "collect", collect)
    with pytest.raises(StopError):
        await gateway._tidy(sleep, lambda: now)
    assert looks[0] == gateway.OLD
    assert all(after - before >= max(gateway.OLD, gateway.SHARE * pause) for before, after in pairwise(looks))


def test_the_collector_itself_leaves_old_objects_alone() -> None:
    before = gc.get_threshold()
    try:
        gateway._settle()
        young, middle, old = gc.get_threshold()
        assert (young, middle) == (gateway.YOUNG, gateway.MIDDLE)
        assert young * middle * old > 10**9
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
