"""The one border where our errors become answers.

On the api paths a refusal is HTTP 200 with its code in the body; over the rate limit it is HTTP 429, an unknown path
HTTP 404, a fault of ours HTTP 500. On the upload paths the HTTP status is real and the body has no data key.
"""

import math

import structlog
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap

from tessera.api.http import UPLOADS, HttpRequest, HttpResponse, TooLarge, answer
from tessera.contract.envelope import UPLOAD_JSON, UploadError, encode, refusal
from tessera.domain.errors import (
    IdempotencyConflict,
    InsufficientCredits,
    Invalid,
    KeyCapReached,
    NoProvider,
    NotFound,
    Overloaded,
    RateLimited,
    Refusal,
    StorageError,
    Unauthorized,
    Unreadable,
)
from tessera.kit.outbound import OutboundError

log = structlog.get_logger(__name__)

CODES: tuple[tuple[type[Refusal], int], ...] = (
    (Unreadable, 400),
    (TooLarge, 400),
    (Invalid, 422),
    (Unauthorized, 401),
    (InsufficientCredits, 402),
    (KeyCapReached, 433),
    (RateLimited, 429),
    (IdempotencyConflict, 422),
    (NotFound, 422),
    (NoProvider, 505),
    (Overloaded, 550),
)
"""The first line that fits decides."""

UPLOAD_CODES = {422: 400}
"""On the upload paths an unusable field is a 400."""

LINK_CODES = {400: 422}
"""On the download-url paths 400 is no documented code: there a body that cannot be read is one more wrong field."""

NATIVE = "/v1/"
NATIVE_STATUS = {433: 403, 505: 501, 550: 503}
"""HTTP statuses for the codes that HTTP does not know."""

CORS = {"Access-Control-Allow-Origin": "*"}


def code_of(error: Refusal) -> int:
    return next((code for kind, code in CODES if isinstance(error, kind)), 500)


def refused(request: HttpRequest, error: Refusal) -> HttpResponse:
    code = code_of(error)
    headers = {"Connection": "close"} if isinstance(error, TooLarge) else {}
    if isinstance(error, RateLimited):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after.total_seconds())))
    if request.url.path in UPLOADS:
        code = UPLOAD_CODES.get(code, code)
        return _upload(code, _upload_text(error), code, headers)
    if request.url.path.endswith("/download-url"):
        code = LINK_CODES.get(code, code)
    if request.url.path.startswith(NATIVE):
        code = 404 if isinstance(error, NotFound) else code
        return answer(refusal(code, str(error)), status=NATIVE_STATUS.get(code, code), headers=headers)
    return answer(refusal(code, str(error)), status=429 if code == 429 else 200, headers=headers)


def failed(request: HttpRequest, error: Exception) -> HttpResponse:
    """A fault of ours: told to the log in full and to the caller in two words."""
    log.error("request failed", path=request.url.path, exc_info=error)
    text = "Internal server error" if request.url.path in UPLOADS else "Server error"
    return _plain(request, 500, text)


def http(request: HttpRequest, error: HTTPException) -> HttpResponse:
    """What the framework refuses: an unknown path, a wrong method."""
    text = {404: "Not Found", 405: "Method not allowed"}.get(error.status_code, "Bad request")
    return _plain(request, error.status_code, text, headers=dict(error.headers or {}))


def _plain(request: HttpRequest, code: int, text: str, headers: dict[str, str] | None = None) -> HttpResponse:
    if request.url.path in UPLOADS:
        return _upload(code, text, code, headers or {})
    return answer(refusal(code, text), status=code, headers=headers)


def _upload(code: int, text: str, status: int, headers: dict[str, str]) -> HttpResponse:
    body = encode(UploadError(code=code, msg=text))
    return answer(body, status=status, media_type=UPLOAD_JSON, headers={**CORS, **headers})


def _upload_text(error: Refusal) -> str:
    if isinstance(error, Unauthorized):
        return f"Authentication failed: Invalid API Key ({error})"
    if isinstance(error, Invalid) and error.field and str(error).endswith("is required"):
        return f"Missing required parameter: {error.field}"
    return str(error)


HANDLERS: ExceptionHandlersMap = {
    Refusal: refused,
    HTTPException: http,
    StorageError: failed,
    OutboundError: failed,
    Exception: failed,
}
