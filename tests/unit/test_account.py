"""Whether an API key may be used, now and from here."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tessera.domain.account import Account, ApiKey, digest
from tessera.domain.errors import Unauthorized
from tessera.domain.task import Mode
from tessera.testing.ticker import NOON

KEY = ApiKey(id="key_1", account_id="a", mode=Mode.TEST, name="k", hint="abcd", created_at=NOON - timedelta(days=1))
SECOND = timedelta(seconds=1)


def test_a_plain_key_is_good_from_everywhere() -> None:
    KEY.check(NOON, "203.0.113.9")
    KEY.check(NOON, None)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"revoked_at": NOON - SECOND}, "revoked"),
        ({"expires_at": NOON - SECOND}, "expired"),
        ({"expires_at": NOON}, "expired"),
        ({"networks": ("10.0.0.0/8",)}, "your address"),
    ],
)
def test_a_key_that_may_not_be_used_says_why(changes: dict[str, object], why: str) -> None:
    key = replace(KEY, **changes)  # type: ignore[arg-type]
    with pytest.raises(Unauthorized, match=f"You do not have access permissions: .*{why}"):
        key.check(NOON, "203.0.113.9")


def test_a_key_is_good_until_the_moment_of_its_expiry() -> None:
    replace(KEY, expires_at=NOON + timedelta(microseconds=1)).check(NOON, None)


@pytest.mark.parametrize(
    ("address", "good"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("::ffff:11.1.2.3", False),
        ("192.0.2.7", True),
        ("192.0.2.8", False),
        ("2001:db8::5", True),
        ("2001:db9::5", False),
        ("fe80::1%eth0", False),
        ("", False),
        ("10.1.2", False),
        ("localhost", False),
        (None, False),
    ],
)
def test_a_key_with_networks_is_good_from_inside_them_alone(address: str | None, good: bool) -> None:
    key = replace(KEY, networks=("10.0.0.0/8", "192.0.2.7", "2001:db8::1/32"))
    if good:
        key.check(NOON, address)
    else:
        with pytest.raises(Unauthorized):
            key.check(NOON, address)


def test_a_key_is_kept_as_its_sha256() -> None:
    assert digest("abc").hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize(("until", "signing"), [(NOON + SECOND, ("new", "old")), (NOON, ("new",)), (None, ("new",))])
def test_a_rotated_secret_signs_until_its_time_is_over(until: datetime | None, signing: tuple[str, ...]) -> None:
    account = Account(
        id="a", name="a", webhook_secret="new", created_at=NOON, previous_secret="old", previous_until=until
    )
    assert account.secrets(NOON) == signing
    assert replace(account, previous_secret=None).secrets(NOON) == ("new",)
