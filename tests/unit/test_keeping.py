"""How long things are kept, where two of these times must agree."""

from datetime import timedelta

import pytest

from tessera.config import REPLAYABLE, Config, SettingError
from tessera.engine.intake import REPLAY


def test_the_settings_and_the_engine_mean_the_same_time() -> None:
    assert REPLAYABLE == REPLAY


def test_no_record_may_go_before_the_idempotency_key_that_answers_with_it() -> None:
    hour = timedelta(hours=1)
    with pytest.raises(
        SettingError, match=r"TESSERA_RETENTION_RECORDS is 23h, but it must be at least .*Idempotency-Key"
    ):
        Config(retention_outputs=hour, retention_records=REPLAYABLE - hour)
    assert Config(retention_outputs=hour, retention_records=REPLAYABLE).retention_records == REPLAYABLE
