"""The ordinary URLs of stored files: they cannot be guessed, and live as long as the file."""

import base64
import hmac
import re
from urllib.parse import quote, unquote, urlsplit

from tessera.domain.errors import ConfigError
from tessera.storage import names

TOKEN = 22
"""Characters of a token: 132 bits."""

_LONGEST = 8192
_PLAIN = re.compile(r"[0-9A-Za-z._/-]+", re.ASCII)


class Links:
    """Makes and reads URLs of the form ``{public_url}/files/{token}/{key}``.

    The token is a keyed hash of the key. A presigned link shows the same key but no token, so nobody gets from a
    link of twenty minutes to one that lasts.
    """

    def __init__(self, public_url: str, secret: bytes) -> None:
        if len(secret) < 16:
            raise ConfigError("The secret of file links needs at least 16 bytes")
        self._base = names.base_url(public_url)
        self._ours = f"{self._base}/files/"
        self._path = f"{urlsplit(self._base).path}/files/"
        self._secret = secret

    def url(self, key: str) -> str:
        return f"{self._ours}{self._token(key)}/{quote(key, safe='/')}"

    def check(self, token: str, key: str) -> bool:
        """Whether the token is the one of this key. Takes the same time for every wrong token."""
        return hmac.compare_digest(token.encode(errors="replace"), self._token(key).encode())

    def key(self, url: str) -> str | None:
        """The key that a URL of ours stands for, with or without a query or fragment; None for any other."""
        if len(url) > _LONGEST or not url.isprintable() or " " in url:
            return None
        if url.startswith(self._ours):
            token, _, key = url.removeprefix(self._ours).partition("/")
            # Nothing to unescape and nothing behind it, so this is the only reading.
            if _PLAIN.fullmatch(key):
                return key if self.check(token, key) else None
        try:
            parts = urlsplit(url)
            origin = names.base_url(f"{parts.scheme}://{parts.netloc}")
            token, _, key = unquote(parts.path.removeprefix(self._path), errors="strict").partition("/")
        except (ValueError, ConfigError):
            return None
        ours = f"{origin}{self._path}" == self._ours and parts.path.startswith(self._path)
        return key if ours and self.check(token, key) else None

    def _token(self, key: str) -> str:
        digest = hmac.digest(self._secret, key.encode(errors="surrogatepass"), "sha256")
        return base64.urlsafe_b64encode(digest)[:TOKEN].decode()
