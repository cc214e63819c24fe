"""Uploads and direct links on the wire. Names are theirs."""

from typing import Literal

import msgspec


class DownloadUrl(msgspec.Struct, frozen=True):
    """Body of ``POST /api/v1/common/download-url``."""

    url: str


class Base64Upload(msgspec.Struct, frozen=True, kw_only=True):
    base64Data: str
    uploadPath: str
    fileName: str | None = None


class UrlUpload(msgspec.Struct, frozen=True, kw_only=True):
    fileUrl: str
    uploadPath: str
    fileName: str | None = None


class UploadResult(msgspec.Struct, frozen=True, kw_only=True):
    """``fileUrl``, ``expiresAt`` and the rest of the quickstart's names are sent beside the recorded ones."""

    success: Literal[True] = True
    fileName: str
    filePath: str
    downloadUrl: str
    fileUrl: str
    fileSize: int
    mimeType: str
    uploadedAt: str
    uploadTime: str
    expiresAt: str
    uploadPath: str
    originalName: str
    fileId: str


class Uploaded(msgspec.Struct, frozen=True, kw_only=True):
    success: Literal[True] = True
    code: Literal[200] = 200
    msg: Literal["File uploaded successfully"] = "File uploaded successfully"
    data: UploadResult
