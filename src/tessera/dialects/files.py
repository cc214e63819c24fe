"""Uploads and the common download-url: bodies in, results out."""

from datetime import datetime, timedelta

from tessera.contract.files import Base64Upload, DownloadUrl, Uploaded, UploadResult, UrlUpload
from tessera.dialects.base import read
from tessera.domain.asset import Asset
from tessera.domain.errors import Invalid


def base64_body(body: bytes) -> Base64Upload:
    return read(Base64Upload, body)


def url_body(body: bytes) -> UrlUpload:
    return read(UrlUpload, body)


def wanted(body: bytes) -> str:
    """The URL of a common download-url body. Raises Invalid in the recorded words."""
    wire = read(DownloadUrl, body)
    if not wire.url.strip():
        raise Invalid("url is wrong", field="url")
    return wire.url


def too_old(kept: timedelta) -> str:
    """The recorded words for a file that is not kept any more."""
    unit, count = ("days", kept.days) if kept.days else ("hours", int(kept.total_seconds() // 3600))
    return f"Temporarily supports records within {count} {unit}"


def uploaded(asset: Asset, url: str, original: str, kept: timedelta) -> Uploaded:
    folder, _, name = asset.key.rpartition("/")
    return Uploaded(
        data=UploadResult(
            fileName=name,
            filePath=asset.key,
            downloadUrl=url,
            fileUrl=url,
            fileSize=asset.size,
            mimeType=asset.media_type,
            uploadedAt=_iso(asset.created_at),
            uploadTime=_iso(asset.created_at),
            expiresAt=_iso(asset.created_at + kept),
            uploadPath=folder.split("/", 2)[2],  # kieai/ACCOUNT/uploadPath
            originalName=original,
            fileId=asset.sha256[:32],
        )
    )


def _iso(moment: datetime) -> str:
    """UTC with milliseconds and Z."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
