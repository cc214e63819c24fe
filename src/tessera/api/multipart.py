"""A multipart form as it arrives: its file goes to the disk, its few fields into memory, both under caps."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from tessera.api.http import TooLarge
from tessera.domain.errors import Invalid
from tessera.storage import blocking

if TYPE_CHECKING:
    # It exists for type checkers only.
    from python_multipart.multipart import MultipartCallbacks

FIELD_CAP = 8 * 1024
HEADER_CAP = 8 * 1024
MOST_PARTS = 16
BUFFER = 1024 * 1024


@dataclass(slots=True)
class Form:
    """``path`` is where the part named ``file`` lies; None when there was none."""

    fields: dict[str, str] = field(default_factory=dict)
    path: Path | None = None
    file_name: str | None = None
    media_type: str | None = None


@dataclass(slots=True)
class _Part:
    name: str
    file_name: str | None
    media_type: str | None
    data: bytearray = field(default_factory=bytearray)


async def receive(chunks: AsyncIterator[bytes], content_type: str, path: Path, *, file_cap: int) -> Form:
    """Read a form; its file is written to ``path``. Raises Invalid and TooLarge."""
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise Invalid("Content-Type: must be multipart/form-data with a boundary", field="Content-Type")
    reader = _Reader(path, file_cap)
    try:
        parser = MultipartParser(boundary, reader.callbacks(), max_header_size=HEADER_CAP)
        async for chunk in chunks:
            parser.write(chunk)
            if reader.pending >= BUFFER:
                await blocking.run(reader.flush)
        parser.finalize()
    except FormParserError as error:
        raise Invalid(f"The request body is not a valid multipart form ({error})") from error
    finally:
        await blocking.run(reader.close)
    if not reader.ended:
        raise Invalid("The request body ends in the middle of the form")
    return reader.form


class _Reader:
    """Takes the parser's events. The file's bytes gather in memory up to a buffer and are written beside the loop."""

    def __init__(self, path: Path, cap: int) -> None:
        self.form = Form()
        self.ended = False
        self._path = path
        self._cap = cap
        self._size = 0
        self._parts = 0
        self._buffer = bytearray()
        self._file: BinaryIO | None = None
        self._part: _Part | None = None
        self._name = bytearray()
        self._value = bytearray()
        self._headers: dict[bytes, bytes] = {}

    @property
    def pending(self) -> int:
        return len(self._buffer)

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    def flush(self) -> None:
        if self._file is None:
            self._file = self._path.open("wb")
        self._file.write(self._buffer)
        self._buffer.clear()

    def close(self) -> None:
        if self.form.path is not None:
            self.flush()
        if self._file is not None:
            self._file.close()

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise Invalid(f"The form has more than {MOST_PARTS} parts")
        self._headers = {}

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._headers[bytes(self._name).lower()] = bytes(self._value)
        self._name.clear()
        self._value.clear()

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        file_name = options.get(b"filename")
        media_type = self._headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()
        self._part = _Part(name, file_name.decode("utf-8", "replace") if file_name is not None else None, media_type)
        if name == "file":
            if self.form.path is not None:
                raise Invalid("file: has to be given once", field="file")
            self.form.path = self._path
            self.form.file_name, self.form.media_type = self._part.file_name, media_type

    def _data(self, data: bytes, start: int, end: int) -> None:
        part = self._part
        assert part is not None  # the parser tells of headers before data
        if part.name == "file":
            self._size += end - start
            if self._size > self._cap:
                raise TooLarge(self._cap, "file")
            self._buffer += data[start:end]
            return
        if len(part.data) + end - start > FIELD_CAP:
            raise Invalid(f"{part.name}: longer than {FIELD_CAP} bytes", field=part.name)
        part.data += data[start:end]

    def _end(self) -> None:
        part, self._part = self._part, None
        if part is not None and part.name and part.name != "file":
            try:
                self.form.fields[part.name] = part.data.decode()
            except UnicodeDecodeError as error:
                raise Invalid(f"{part.name}: is not UTF-8 text", field=part.name) from error

    def _finish(self) -> None:
        self.ended = True
