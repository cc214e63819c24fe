"""The page about compatibility says what is true: a quick sweep sees what stands there."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.wire import promises
from tests.wire.sweep import page
from tests.wire.sweep.documents import DOCUMENTS, Operation, lacking, operations
from tests.wire.sweep.reasons import REASONS
from tests.wire.sweep.run import Line, Sweep
from tests.wire.sweep.world import opened

from tessera.testing.databases import Databases

pytestmark = pytest.mark.asyncio(loop_scope="module")

EVERY = [operation for document in DOCUMENTS for operation in operations(document)]

LONG = tuple(
    f"| {sent}"
    for sent in (
        "example `",
        "the same again ",
        "the first call ",
        "a call when it is there ",
        "a file that is not there ",
        "refused content ",
        "an input that cannot be fetched ",
    )
)
"""Rows that only a whole sweep has, as a rule."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def seen(postgres: Databases, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[list[Line]]:
    """What a quick sweep saw."""
    async with opened(postgres, tmp_path_factory.mktemp("sweep")) as world:
        yield await Sweep(world, quick=True).run()


@pytest.fixture(scope="module")
def committed() -> str:
    return page.PLACE.read_text()


async def test_what_a_sweep_sees_stands_on_the_page(seen: list[Line], committed: str) -> None:
    now, then = page.rows(page.write(seen)), page.rows(committed)
    for operation in EVERY:
        name = page.heading(operation)
        new = sorted(now.get(name, set()) - then.get(name, set()))
        assert not new, f"run `make compatibility`: {name} now has {new}"


async def test_what_stands_on_the_page_is_seen(seen: list[Line], committed: str) -> None:
    now, then = page.rows(page.write(seen)), page.rows(committed)
    for operation in EVERY:
        name = page.heading(operation)
        old = sorted(row for row in then.get(name, set()) - now.get(name, set()) if not row.startswith(LONG))
        assert not old, f"run `make compatibility`: {name} no longer has {old}"


async def test_every_deviation_has_a_reason(committed: str) -> None:
    assert page.UNEXPLAINED not in committed


async def test_every_reason_is_needed(committed: str) -> None:
    assert [reason.why for reason in REASONS if reason.why not in committed] == []


async def test_every_operation_of_the_documents_has_its_place_on_the_page(committed: str) -> None:
    assert [line[4:] for line in committed.splitlines() if line.startswith("### ")] == list(map(page.heading, EVERY))


@pytest.mark.parametrize("operation", EVERY, ids=lambda operation: operation.id)
async def test_the_documents_own_examples_fit_their_schemas(operation: Operation) -> None:
    contract = promises.whole(operation.document)
    for example in operation.examples.values():
        assert contract.problems(operation.schema, example) == []


@pytest.mark.parametrize(
    ("example", "ours", "missing"),
    [
        ({"a": 1}, {"a": None}, []),
        ({"a": 1}, {}, ["a"]),
        ({"a": {"b": 1}}, {"a": {}}, ["a.b"]),
        ({"a": {"b": 1}}, {"a": None}, ["a"]),
        ({"a": {}}, {"a": None}, []),
        ({"a": [{"b": 1}]}, {"a": [{}]}, ["a[].b"]),
        ({"a": [{"b": 1}]}, {"a": []}, ["a"]),
        ({"a": ["x"]}, {"a": []}, ["a"]),
        ({"a": []}, {"a": []}, []),
    ],
)
async def test_a_field_that_the_document_shows_is_missed(example: object, ours: object, missing: list[str]) -> None:
    assert list(lacking(example, ours)) == missing
