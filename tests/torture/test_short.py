"""The torture in small: real processes, chaos for some seconds, and every promise kept."""

import logging
from pathlib import Path

import pytest

from tessera.testing.torture.check import check
from tessera.testing.torture.harness import SHORT, torture


async def test_the_gateway_keeps_its_promises_under_torture(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "asyncpg")  # its pool tells at length that the database went away
    outcome = await torture(SHORT, tmp_path)
    findings = check(outcome.books)
    broken = [f"{finding.promise}: {finding.breaches}" for finding in findings if not finding.kept]
    assert not broken, "\n".join(broken)
    assert outcome.quiet
    assert len(outcome.books.house.tasks) > SHORT.tasks / 2
    assert outcome.books.deaths
