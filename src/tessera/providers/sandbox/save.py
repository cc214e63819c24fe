"""Writing a picture file: in the wanted format, and with what it is inside of it, whatever the format."""

import json
from collections.abc import Mapping
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tessera.providers.sandbox.lettering import HONEST, LABEL

SUFFIXES: Mapping[str, str] = {"png": "png", "jpeg": "jpg", "webp": "webp"}

_DESCRIPTION, _SOFTWARE, _MORE, _COMMENT = 0x010E, 0x0131, 0x8769, 0x9286
"""Tags of EXIF; the comment lies in the part that the third one leads to."""

_LONGEST = 8000
"""Characters of a text in EXIF, which has 64 kB for everything."""

_LARGE = 3_000_000
"""Pixels from which on a PNG is packed in a hurry."""

_SIDE = 16_383
"""The longest side that WebP has."""


def save(image: Image.Image, path: Path, about: Mapping[str, str]) -> None:
    """Write the picture in the format that the suffix says; ``about`` becomes texts in the file.

    JPEG has no transparency: there it lies on white. Raises OSError.
    """
    part = path.with_suffix(".part")
    if path.suffix == ".png":
        level = 4 if image.width * image.height <= _LARGE else 1
        image.save(part, "PNG", pnginfo=_texts(about), compress_level=level)
    elif path.suffix == ".webp" and max(image.size) <= _SIDE:
        image.save(part, "WEBP", quality=88, method=2, exif=_exif(about))
    else:
        image = _flat(image)
        image.save(part, "JPEG", quality=92, subsampling=0, exif=_exif(about), comment=f"{LABEL}: {HONEST}")
    part.replace(path)


def _texts(about: Mapping[str, str]) -> PngInfo:
    """What is not Latin-1 becomes iTXt."""
    texts = PngInfo()
    for key, value in {**about, "Comment": f"{LABEL}: {HONEST}"}.items():
        texts.add_text(key, value.replace("\0", "").encode("utf-8", "replace").decode())
    return texts


def _exif(about: Mapping[str, str]) -> Image.Exif:
    """The facts as JSON in the comment, the label where every viewer shows it."""
    exif = Image.Exif()
    exif[_DESCRIPTION] = f"{LABEL}: {HONEST}"
    exif[_SOFTWARE] = "Tessera sandbox"
    facts = {key: value[:_LONGEST] for key, value in about.items()}
    exif.get_ifd(_MORE)[_COMMENT] = b"ASCII\0\0\0" + json.dumps(facts).encode()
    return exif


def _flat(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
