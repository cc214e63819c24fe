"""The sandbox's picture files: formats, sizes, marks; pictures made larger, and pictures freed of their ground."""

import json
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageStat

from tessera.domain.errors import Rejected
from tessera.domain.task import ImageRequest, Reason
from tessera.kit.cpu import Crew
from tessera.providers.base import Done, InputFile, Job, LocalFile
from tessera.providers.sandbox import Sandbox, art, background, edit
from tessera.providers.sandbox.render import MOST, Order, check, render
from tessera.providers.sandbox.stamp import stamp
from tessera.providers.sandbox.upscale import target, upscale

HONEST = "TESSERA SANDBOX: not a model output"
SMALL: dict[str, Any] = {"width": 240, "height": 180}


def order(folder: Path, prompt: str = "a quiet harbour 港口", **fields: Any) -> Order:
    plain: dict[str, object] = {"seed": 5, "ratio": "1:1", "count": 1, "model": "flux", "enhance": False}
    return Order(prompt=prompt, folder=folder, **(plain | fields))  # type: ignore[arg-type]


def opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
        return image


def photo(size: tuple[int, int] = (320, 240)) -> Image.Image:
    """A picture with smooth and sharp parts and no symmetry."""
    image = Image.merge("RGB", [Image.linear_gradient("L").rotate(turn).resize(size) for turn in (0, 90, 180)])
    draw = ImageDraw.Draw(image)
    draw.ellipse((size[0] * 0.2, size[1] * 0.2, size[0] * 0.5, size[1] * 0.7), fill=(220, 40, 60))
    draw.line((0, 0, *size), fill=(250, 250, 250), width=3)
    return image


def saved(folder: Path, image: Image.Image, name: str = "given.png") -> Path:
    image.save(folder / name)
    return folder / name


def differ(first: Image.Image, second: Image.Image) -> float:
    """The mean difference of two pictures of one size, 0..255."""
    means = ImageStat.Stat(ImageChops.difference(first.convert("RGB"), second.convert("RGB"))).mean
    return sum(means) / len(means)


# Formats


@pytest.mark.parametrize(("kind", "suffix"), [("png", ".png"), ("jpeg", ".jpg"), ("webp", ".webp")])
def test_a_file_has_the_format_that_was_asked_for_and_the_same_bytes_again(
    tmp_path: Path, kind: str, suffix: str
) -> None:
    path = render(order(tmp_path, format=kind, **SMALL), 0)
    first = path.read_bytes()
    assert path.suffix == suffix
    assert (opened(path).format, opened(path).size) == (kind.upper(), (240, 180))
    assert render(order(tmp_path, format=kind, **SMALL), 0).read_bytes() == first
    assert sorted(tmp_path.iterdir()) == [path], "nothing half-written stays"


@pytest.mark.parametrize("kind", ["jpeg", "webp"])
@pytest.mark.parametrize("prompt", ["a quiet harbour 港口", "", "字" * 20_000])
def test_what_a_file_is_stands_in_it_whatever_its_format(tmp_path: Path, kind: str, prompt: str) -> None:
    image = opened(render(order(tmp_path, prompt, format=kind, count=2, **SMALL), 1))
    exif = image.getexif()
    assert exif[0x010E] == HONEST
    comment = exif.get_ifd(0x8769)[0x9286]
    facts = json.loads(comment.removeprefix(b"ASCII\0\0\0"))
    assert facts == {
        "prompt": prompt[:8000],
        "seed": "5",
        "model": "sandbox",
        "upstream-model": "flux",
        "operation": "image.generate",
        "variant": "2/2",
        "ratio": "1:1",
    }
    if kind == "jpeg":
        assert image.info["comment"] == HONEST.encode()


def test_formats_differ_in_their_coding_only(tmp_path: Path) -> None:
    png, jpeg, webp = (opened(render(order(tmp_path, format=kind, **SMALL), 0)) for kind in ("png", "jpeg", "webp"))
    assert 0 < differ(png, jpeg) < 6
    assert 0 < differ(png, webp) < 6


# Sizes


@pytest.mark.parametrize(
    ("asked", "size"),
    [
        ({}, (1024, 1024)),
        ({"ratio": "21:9"}, (1568, 672)),
        ({"ratio": "9:21"}, (672, 1568)),
        ({"ratio": "16:21"}, (896, 1168)),
        ({"ratio": "16:9", "resolution": "1K"}, (1360, 768)),
        ({"resolution": "2K"}, (2048, 2048)),
        ({"ratio": "16:9", "resolution": "4K"}, (5456, 3072)),
        ({"ratio": "16:9", "resolution": "1080p"}, (1920, 1080)),
        ({"ratio": "9:16", "resolution": "720p"}, (720, 1280)),
        ({"resolution": "4 MP"}, (2048, 2048)),
        ({"resolution": "0.5k"}, (512, 512)),
        ({"width": 1000, "height": 333}, (1000, 333)),
        ({"width": 1000, "ratio": "2:1"}, (1000, 500)),
        ({"height": 1000, "ratio": "2:1"}, (2000, 1000)),
        ({"width": 640, "height": 480, "resolution": "4K"}, (640, 480)),
        ({"ratio": "auto"}, (1024, 1024)),
        ({"ratio": "auto", "source": (400, 300)}, (1184, 880)),
        ({"ratio": "auto", "source": (400, 300), "resolution": "2K"}, (2368, 1776)),
        ({"ratio": "auto", "source": (100_000, 10)}, (2896, 368)),
    ],
)
def test_a_size_follows_from_all_that_a_request_says(asked: dict[str, object], size: tuple[int, int]) -> None:
    ratio = str(asked.get("ratio", "1:1"))
    rest = {name: value for name, value in asked.items() if name != "ratio"}
    assert art.extent(ratio, **rest) == size  # type: ignore[arg-type]


@pytest.mark.parametrize("resolution", ["", "K", "0K", "-2K", "large", "2KK", "９K", "1080", "999999p"])
def test_what_is_no_resolution_is_refused(resolution: str) -> None:
    with pytest.raises(ValueError, match="is not a resolution"):
        art.extent("1:1", resolution)


@pytest.mark.parametrize("asked", [{"width": 0}, {"height": -5}, {"width": 10, "height": 0}])
def test_a_picture_without_pixels_is_refused(asked: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="pixels is none"):
        art.extent("1:1", **asked)  # type: ignore[arg-type]


def test_a_large_picture_is_the_small_one_enlarged() -> None:
    sizes: list[tuple[int, int]] = []

    def make(size: tuple[int, int]) -> Image.Image:
        sizes.append(size)
        return photo(size)

    large = art.enlarged(make, (4096, 2048))
    assert large.size == (4096, 2048)
    assert len(sizes) == 1
    assert math.prod(sizes[0]) <= art.ENOUGH * 1.01
    assert differ(large.resize((320, 160)), photo((320, 160))) < 8
    assert art.enlarged(make, (64, 48)).size == sizes[-1] == (64, 48)


@pytest.mark.parametrize("ratio", ["21:9", "9:21", "16:21"])
def test_every_ratio_of_the_families_is_drawn(tmp_path: Path, ratio: str) -> None:
    path = render(order(tmp_path, ratio=ratio, format="jpeg"), 0)
    across, down = map(int, ratio.split(":"))
    wide, high = opened(path).size
    assert wide / high == pytest.approx(across / down, rel=0.02)


@pytest.mark.parametrize("size", [(16, 16), (64, 64), (300, 40), (159, 900)])
def test_the_smallest_pictures_are_drawn_and_marked(tmp_path: Path, size: tuple[int, int]) -> None:
    path = render(order(tmp_path, width=size[0], height=size[1], watermark="© a very long mark indeed"), 0)
    assert opened(path).size == size
    assert opened(path).info["Comment"] == HONEST


def test_auto_is_the_ratio_of_the_first_picture(tmp_path: Path) -> None:
    images = (saved(tmp_path, photo((200, 100))), saved(tmp_path, photo((50, 90)), "second.png"))
    wide, high = opened(render(order(tmp_path, ratio="auto", images=images), 0)).size
    assert wide / high == pytest.approx(2, rel=0.02)
    assert 0.9 < wide * high / 1024**2 < 1.1


def test_a_masked_edit_of_its_own_size_keeps_every_pixel_outside(tmp_path: Path) -> None:
    picture = photo((301, 203))
    mask = Image.new("L", picture.size, 255)
    mask.paste(0, (100, 100, 200, 180))
    given = order(tmp_path, ratio="auto", images=(saved(tmp_path, picture),), mask=saved(tmp_path, mask, "mask.png"))
    result = opened(render(given, 0))
    assert result.size == (301, 203)
    assert ImageChops.difference(result.convert("RGB"), picture).getbbox() == (100, 100, 200, 180)


# Watermarks


@pytest.mark.parametrize("ground", ["white", "black", "gray", "red"])
@pytest.mark.parametrize("size", [(1024, 1024), (200, 100), (672, 1568)])
def test_a_watermark_is_seen_on_every_ground_and_touches_its_corner_only(size: tuple[int, int], ground: str) -> None:
    plain = Image.new("RGB", size, ground)
    marked = plain.copy()
    stamp(marked, "© me")
    changed = ImageChops.difference(plain, marked).convert("L").point(lambda v: 255 if v > 40 else 0)
    box = changed.getbbox()
    assert box is not None
    assert box[0] > size[0] / 2
    assert box[3] < size[1] / 2
    assert changed.histogram()[255] > 20


def test_a_watermark_too_long_is_cut_and_its_file_says_nothing_less(tmp_path: Path) -> None:
    bare = opened(render(order(tmp_path, **SMALL), 0))
    marked = opened(render(order(tmp_path, watermark="word " * 40, **SMALL), 0))
    box = ImageChops.difference(bare, marked).getbbox()
    assert box is not None
    assert box[0] > 0.2 * 240
    assert marked.info["Comment"] == HONEST


# Larger pictures


@pytest.mark.parametrize(
    ("source", "scale", "resolution", "size"),
    [
        ((100, 50), None, None, (200, 100)),
        ((100, 50), 4.0, None, (400, 200)),
        ((100, 50), 1.5, None, (150, 75)),
        ((100, 50), 3.0, "4K", (300, 150)),
        ((100, 50), 0.5, None, (100, 50)),
        ((512, 512), None, "1K", (1024, 1024)),
        ((100, 400), None, "2K", (1024, 4096)),
        ((4000, 3000), None, "1K", (4000, 3000)),
    ],
)
def test_a_picture_is_made_larger_and_never_smaller(
    source: tuple[int, int], scale: float | None, resolution: str | None, size: tuple[int, int]
) -> None:
    assert target(source, scale, resolution) == size


@pytest.mark.parametrize("scale", [0, -1, math.nan, math.inf])
def test_a_scale_that_makes_no_sense_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match="cannot be scaled"):
        target((10, 10), scale, None)


def test_an_upscale_is_the_picture_itself_and_sharper_than_plain_enlarging() -> None:
    picture = photo()
    large = upscale(picture, (1280, 960))
    assert large.size == (1280, 960)
    assert differ(large.resize(picture.size, Image.Resampling.BOX), picture) < 3
    plain = picture.resize((1280, 960), Image.Resampling.BICUBIC)

    def edges(image: Image.Image) -> float:
        return ImageStat.Stat(image.convert("L").filter(ImageFilter.FIND_EDGES)).mean[0]

    assert edges(large) > 1.15 * edges(plain)


def test_an_upscale_writes_nothing_over_the_picture_and_is_labelled_in_the_file(tmp_path: Path) -> None:
    given = saved(tmp_path, Image.new("RGB", (300, 200), (30, 90, 160)))
    path = render(order(tmp_path, operation="image.upscale", images=(given,), scale=2.0), 0)
    image = opened(path)
    assert image.getextrema() == ((30, 30), (90, 90), (160, 160))
    assert image.size == (600, 400)
    assert (image.info["Comment"], image.info["operation"]) == (HONEST, "image.upscale")


def test_an_upscale_keeps_what_is_transparent(tmp_path: Path) -> None:
    sheet = Image.new("RGBA", (40, 40), (200, 10, 10, 255))
    sheet.paste((0, 0, 0, 0), (0, 0, 20, 40))
    image = opened(render(order(tmp_path, operation="image.upscale", images=(saved(tmp_path, sheet),)), 0))
    assert image.mode == "RGBA"
    assert image.getpixel((5, 40)) == (0, 0, 0, 0)
    assert image.getpixel((75, 40)) == (200, 10, 10, 255)
    flat = opened(
        render(order(tmp_path, operation="image.upscale", images=(saved(tmp_path, sheet),), format="jpeg"), 0)
    )
    assert flat.mode == "RGB"
    assert min(flat.getpixel((5, 40))) > 245  # type: ignore[arg-type]


def test_an_upscale_uses_all_pixels_of_a_large_jpeg(tmp_path: Path) -> None:
    given = saved(tmp_path, Image.new("RGB", (7000, 100), "teal"), "wide.jpg")
    assert check(order(tmp_path, operation="image.upscale", images=(given,))) == (14_000, 200)


# Subjects without their ground


def disc(size: tuple[int, int], ground: Image.Image, subject: Image.Image) -> tuple[Image.Image, Image.Image]:
    """A subject, a round one, before a ground; and how much of each pixel is the subject's."""
    share = Image.new("L", (size[0] * 4, size[1] * 4))
    box = (size[0] * 1.2, size[1] * 0.8, size[0] * 2.8, size[1] * 3.2)
    ImageDraw.Draw(share).ellipse(box, fill=255)
    share = share.reduce(4)
    return Image.composite(subject, ground, share), share


def flat(color: tuple[int, int, int], size: tuple[int, int] = (320, 240)) -> Image.Image:
    return Image.new("RGB", size, color)


def fading(size: tuple[int, int] = (320, 240)) -> Image.Image:
    slope = Image.linear_gradient("L").resize(size)
    return Image.merge(
        "RGB",
        [
            slope.point(lambda v: 130 + v // 3),
            slope.point(lambda v: 170 + v // 5),
            flat((0, 0, 215), size).getchannel("B"),
        ],
    )


def vignette(size: tuple[int, int] = (320, 240)) -> Image.Image:
    edge = Image.radial_gradient("L").resize(size).point(lambda v: 235 - v // 4)
    return Image.merge("RGB", [edge, edge, edge])


def room(size: tuple[int, int] = (320, 240)) -> Image.Image:
    """A wall and a floor."""
    image = flat((235, 232, 225), size)
    ImageDraw.Draw(image).rectangle((0, size[1] * 0.66, *size), fill=(150, 110, 80))
    return image


GROUNDS = {
    "white": flat((255, 255, 255)),
    "black": flat((0, 0, 0)),
    "green": flat((20, 200, 60)),
    "fading": fading(),
    "vignette": vignette(),
    "room": room(),
}


def grainy(image: Image.Image, amount: float) -> Image.Image:
    noise = np.random.default_rng(3).normal(0, amount, (*image.size[::-1], 3))
    return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))


@pytest.mark.parametrize("grain", [0.0, 3.0])
@pytest.mark.parametrize("ground", GROUNDS)
def test_a_subject_is_freed_of_a_simple_ground(ground: str, grain: float) -> None:
    picture, share = disc((320, 240), GROUNDS[ground], flat((190, 50, 40)))
    alpha = background.cut(grainy(picture, grain)).getchannel("A")
    subject = share.point(lambda v: 255 if v == 255 else 0).filter(ImageFilter.MinFilter(5))
    outside = share.point(lambda v: 255 if v == 0 else 0).filter(ImageFilter.MinFilter(9))
    assert ImageStat.Stat(alpha, subject).mean[0] > 252
    assert ImageStat.Stat(alpha, outside).mean[0] < 1
    assert ImageStat.Stat(ImageChops.difference(alpha, share)).mean[0] < 2


def test_the_edge_is_as_soft_as_it_was() -> None:
    picture, share = disc((320, 240), flat((255, 255, 255)), flat((20, 40, 120)))
    alpha = background.cut(picture).getchannel("A")
    edge = share.point(lambda v: 255 if 40 < v < 215 else 0)
    assert edge.histogram()[255] > 100
    assert ImageStat.Stat(ImageChops.difference(alpha, share), edge).mean[0] < 30
    soft = sum(alpha.histogram()[20:235])
    assert soft > 0.7 * edge.histogram()[255]


def test_the_edge_is_free_of_the_grounds_colour() -> None:
    picture, _ = disc((320, 240), flat((0, 255, 0)), flat((200, 30, 30)))
    cut = np.asarray(background.cut(picture)).astype(int)
    edge = (cut[..., 3] > 60) & (cut[..., 3] < 250)
    assert edge.sum() > 50
    before = np.asarray(picture).astype(int)
    assert (before[edge][:, 1] - before[edge][:, 0]).mean() > -120
    assert (cut[edge][:, 1] - cut[edge][:, 0]).mean() < -120, "red, and no green fringe"


def test_a_subject_of_the_grounds_colour_inside_is_kept() -> None:
    picture, _ = disc((320, 240), flat((255, 255, 255)), flat((20, 40, 120)))
    ImageDraw.Draw(picture).ellipse((140, 100, 180, 140), fill="white")
    alpha = background.cut(picture).getchannel("A")
    assert alpha.getpixel((160, 120)) == 255


def test_a_subject_that_touches_the_rim_stays() -> None:
    picture = room()
    ImageDraw.Draw(picture).rectangle((140, 60, 180, 240), fill=(40, 60, 160))
    alpha = background.cut(picture).getchannel("A")
    assert alpha.getpixel((160, 239)) == alpha.getpixel((160, 100)) == 255
    assert alpha.getpixel((20, 20)) == alpha.getpixel((20, 230)) == 0


def test_dust_is_swept_away() -> None:
    picture, _ = disc((320, 240), flat((255, 255, 255)), flat((20, 40, 120)))
    for x in range(10, 310, 50):
        picture.paste((90, 90, 90), (x, 8, x + 3, 11))
    alpha = background.cut(picture).getchannel("A")
    assert alpha.crop((0, 0, 320, 20)).getextrema() == (0, 0)


def test_what_was_transparent_stays_so() -> None:
    picture, share = disc((320, 240), flat((255, 255, 255)), flat((20, 40, 120)))
    picture.putalpha(share.point(lambda v: v // 2))
    alpha = background.cut(picture).getchannel("A")
    assert alpha.getpixel((160, 120)) == 127
    assert alpha.getpixel((5, 5)) == 0


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (1, 400), (7, 7)])
@pytest.mark.parametrize("color", ["white", "red"])
def test_the_smallest_picture_can_be_worked_on(size: tuple[int, int], color: str) -> None:
    assert background.cut(Image.new("RGB", size, color)).size == size


def test_connected_parts_are_numbered_each_on_its_own() -> None:
    drawn = ["##..#", "#..##", "....#", "###..", "#.#.#", "###.#"]
    mask = np.array([[char == "#" for char in row] for row in drawn])
    labels, count = background.regions(mask)
    assert count == 4
    assert ((labels > 0) == mask).all()
    parts = {tuple(sorted(zip(*np.nonzero(labels == number), strict=True))) for number in range(1, count + 1)}
    assert {len(part) for part in parts} == {3, 4, 8, 2}
    for part in parts:
        reached, ahead = {part[0]}, [part[0]]
        while ahead:
            y, x = ahead.pop()
            near = {(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)} & set(part) - reached
            reached |= near
            ahead += near
        assert reached == set(part)


def test_colours_go_to_oklab_and_back() -> None:
    rgb = np.array([[[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.2, 0.5, 0.9], [0.9, 0.1, 0.1]]], np.float32)
    lab = background.oklab(rgb)
    assert lab[0, 1] == pytest.approx([1, 0, 0], abs=1e-3)
    assert background.srgb(lab) == pytest.approx(rgb, abs=2e-3)


@pytest.mark.parametrize(("kind", "found"), [("png", "PNG"), ("jpeg", "PNG"), ("webp", "WEBP")])
def test_a_freed_subject_is_a_file_with_alpha_the_same_each_time(tmp_path: Path, kind: str, found: str) -> None:
    picture, _ = disc((320, 240), fading(), flat((190, 50, 40)))
    given = order(tmp_path, operation="image.background", images=(saved(tmp_path, picture, "in.png"),), format=kind)
    path = render(given, 0)
    first = path.read_bytes()
    image = opened(path)
    assert (image.format, image.mode, image.size) == (found, "RGBA", (320, 240))
    assert image.getchannel("A").getextrema() == (0, 255)
    assert render(given, 0).read_bytes() == first


# The sandbox's own words


@dataclass
class Clock:
    now: datetime = field(default_factory=lambda: datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
async def crew() -> AsyncIterator[Crew]:
    crew = Crew(1)
    yield crew
    await crew.close()


def job(folder: Path, operation: str, *paths: Path, **fields: object) -> Job:
    files = tuple(InputFile(path=path, media_type="image/png", size=path.stat().st_size) for path in paths)
    request = ImageRequest(prompt="", **fields)  # type: ignore[arg-type]
    return Job(
        task_id="t", idempotency_key="k", model="m", request=request, workdir=folder, operation=operation, files=files
    )


@pytest.mark.parametrize(
    ("operation", "fields", "words"),
    [
        ("image.upscale", {"scale": 40.0}, "12000 x 8000 pixels are more than 50,000,000"),
        ("image.upscale", {"scale": -1.0}, "cannot be scaled by -1.0"),
        ("image.upscale", {"resolution": "huge"}, "'huge' is not a resolution"),
        ("image.edit", {"resolution": "9K"}, "are more than 50,000,000"),
        ("image.edit", {"width": 100_000, "height": 100_000}, "are more than 50,000,000"),
        ("image.edit", {"ratio": "wide"}, "'wide' is not a ratio"),
    ],
)
async def test_a_size_that_cannot_be_made_is_refused_with_its_reason(
    *, crew: Crew, tmp_path: Path, operation: str, fields: dict[str, object], words: str
) -> None:
    given = saved(tmp_path, photo((300, 200)))
    with pytest.raises(Rejected, match=words) as caught:
        await Sandbox(Clock(), crew).submit(job(tmp_path, operation, given, **fields))
    assert caught.value.reason is Reason.INPUT_INVALID


@pytest.mark.parametrize(
    ("operation", "fields", "words"),
    [
        ("image.upscale", {}, "no picture"),
        ("image.background", {}, "no picture"),
        ("image.generate", {"width": 9000, "height": 9000}, "9000 x 9000 pixels are more"),
        ("image.generate", {"width": 0}, "is none"),
    ],
)
async def test_what_needs_no_look_at_a_file_is_refused_without_one(
    *, crew: Crew, tmp_path: Path, operation: str, fields: dict[str, object], words: str
) -> None:
    with pytest.raises(Rejected, match=words):
        await Sandbox(Clock(), crew).submit(job(tmp_path, operation, **fields))


@pytest.mark.parametrize(
    ("operation", "fields", "size", "mode"),
    [
        ("image.upscale", {"scale": 2.0}, (600, 400), "RGB"),
        ("image.background", {}, (300, 200), "RGBA"),
        ("image.edit", {"ratio": "auto", "width": 200, "height": 200, "watermark": "me"}, (200, 200), "RGB"),
    ],
)
async def test_the_sandbox_makes_what_was_asked_in_a_child(
    *, crew: Crew, tmp_path: Path, operation: str, fields: dict[str, object], size: tuple[int, int], mode: str
) -> None:
    mine = job(tmp_path, operation, saved(tmp_path, photo((300, 200))), **fields)
    sandbox = Sandbox(Clock(), crew, duration=timedelta(0))
    receipt = await sandbox.submit(mine)
    done = await sandbox.poll(
        Job(**{name: getattr(mine, name) for name in mine.__slots__} | {"upstream_id": receipt.upstream_id})
    )
    assert isinstance(done, Done)
    (output,) = done.outputs
    assert isinstance(output, LocalFile)
    assert (opened(output.path).size, opened(output.path).mode) == (size, mode)


def test_the_largest_picture_can_be_read_again() -> None:
    assert MOST <= edit.MOST
