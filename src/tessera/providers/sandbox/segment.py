"""Segments of a picture: its subjects and its ground, each as a mask that is black where it lies."""

from pathlib import Path

import numpy as np
from PIL import Image

from tessera.providers.sandbox.background import cut, regions
from tessera.providers.sandbox.edit import load

MOST = 4
"""Subjects that are told apart; the smallest of more go with the ground."""

_WORK = 512
_SMALLEST = 0.004
"""A subject is at least this share of the picture."""


def segments(path: Path, folder: Path) -> list[tuple[Path, str]]:
    """Masks in the size of the picture, each with a name; the ground is the last. Raises BadPictureError, OSError."""
    picture = load(path)
    small = picture.copy()
    small.thumbnail((_WORK, _WORK), Image.Resampling.BOX)
    subject = np.asarray(cut(small).getchannel("A")) > 127
    labels, count = regions(subject)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    large = [index for index in range(1, count + 1) if sizes[index] >= subject.size * _SMALLEST]
    found = sorted(large, key=lambda index: -int(sizes[index]))
    parts = [labels == index for index in found[:MOST]]
    ground = ~np.any(parts, axis=0) if parts else np.ones_like(subject)
    named = [(part, f"subject {index + 1}") for index, part in enumerate(parts)]
    if ground.any():
        named.append((ground, "ground"))
    written = []
    for index, (part, name) in enumerate(named):
        mask = Image.fromarray(np.where(part, 0, 255).astype(np.uint8)).resize(picture.size, Image.Resampling.NEAREST)
        out = folder / f"sandbox-segment-{index + 1}.png"
        mask.save(out, "PNG")
        written.append((out, name))
    return written
