"""Bytes in and out, presigned URLs, provider output copied in under caps."""
