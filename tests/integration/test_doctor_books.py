"""What ``tessera doctor`` says of money that does not go with its task, of open attempts, and of open networks."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from tests.integration.workshop import OpenShop, Workshop

from tessera.cli import doctor
from tessera.db import audit
from tessera.domain.finding import Finding, Grade
from tessera.domain.task import Mode
from tessera.engine import checkup
from tessera.providers.fake import Fake, accept, vanish
from tessera.testing.plugin import MakeConfig

PROVIDED = Fake("sandbox")


async def books(shop: Workshop) -> dict[str, Finding]:
    return {finding.name: finding for finding in await checkup.books(shop.house.database)}


async def test_every_kind_of_end_is_in_order(open_shop: OpenShop) -> None:
    fake = Fake("sandbox")
    fake.script(accept(), vanish(accepted=True))
    async with open_shop(fake) as shop:
        await shop.walk(await shop.order(prompt="done"))
        await shop.walk(await shop.order(prompt="lost"), deadline=timedelta(0))
        await shop.house.finish.cancel(await shop.order(prompt="canceled"), shop.account.id)
        await shop.order(prompt="waiting")
        found = await books(shop)
        assert {name: each.grade for name, each in found.items()} == {
            "ledger": Grade.GOOD,
            "holds": Grade.GOOD,
            "attempts": Grade.GOOD,
            "live keys": Grade.GOOD,
        }


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ("UPDATE tasks SET state = 'running'", "(running, price 10000): hold -10000, settle 10000"),
        ("UPDATE tasks SET state = 'failed'", "(failed, price 10000): hold -10000, settle 10000"),
        ("UPDATE tasks SET price = 9999", "(succeeded, price 9999): hold -10000, settle 10000"),
        (
            "ALTER TABLE ledger DISABLE TRIGGER ledger_is_kept; DELETE FROM ledger WHERE kind = 'settle'",
            "(succeeded, price 10000): hold -10000, no end 0",
        ),
        (
            "ALTER TABLE ledger DISABLE TRIGGER ledger_is_kept; DELETE FROM ledger WHERE kind = 'hold'",
            "(succeeded, price 10000): hold None, settle 10000",
        ),
    ],
)
async def test_money_that_does_not_go_with_its_task_is_red(open_shop: OpenShop, spoil: str, words: str) -> None:
    async with open_shop(Fake("sandbox")) as shop:
        task_id = await shop.order()
        await shop.walk(task_id)
        assert (await books(shop))["holds"].grade is Grade.GOOD
        await shop.house.database.pool.execute(spoil)
        holds = (await books(shop))["holds"]
    assert holds.grade is Grade.BAD
    assert holds.text == f"1 tasks whose money does not go with their state: {task_id} {words}"
    assert holds.next


async def test_an_attempt_that_is_open_behind_a_task_that_is_over_is_told_of(open_shop: OpenShop) -> None:
    async with open_shop(Fake("sandbox")) as shop:
        task_id = await shop.order()
        await shop.walk(task_id)
        run = shop.house.database.pool.execute
        await run("UPDATE attempts SET state = 'submitted', upstream_id = 'up-1'")
        attempts = (await books(shop))["attempts"]
        assert attempts.grade is Grade.NOTE
        assert f"{task_id} (succeeded), attempt 1 at sandbox: submitted, upstream id up-1" in attempts.text
        await run("UPDATE tasks SET state = 'failed', reason = 'deadline_passed'")
        assert (await books(shop))["attempts"].grade is Grade.GOOD, "a late result is still waited for"
        await run("UPDATE tasks SET state = 'canceled', reason = 'canceled'")
        assert (await books(shop))["attempts"].grade is Grade.GOOD, "its provider is being told"
        later = shop.house.clock() + audit.FORGOTTEN + timedelta(seconds=5)
        found = {each.name: each for each in await checkup.books(shop.house.database, lambda: later)}
        assert found["attempts"].grade is Grade.NOTE


async def test_many_anomalies_are_not_all_told(open_shop: OpenShop) -> None:
    async with open_shop(Fake("sandbox"), bootstrap_test_credits=10_000, rate_limit="0") as shop:
        for number in range(audit.SHOWN + 1):
            await shop.order(prompt=f"number {number}")
        await shop.house.database.pool.execute("UPDATE tasks SET price = 1")
        assert (await books(shop))["holds"].text.startswith(f"at least {audit.SHOWN} tasks")


async def test_live_keys_are_counted_while_they_open_the_door(open_shop: OpenShop) -> None:
    async with open_shop(Fake("sandbox")) as shop:
        accounts = shop.house.accounts
        soon = shop.house.clock() + timedelta(hours=1)
        await accounts.create_key(shop.account, Mode.LIVE, expires_at=soon)
        assert (await books(shop))[doctor.LIVE_KEYS].text == "2 in force"
        assert await audit.live_keys(shop.house.database, soon) == 1
        await accounts.revoke(shop.live.id)
        found = {each.name for each in await checkup.books(shop.house.database, lambda: soon)}
        assert doctor.LIVE_KEYS not in found


def test_the_doctor_and_the_checkup_mean_the_same_keys() -> None:
    assert doctor.LIVE_KEYS == checkup.LIVE_KEYS


PROXY = {"trusted_proxies": "127.0.0.1"}
OPEN = {"allow_private_networks": "true"}
PUBLIC = {"public_url": "https://media.example"}


@pytest.mark.parametrize(
    ("settings", "live", "grade", "words"),
    [
        ({}, False, Grade.GOOD, "taken for a laptop"),
        ({}, True, Grade.NOTE, "taken for a laptop"),
        (PROXY, True, Grade.GOOD, "public addresses only"),
        (PUBLIC, True, Grade.GOOD, "public addresses only"),
        ({"allow_private_networks": "false"}, True, Grade.GOOD, "public addresses only"),
        ({"host": "0.0.0.0"}, True, Grade.GOOD, "public addresses only"),
        (OPEN, False, Grade.NOTE, "loopback and private addresses"),
        (OPEN, True, Grade.NOTE, "there are live keys"),
        (OPEN | PROXY, False, Grade.BAD, "reached from elsewhere"),
        (OPEN | PUBLIC, True, Grade.BAD, "reached from elsewhere"),
        (OPEN | {"host": "0.0.0.0"}, True, Grade.BAD, "reached from elsewhere"),
    ],
)
def test_networks_that_callers_may_reach_into_are_told_of(
    make_config: MakeConfig, settings: dict[str, Any], live: bool, grade: Grade, words: str
) -> None:
    found = doctor.networks(make_config(**settings), live_keys=live)
    assert (found.name, found.grade) == ("networks", grade)
    assert words in found.text
    assert bool(found.next) is (grade is not Grade.GOOD)


def test_a_proxy_in_front_of_a_gateway_without_a_public_url_is_red(make_config: MakeConfig) -> None:
    found: Sequence[Finding] = list(doctor._settings(make_config(**PROXY)))
    assert [each.grade for each in found if each.name == "public URL"] == [Grade.BAD]
