"""The two signatures of a callback."""

import base64
import hmac
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tessera.webhooks import sign

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


def test_the_contracts_own_vector() -> None:
    assert sign.kie("secret", "task_123", 1760000000) == "Br81GVXZMiBwxewzmxMXtJtGONcGt5ocZjcQVqF/aKs="


def test_a_new_secret_is_a_standard_webhooks_secret_of_256_bits() -> None:
    made = {sign.new_secret() for _ in range(50)}
    assert len(made) == 50
    for secret in made:
        assert secret.startswith("whsec_")
        assert len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == 32


@given(texts, st.uuids(), st.uuids())
def test_both_signatures_are_verified_by_those_who_know_the_secret(body: str, delivery: object, task: object) -> None:
    secret, now = sign.new_secret(), datetime.now(UTC)
    headers = sign.headers([secret], delivery_id=f"msg_{delivery}", task_id=str(task), body=body.encode(), now=now)
    Webhook(secret).verify(body.encode(), headers, json_parse=False)
    timestamp = headers["X-Webhook-Timestamp"]
    mac = hmac.digest(secret.encode(), f"{task}.{timestamp}".encode(), "sha256")
    assert headers["X-Webhook-Signature"] == base64.b64encode(mac).decode()
    assert headers["webhook-timestamp"] == timestamp == str(int(now.timestamp()))
    assert headers["webhook-id"] == f"msg_{delivery}"


@pytest.mark.parametrize("tamper", ["body", "webhook-id", "secret"])
def test_what_was_altered_is_not_verified(tamper: str) -> None:
    secret, body = sign.new_secret(), b'{"code":200}'
    headers = sign.headers([secret], delivery_id="msg_1", task_id="t", body=body, now=datetime.now(UTC))
    if tamper == "body":
        body = b'{"code":201}'
    elif tamper == "secret":
        secret = sign.new_secret()
    else:
        headers[tamper] += "0"
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body, headers)


def test_while_a_secret_is_rotated_both_sign() -> None:
    new, old, body = sign.new_secret(), sign.new_secret(), b"{}"
    headers = sign.headers([new, old], delivery_id="msg_1", task_id="t", body=body, now=datetime.now(UTC))
    for secret in (new, old):
        Webhook(secret).verify(body, headers)
    assert headers["X-Webhook-Signature"] == sign.kie(new, "t", int(headers["X-Webhook-Timestamp"]))
