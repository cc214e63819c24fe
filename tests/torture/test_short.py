"""The torture in small: real processes, chaos for some seconds, and every promise kept."""

import logging
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tessera.testing.torture.check import check
from tessera.testing.torture.harness import SHORT, torture


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not below pytest's: where we are root, PostgreSQL is not, and has to get there."""
    path = Path(tempfile.mkdtemp(prefix="tessera-torture-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


async def test_the_gateway_keeps_its_promises_under_torture(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "asyncpg")  # its pool tells at length that the database went away
    outcome = await torture(SHORT, folder)
    findings = check(outcome.books)
    broken = [f"{finding.promise}: {finding.breaches}" for finding in findings if finding.broken]
    assert not broken, "\n".join(broken)
    # In so short a time chance decides whether somebody dies over a job, or a cancel meets one.
    assert {finding.name for finding in findings if finding.untried} <= {"taken_over_in_time", "passed_on"}
    assert outcome.quiet
    assert len(outcome.books.house.tasks) > SHORT.tasks / 4
    assert outcome.books.deaths
