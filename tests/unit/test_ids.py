"""Ids that sort by the time of their making."""

import re
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tessera.kit.ids import timed, uuid7
from tessera.testing.ticker import NOON, Ticker

moments = st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(9999, 1, 1), timezones=st.just(UTC))


def _floor(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


@given(moments)
def test_an_id_is_a_version_7_uuid_of_32_lower_case_hex_digits(moment: datetime) -> None:
    made = uuid7(moment)
    assert re.fullmatch(r"[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}", made)
    assert datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=int(made[:12], 16)) == _floor(moment)


@given(moments, st.integers(min_value=1, max_value=10**6))
def test_a_later_id_sorts_behind_whatever_chance_adds(moment: datetime, milliseconds: int) -> None:
    earlier = uuid7(moment, lambda bits: (1 << bits) - 1)
    later = uuid7(moment + timedelta(milliseconds=milliseconds), lambda bits: 0)
    assert earlier < later


def test_ids_of_one_moment_differ() -> None:
    ids = timed(Ticker())
    assert len({ids() for _ in range(10_000)}) == 10_000


def test_a_generator_reads_its_clock_each_time() -> None:
    ticker = Ticker(NOON)
    ids = timed(ticker)
    first = ids()
    ticker.advance(1)
    assert int(ids()[:12], 16) - int(first[:12], 16) == 1000
