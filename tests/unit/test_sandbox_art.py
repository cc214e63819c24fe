"""The pictures of the sandbox: the same ones for the same request, of the asked size, and honest about themselves."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageDraw, ImageOps, ImageStat

from tessera.providers.sandbox import art, edit
from tessera.providers.sandbox.canvas import chance
from tessera.providers.sandbox.lettering import Caption, caption, measure, readable, runs, wrap
from tessera.providers.sandbox.palette import PALETTES, along, choose, lab, mix, rgb, words
from tessera.providers.sandbox.render import Order, render, seed

SMALL = (256, 192)


def order(folder: Path, prompt: str = "a quiet harbour", **fields: object) -> Order:
    plain: dict[str, object] = {"seed": 5, "ratio": "1:1", "count": 1, "model": "sandbox-image", "enhance": False}
    return Order(prompt=prompt, folder=folder, **(plain | fields))  # type: ignore[arg-type]


def photo(size: tuple[int, int] = (320, 240), shift: int = 0) -> Image.Image:
    """A picture with smooth and sharp parts and no symmetry."""
    image = Image.merge("RGB", [Image.linear_gradient("L").rotate(turn).resize(size) for turn in (0, 90, 180)])
    draw = ImageDraw.Draw(image)
    draw.ellipse((size[0] * 0.2, size[1] * 0.2, size[0] * 0.5, size[1] * 0.7), fill=(220, 40 + shift, 60))
    draw.rectangle((size[0] * 0.6, size[1] * 0.1, size[0] * 0.9, size[1] * 0.3), fill=(20, 180, 90 + shift))
    return image


def same(first: Image.Image, second: Image.Image) -> bool:
    return first.size == second.size and ImageChops.difference(first, second).getbbox() is None


def distance(first: Image.Image, second: Image.Image) -> float:
    """The mean difference of two pictures of one size, 0..255."""
    means = ImageStat.Stat(ImageChops.difference(first, second)).mean
    return sum(means) / len(means)


# Sizes


@pytest.mark.parametrize(
    ("ratio", "size"), [("1:1", (1024, 1024)), ("3:2", (1536, 1024)), ("2:3", (1024, 1536)), ("16:9", (1360, 768))]
)
def test_a_ratio_has_its_size(ratio: str, size: tuple[int, int]) -> None:
    assert art.size(ratio) == size


@given(st.integers(1, 400), st.integers(1, 400))
def test_every_ratio_gives_about_a_megapixel_in_multiples_of_16(across: int, down: int) -> None:
    wide, tall = art.size(f"{across}:{down}")
    assert wide % 16 == tall % 16 == 0
    assert 0.9 < wide * tall / 1024**2 < 1.6
    if 1 / 8 <= across / down <= 8:
        assert wide / tall == pytest.approx(across / down, rel=0.06)


@pytest.mark.parametrize("ratio", ["", "1", "1:", ":1", "0:1", "1:0", "a:b", "1:1:1", "-1:1", "1.5:1", "²:1"])
def test_what_is_no_ratio_has_no_size(ratio: str) -> None:
    with pytest.raises(ValueError, match="ratio"):
        art.size(ratio)


# Pictures


@pytest.mark.parametrize("style", art.STYLES)
def test_a_style_draws_the_same_picture_for_the_same_seed_and_another_for_another(style: str) -> None:
    first = art.draw("tide and wind", 1, 0, SMALL, style)
    assert first.size == SMALL
    assert first.mode == "RGB"
    assert same(first, art.draw("tide and wind", 1, 0, SMALL, style))
    for other in (("tide and wind", 2, 0), ("tide and rain", 1, 0), ("tide and wind", 1, 1)):
        assert distance(first, art.draw(*other, SMALL, style)) > 1


@pytest.mark.parametrize("style", art.STYLES)
@pytest.mark.parametrize("size", [(16, 16), (16, 256), (256, 16)])
def test_a_style_can_draw_the_smallest_patch(style: str, size: tuple[int, int]) -> None:
    assert art.draw("snow on pines over the sea", 3, 0, size, style).size == size


@pytest.mark.parametrize("style", art.STYLES)
def test_a_picture_is_worth_its_name(style: str) -> None:
    stat = ImageStat.Stat(art.draw("morning", 1, 0, SMALL, style).convert("L"))
    assert 20 < stat.mean[0] < 235
    assert stat.stddev[0] > 8


def test_variants_differ_in_style(tmp_path: Path) -> None:
    styles = [art.style("a quiet harbour", 5, index) for index in range(4)]
    assert len(set(styles)) == 4


@pytest.mark.parametrize(
    ("prompt", "style"),
    [("stained glass", "glass"), ("a MOSAIC of the sea", "mosaic"), ("rocket", "orbits"), ("雪山", "ridges")],
)
def test_words_suggest_a_style(prompt: str, style: str) -> None:
    assert {art.style(prompt, number, 0) for number in range(8)} == {style}


@pytest.mark.parametrize(("prompt", "name"), [("a forest", "forest"), ("at Night", "night"), ("大海", "sea")])
def test_words_suggest_a_palette(prompt: str, name: str) -> None:
    assert {choose(prompt, chance(number)).name for number in range(8)} == {name}


def test_a_color_word_becomes_an_accent() -> None:
    plain, green = (choose(prompt, chance(1)) for prompt in ("a forest", "a green forest"))
    assert green.name == plain.name
    assert lab(green.accents[0])[1] < -0.05 < lab(plain.accents[0])[1]


def test_words_are_whole_words() -> None:
    assert not words("seaside season").has("sea")
    assert words("the Sea!").has("lake sea")


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_a_color_survives_oklab(color: tuple[int, int, int]) -> None:
    assert rgb(lab(color)) == color
    assert mix(color, (0, 0, 0), 0) == color
    assert along((color, (9, 9, 9)), 0) == color


def test_every_palette_has_room_for_contrast() -> None:
    for palette in PALETTES:
        lightness = [lab(color)[0] for color in palette.ramp]
        assert lightness == sorted(lightness)
        assert lightness[-1] - lightness[0] > 0.5, palette.name


# Files


def test_the_same_request_gives_the_same_bytes_and_tells_what_it_is(tmp_path: Path) -> None:
    prompt = "A harbour 港口, late"
    path = render(order(tmp_path, prompt, count=2, ratio="3:2"), 1)
    first = path.read_bytes()
    assert render(order(tmp_path, prompt, count=2, ratio="3:2"), 1).read_bytes() == first
    with Image.open(path) as image:
        image.load()
        assert image.format == "PNG"
        assert image.size == (1536, 1024)
        about = image.info
    assert about["prompt"] == prompt
    assert about["seed"] == "5"
    assert about["model"] == "sandbox"
    assert about["variant"] == "2/2"
    assert about["Comment"] == "TESSERA SANDBOX: not a model output"


def test_the_seed_of_a_request_follows_from_all_of_it() -> None:
    seeds = {
        seed("a", "1:1", "m", enhance=False),
        seed("b", "1:1", "m", enhance=False),
        seed("a", "3:2", "m", enhance=False),
        seed("a", "1:1", "n", enhance=False),
        seed("a", "1:1", "m", enhance=True),
    }
    assert len(seeds) == 5
    assert all(0 <= number < 2**32 for number in seeds)


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "x",
        "word " * 900,
        "x" * 3000,
        "雪山下的村庄，炊烟袅袅。" * 40,
        "🏔️👩‍🚀🇨🇭 café → naïve",
        "\x00\ud800\u202eabc\ufffe",
        "مرحبا क्षि ไทย",
    ],
    ids=["none", "one", "many", "long", "chinese", "emoji", "broken", "scripts"],
)
def test_every_prompt_can_be_written(tmp_path: Path, prompt: str) -> None:
    palette = PALETTES[0]
    for size in ((512, 512), (1024, 128), (128, 1024)):
        before = Image.new("RGB", size, (120, 130, 140))
        after = before.copy()
        caption(after, Caption(prompt=prompt, facts=("1024 x 1024", "seed 4294967295", "enhance off")), palette)
        box = ImageChops.difference(before, after).getbbox()
        assert box is not None
        assert box[0] > 0 and box[1] > 0 and box[2] < size[0] and box[3] < size[1], "the card leaves a margin"


@given(st.text(max_size=200), st.integers(60, 700))
def test_lines_fit_and_lose_nothing_without_an_ellipsis(text: str, width: int) -> None:
    lines = wrap(text, 20, width, 4)
    assert 1 <= len(lines) <= 4
    assert all(measure(line, 20) <= width for line in lines)
    if not lines[-1].endswith("…"):
        assert "".join(lines).replace(" ", "") == readable(text).replace(" ", "").replace("\u00a0", "")


def test_a_letter_that_no_font_has_is_drawn_all_the_same() -> None:
    unknown = "\U0001d7f6\ue123"
    assert runs(unknown)[-1][0] is None
    assert measure(unknown, 20) > 20
    assert runs("plain ASCII") == [("", "plain ASCII")]


# Edits


def tiny(image: Image.Image) -> Image.Image:
    """Lights and darks alone, as one sees them from far away."""
    return ImageOps.autocontrast(image.convert("L").resize((16, 12), Image.Resampling.BOX))


@pytest.mark.parametrize("effect", edit.EFFECTS)
def test_an_edit_changes_the_picture_and_keeps_it_recognisable(effect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edit, "effect", lambda *_: effect)
    picture = photo()
    result = edit.edit("golden autumn", 1, 0, [picture], SMALL)
    assert same(result, edit.edit("golden autumn", 1, 0, [picture], SMALL))
    fitted = edit.fit(picture, SMALL)
    assert distance(result, fitted) > 8
    before, after = tiny(fitted), tiny(result)
    assert distance(before, after) < distance(ImageOps.flip(before), after)


@pytest.mark.parametrize("size", [(300, 300), (360, 240), (240, 360)])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_every_picture_of_a_collage_is_seen(count: int, size: tuple[int, int]) -> None:
    colors = [(250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0), (0, 250, 250)][:count]
    sheet = edit.collage([Image.new("RGB", (40, 30), color) for color in colors], size)
    seen = {color: number for number, color in sheet.getcolors(size[0] * size[1]) or []}
    assert all(seen[color] >= 0.12 * size[0] * size[1] for color in colors)


@pytest.mark.parametrize("count", [2, 5])
def test_every_picture_of_an_edit_matters(count: int) -> None:
    pictures = [photo(shift=number) for number in range(count)]
    result = edit.edit("x", 1, 0, pictures, SMALL)
    for number in range(count):
        others = [*pictures]
        others[number] = ImageOps.invert(pictures[number])
        assert distance(result, edit.edit("x", 1, 0, others, SMALL)) > 2


def half_black(size: tuple[int, int]) -> Image.Image:
    mask = Image.new("L", size, 255)
    draw = ImageDraw.Draw(mask)
    draw.rectangle((0, size[1] * 0.6, size[0], size[1]), fill=0)
    draw.ellipse((size[0] * 0.1, size[1] * 0.1, size[0] * 0.3, size[1] * 0.3), fill=0)
    return mask


@pytest.mark.parametrize(
    ("source", "inputs"), [((1024, 1024), 1), ((1024, 1024), 3), ((1500, 1000), 1), ((300, 500), 1), ((2000, 2000), 1)]
)
def test_with_a_mask_only_the_black_area_changes(tmp_path: Path, source: tuple[int, int], inputs: int) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(inputs)]
    for number, path in enumerate(paths):
        photo(source, number).save(path)
    mask = half_black(source)
    mask.save(tmp_path / "mask.png")
    out = render(order(tmp_path, "a blue lagoon", images=tuple(paths), mask=tmp_path / "mask.png"), 0)
    with Image.open(out) as opened:
        result = opened.convert("RGB")
    kept = edit.fit(photo(source), (1024, 1024))
    if source == (1024, 1024):
        assert same(kept, photo(source)), "at its own scale the picture is kept as it is"
        black = mask.point(lambda v: 255 - v)
    else:
        black = edit.changed(mask, source, (1024, 1024))
    difference = ImageChops.difference(result, kept)
    outside = Image.composite(Image.new("RGB", result.size), difference, black)
    assert outside.getbbox() is None
    changed = difference.convert("L").point(lambda v: 255 if v else 0)
    area, touched = black.histogram()[255], ImageChops.multiply(changed, black).histogram()[255]
    assert touched > 0.97 * area > 0
    assert ImageStat.Stat(difference, black).mean[0] > 10


def test_a_mask_without_black_changes_nothing() -> None:
    picture = photo()
    assert same(edit.inpaint("x", 1, 0, [picture], picture.size, mask=Image.new("L", picture.size, 255)), picture)


@pytest.mark.parametrize("box", [(0, 0, 0, 0), (3, 100, 3, 200), (10, 10, 19, 19)])
def test_the_smallest_area_is_changed_and_nothing_else(box: tuple[int, int, int, int]) -> None:
    picture = photo()
    mask = Image.new("L", picture.size, 255)
    ImageDraw.Draw(mask).rectangle(box, fill=0)
    difference = ImageChops.difference(edit.inpaint("x", 1, 0, [picture], picture.size, mask=mask), picture)
    assert difference.getbbox() == (box[0], box[1], box[2] + 1, box[3] + 1)


def test_grey_belongs_to_the_nearer_side_and_a_small_mask_is_stretched() -> None:
    mask = Image.new("L", (2, 1), 127)
    mask.putpixel((1, 0), 128)
    area = edit.changed(mask, (100, 50), (100, 50))
    assert area.getbbox() == (0, 0, 50, 50)


def test_at_another_scale_a_pixel_changes_only_where_all_of_it_was_black() -> None:
    mask = chance("mask").randbytes(25)
    big = Image.frombytes("L", (5, 5), mask).resize((200, 200), Image.Resampling.NEAREST)
    area = edit.changed(big, (200, 200), (128, 128))
    scale = 200 / 128
    changed = [(x, y) for x in range(128) for y in range(128) if area.getpixel((x, y))]
    assert 0 < len(changed) < 128 * 128
    for x, y in changed:
        box = int(x * scale), int(y * scale), math.ceil((x + 1) * scale), math.ceil((y + 1) * scale)
        assert max(big.crop(box).tobytes()) < 128


# Files of strangers


def test_a_picture_is_turned_as_its_camera_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photo((60, 30)).save(tmp_path / "turned.jpg", exif=exif)
    assert edit.load(tmp_path / "turned.jpg").size == (30, 60)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK"])
def test_every_mode_can_be_read(tmp_path: Path, mode: str) -> None:
    name = "x.jpg" if mode == "CMYK" else "x.png"
    grey = Image.new("I;16", (20, 10), 0x8000)
    (grey if mode == "I;16" else Image.new("RGB", (20, 10), "gray").convert(mode)).save(tmp_path / name)
    picture = edit.load(tmp_path / name)
    assert (picture.mode, picture.size) == ("RGB", (20, 10))
    if mode not in ("1", "P"):
        assert all(abs(channel - 128) <= 3 for channel in ImageStat.Stat(picture).mean)


def test_what_is_transparent_is_white_in_a_picture_and_black_in_a_mask(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (255, 255, 255, 0)).save(tmp_path / "clear.png")
    assert edit.load(tmp_path / "clear.png").getpixel((0, 0)) == (255, 255, 255)
    assert edit.load(tmp_path / "clear.png", "L").getpixel((0, 0)) == 0


def test_a_picture_keeps_its_transparency_where_that_is_asked_for(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (250, 200, 10, 90)).save(tmp_path / "clear.png")
    assert edit.load(tmp_path / "clear.png", "RGBA").getpixel((0, 0)) == (250, 200, 10, 90)


def test_a_huge_jpeg_comes_reduced_unless_it_is_asked_for_whole(tmp_path: Path) -> None:
    Image.new("RGB", (6400, 6400), "teal").save(tmp_path / "huge.jpg")
    assert edit.load(tmp_path / "huge.jpg").size == (3200, 3200)
    assert edit.load(tmp_path / "huge.jpg", whole=True).size == (6400, 6400)


@pytest.mark.parametrize("keep", [0, 1, 20, 60, 200, 0.5, 0.95])
@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "gif", "bmp"])
def test_a_cut_file_is_refused(tmp_path: Path, kind: str, keep: float) -> None:
    path = tmp_path / f"x.{kind}"
    photo().save(path, kind)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep) if 0 < keep < 1 else int(keep)])
    with pytest.raises(edit.BadPictureError):
        edit.load(path)


@pytest.mark.parametrize(
    "content", [b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%!PS-Adobe", b"%PDF-1.4", b"GIF89a"]
)
def test_other_formats_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(edit.BadPictureError):
        edit.load(tmp_path / "x.png")


@pytest.mark.parametrize("side", [7100, 9600, 30000])
def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path: Path, side: int) -> None:
    path = tmp_path / "huge.gif"
    Image.new("L", (1, 1)).save(path)
    header = bytearray(path.read_bytes())
    header[6:10] = side.to_bytes(2, "little") * 2
    path.write_bytes(bytes(header))
    with pytest.raises(edit.BadPictureError, match=r"pixels|Bomb"):
        edit.load(path)
