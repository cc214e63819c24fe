"""The one border where our errors become answers.

On the api paths a refusal is HTTP 200 with its code in the body; over the rate limit it is HTTP 429, an unknown path
HTTP 404, a fault of ours HTTP 500. On the upload paths the HTTP status is real and the body has no data key. Where
files are served an object store would answer in XML, and so do we.
"""

import math
from collections.abc import Mapping

import structlog
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap

from tessera.api import chat, watch
from tessera.api.files import GONE, problem
from tessera.api.http import UPLOADS, HttpRequest, HttpResponse, TooLarge, TooSlow, answer
from tessera.contract.envelope import UPLOAD_JSON, UploadError, encode, refusal
from tessera.domain.account import NOT_ALLOWED
from tessera.domain.errors import (
    IdempotencyConflict,
    InsufficientCredits,
    Invalid,
    KeyCapReached,
    NoProvider,
    NotFound,
    RateLimited,
    Refusal,
    StorageError,
    Unauthorized,
    Unreadable,
)
from tessera.kit.outbound import OutboundError
from tessera.wiring import BUCKET

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

FILES = ("/files/", f"/{BUCKET}/")
FILE_FAULTS = {
    400: ("InvalidRequest", "The request is not valid"),
    404: ("NoSuchKey", GONE),
    405: ("MethodNotAllowed", "The specified method is not allowed against this resource"),
    500: ("InternalError", "We encountered an internal error. Please try again"),
}
"""Status of a refusal on the file paths to code and message, as object stores put them."""

BAD = "Bad request"
TEXTS = {404: "Not Found", 405: "Method not allowed", 500: "Server error"}


def code_of(error: Refusal) -> int:
    return next((code for kind, code in CODES if isinstance(error, kind)), 500)


def refused(request: HttpRequest, error: Refusal) -> HttpResponse:
    code, headers = code_of(error), {}
    if isinstance(error, RateLimited):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after.total_seconds())))
    parting = isinstance(error, (TooLarge, TooSlow))
    path = request.url.path
    if path.startswith(FILES):
        return problem(404, "NoSuchKey", GONE) if isinstance(error, NotFound) else problem(400, *FILE_FAULTS[400])
    if path in UPLOADS:
        code = UPLOAD_CODES.get(code, code)
        return _upload(code, _upload_text(error), headers, parting=parting)
    if chat.here(request):
        return chat.refused(request, code, str(error), headers, parting=parting)
    if path.endswith("/download-url"):
        code = LINK_CODES.get(code, code)
    status = _status(path, error, code)
    watch.note(request.scope, code)
    return answer(refusal(code, str(error)), status=status, headers=headers, parting=parting)


def _status(path: str, error: Refusal, code: int) -> int:
    """The HTTP status of a refusal: real under ``/v1``, elsewhere 200 for all but the rate limit."""
    if not path.startswith(NATIVE):
        return 429 if code == 429 else 200
    return 404 if isinstance(error, NotFound) else NATIVE_STATUS.get(code, code)


def failed(request: HttpRequest, error: Exception) -> HttpResponse:
    """A fault of ours: told to the log in full and to the caller in two words."""
    # The template: a path of a file holds what opens it.
    log.error("request failed", route=request.scope.get("path_template"), exc_info=error)
    return _plain(request.url.path, 500, {})


def http(request: HttpRequest, error: HTTPException) -> HttpResponse:
    """What the framework refuses: an unknown path, a wrong method, a Host that is none."""
    return _plain(request.url.path, error.status_code, dict(error.headers or {}))


def _plain(path: str, status: int, headers: dict[str, str]) -> HttpResponse:
    if path.startswith(FILES):
        return problem(status, *FILE_FAULTS.get(status, FILE_FAULTS[400]), headers)
    if path in UPLOADS:
        return _upload(status, "Internal server error" if status == 500 else TEXTS.get(status, BAD), headers)
    return answer(refusal(status, TEXTS.get(status, BAD)), status=status, headers=headers)


def _upload(code: int, text: str, headers: Mapping[str, str], *, parting: bool = False) -> HttpResponse:
    body = encode(UploadError(code=code, msg=text))
    return answer(body, status=code, media_type=UPLOAD_JSON, headers={**CORS, **headers}, parting=parting)


def _upload_text(error: Refusal) -> str:
    if isinstance(error, Unauthorized):
        return f"Authentication failed: Invalid API Key ({str(error).removeprefix(f'{NOT_ALLOWED}: ')})"
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
