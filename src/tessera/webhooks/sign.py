"""Two signatures for every callback: KIE's over task id and time, Standard Webhooks' over id, time and body."""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime
from secrets import token_bytes

from standardwebhooks.webhooks import Webhook

PREFIX = "whsec_"


def new_secret() -> str:
    """A fresh secret: its Base64 part is the Standard Webhooks key, the whole string is KIE's."""
    return PREFIX + base64.b64encode(token_bytes(32)).decode()


def kie(secret: str, task_id: str, timestamp: int) -> str:
    """Base64 of HMAC-SHA256 over ``taskId.timestamp``; ``timestamp`` in seconds since 1970."""
    mac = hmac.new(secret.encode(), f"{task_id}.{timestamp}".encode(), hashlib.sha256)
    return base64.b64encode(mac.digest()).decode()


def headers(secrets: Sequence[str], *, delivery_id: str, task_id: str, body: bytes, now: datetime) -> dict[str, str]:
    """The signature headers of one try.

    Standard Webhooks knows several signatures side by side, one for each secret; KIE's header has room for the first.
    """
    timestamp = int(now.timestamp())
    return {
        "X-Webhook-Timestamp": str(timestamp),
        "X-Webhook-Signature": kie(secrets[0], task_id, timestamp),
        "webhook-id": delivery_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(Webhook(secret).sign(delivery_id, now, body.decode()) for secret in secrets),
    }
