"""A watermark: the words that a caller wants to see on the picture, in its upper right corner."""

from PIL import Image

from tessera.providers.sandbox.lettering import measure, wrap, write

_STRENGTH = 0.8


def stamp(image: Image.Image, text: str) -> None:
    """Write a text over the picture, light with a dark shadow, so that it is seen on every ground."""
    size = max(7.0, min((image.width * image.height) ** 0.5 * 0.034, image.width * 0.09, image.height * 0.3))
    (line,) = wrap(text, size, image.width * 0.7, 1)
    margin = size * 0.8
    x, y = image.width - margin - measure(line, size), margin
    marked = image.copy()
    for step, color in ((max(1.0, size / 14), (8, 10, 16)), (0.0, (255, 255, 255))):
        write(marked, (x + step, y + step), line, size, color)
    box = (0, 0, image.width, min(image.height, round(y + size * 1.6)))
    image.paste(Image.blend(image.crop(box), marked.crop(box), _STRENGTH), box)
