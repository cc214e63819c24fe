"""Everything that can go wrong, drawn once.

TesseraError
├── Refusal                  a caller's request that we will not serve; nothing was touched
│   ├── Invalid              a field is wrong (names the field and the rule)
│   │   └── Unreadable       the body is no JSON object
│   ├── Unauthorized         no key, a wrong, expired or revoked key, a foreign address
│   ├── InsufficientCredits  the balance does not cover the quote
│   ├── KeyCapReached        the key's own cap is used up
│   ├── RateLimited          too many new tasks in the window
│   ├── IdempotencyConflict  same key, other body
│   ├── NotFound             no such record, or not yours
│   └── NoProvider           nothing is configured that serves this model
├── ProviderError            how an upstream service says no
│   ├── Rejected             final: not accepted, and why
│   ├── Unavailable          surely not accepted; try again or elsewhere
│   ├── Ambiguous            perhaps accepted; look before you submit again
│   └── Failed               accepted, and its verdict is failure
├── InputError               an input file that cannot be used
├── StorageError             our own storage said no
└── ConfigError              a setting is wrong

Every message is a sentence for the person who reads it, and says what to do next where it can.
"""

from collections.abc import Mapping
from datetime import timedelta

from tessera.domain.task import Reason


class TesseraError(Exception):
    """The root of the tree."""


class Refusal(TesseraError):
    """The request is not served. Nothing was stored and nothing was charged."""


class Invalid(Refusal):
    """A field breaks a rule."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class Unreadable(Invalid):
    """The body cannot be read at all."""


class Unauthorized(Refusal):
    """You do not have access permissions"""


class InsufficientCredits(Refusal):
    """Credits insufficient"""


class KeyCapReached(Refusal):
    """The usage cap of this API key is reached"""


class RateLimited(Refusal):
    """Too many requests"""

    def __init__(self, message: str, *, retry_after: timedelta) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class IdempotencyConflict(Refusal):
    """This Idempotency-Key was used with another request; use a new key for a new request"""


class NotFound(Refusal):
    """The record does not exist"""


class NoProvider(Refusal):
    """No provider is configured for this model"""


class ProviderError(TesseraError):
    """An upstream service said no. ``detail`` is for operators and never leaves the house."""

    def __init__(self, message: str, *, detail: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.detail = dict(detail or {})


class Rejected(ProviderError):
    """Final: the provider did not accept the request.

    ``portable`` says that the cause lies with this provider (its key, its funds, its abilities), so that the next one
    of the route may be asked; a refusal of the content itself is not portable.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: Reason = Reason.PROVIDER,
        portable: bool = False,
        detail: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message, detail=detail)
        self.reason = reason
        self.portable = portable


class Unavailable(ProviderError):
    """Surely not accepted: nothing was sent, or the provider said so. Trying again is safe."""

    def __init__(
        self, message: str, *, retry_after: timedelta | None = None, detail: Mapping[str, object] | None = None
    ) -> None:
        super().__init__(message, detail=detail)
        self.retry_after = retry_after


class Ambiguous(ProviderError):
    """The request left the house and no answer came back. It may have been accepted, and charged."""


class Failed(ProviderError):
    """The provider accepted the request and its verdict is failure."""

    def __init__(
        self, message: str, *, reason: Reason = Reason.PROVIDER, detail: Mapping[str, object] | None = None
    ) -> None:
        super().__init__(message, detail=detail)
        self.reason = reason


class InputError(TesseraError):
    """An input file cannot be used; the task fails with ``reason`` and costs nothing."""

    def __init__(self, message: str, *, reason: Reason = Reason.INPUT_INVALID) -> None:
        super().__init__(message)
        self.reason = reason


class StorageError(TesseraError):
    """The object store refused or failed."""


class ConfigError(TesseraError):
    """A setting is wrong; the message names it."""
