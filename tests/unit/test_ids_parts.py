"""The id of a part tells what it is a part of."""

import re
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera.kit import ids

WHOLE = "01913f7c2d3e7a4b8c5d6e7f80912a3b"


@pytest.mark.parametrize("index", range(ids.PARTS))
def test_a_part_leads_back_to_its_whole(index: int) -> None:
    assert ids.whole(ids.part(WHOLE, index)) == (WHOLE, index)
    assert UUID(ids.part(WHOLE, index)).version == 8


def test_a_part_is_found_however_it_is_spelled() -> None:
    part = ids.part(WHOLE, 1)
    assert ids.whole(part.upper()) == ids.whole(part.replace("-", "")) == (WHOLE, 1)


@given(st.integers(0, 2**44 - 1), st.integers(0, 2**12 - 1), st.integers(0, 2**62 - 1), st.integers(0, 15))
def test_no_two_parts_are_alike(time: int, twelve: int, rest: int, index: int) -> None:
    whole = f"{time << 80 | 7 << 76 | twelve << 64 | 0b10 << 62 | rest:032x}"
    assert ids.whole(ids.part(whole, index)) == (whole, index)


@pytest.mark.parametrize("index", [-1, 16])
def test_there_are_sixteen_parts(index: int) -> None:
    with pytest.raises(ValueError, match="from 0 to 15"):
        ids.part(WHOLE, index)


@pytest.mark.parametrize("text", ["", "x", WHOLE, "e231-2d3e", "0" * 32, ids.part(WHOLE, 0) + "0", "ü" * 36])
def test_what_is_no_part_is_none(text: str) -> None:
    assert ids.whole(text) is None


def test_the_part_of_a_foreign_id_is_an_id_all_the_same() -> None:
    part = ids.part("task-1", 3)
    assert re.fullmatch(r"3[0-9a-f]{7}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", part)
    assert ids.part("task-1", 3) == part != ids.part("task-2", 3)
