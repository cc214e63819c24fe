"""The shape of every answer: ``{code, msg, data}``, and of a refused upload: ``{success, code, msg}``."""

from typing import Any, Literal

import msgspec

JSON = "application/json;charset=UTF-8"
"""Content type of the api paths, as recorded."""

UPLOAD_JSON = "application/json"
"""Content type of the upload paths, as recorded."""


class Envelope(msgspec.Struct, frozen=True):
    code: int
    msg: str
    data: Any = None


class UploadError(msgspec.Struct, frozen=True, kw_only=True):
    success: Literal[False] = False
    code: int
    msg: str


class TaskCreated(msgspec.Struct, frozen=True):
    taskId: str


encode = msgspec.json.Encoder().encode


def ok(data: object) -> bytes:
    return encode(Envelope(200, "success", data))


def refusal(code: int, msg: str) -> bytes:
    return encode(Envelope(code, msg))
