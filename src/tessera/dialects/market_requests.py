"""A checked input of the Market as one of our requests: which field means what, in one place."""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from tessera.contract import catalog, market_price
from tessera.contract.catalog import Model
from tessera.domain.errors import Invalid
from tessera.domain.task import ImageRequest, Line, Request, SpeechRequest, VideoRequest

# ---- which field means what; of several the first that is there. ``a[].b`` is b of every entry of a. ----

PROMPT = ("prompt", "text", "character_prompt")
SHOTS = ("multi_prompt[].prompt", "shots[].Scene")
NEGATIVE = ("negative_prompt",)
RATIO = ("aspect_ratio", "ratio", "image_size", "size")
RESOLUTION = ("resolution", "image_resolution", "output_resolution", "quality", "mode", "size")
SECONDS = ("duration", "duration_seconds", "n_frames", "extend_times")
SHOT_SECONDS = ("multi_prompt[].duration", "shots[].duration")
SEED = ("seed", "seeds")
SOUND = ("sound", "generate_audio", "generate_audio_switch", "audio")
ENHANCE = (
    "enable_prompt_expansion",
    "expand_prompt",
    "enhance_prompt",
    "prompt_extend",
    "prompt_optimizer",
    "prompt_upsampling",
    "isEnhance",
)
BEGIN = ("extend_at", "templ_start_seconds")
DIALOGUE = ("dialogue", "dialogue_turns")
DIRECTIONS = ("scene", "sample_context")

PICTURES = (
    "image_urls",
    "image_url",
    "input_urls",
    "image_input",
    "input_image",
    "image",
    "files_url",
    "file_url",
)
"""Pictures to work on; for a film its first and last frame, or what is to appear, see ``_frames``."""

REFERENCES = (
    "reference_image_urls",
    "reference_image",
    "image_references[].image_url",
    "elements[].element_input_urls",
    "kling_elements[].element_input_urls",
)
FIRST = ("first_frame_url", "first_frame_image_url", "first_frame")
LAST = ("last_frame_url", "last_frame_image_url", "end_image_url", "tail_image_url")
MASK = ("mask_url", "maskUrl")
FILM = (
    "video_url",
    "video_urls",
    "video_list[].url",
    "first_clip_url",
    "reference_video_urls",
    "reference_video",
    "character_file_url",
)
AUDIO = ("audio_url", "driving_audio_url", "reference_audio_urls", "reference_voice")
UNUSED = (
    "reference_file_urls",
    "reference_link_urls",
    "reference_mask_urls",
    "elements[].element_input_audio_urls",
    "kling_elements[].element_input_audio_urls",
)
"""Addresses that no provider here has a place for: they are checked like the others, and then left aside."""

# ---- what their words mean ----

SHAPES = {
    "square": "1:1",
    "square_hd": "1:1",
    "portrait": "9:16",
    "landscape": "16:9",
    "adaptive": "auto",
}
ORIENTED = re.compile(r"(portrait|landscape)_(\d+)_(\d+)")
RATIO_FORM = re.compile(r"\d{1,3}:\d{1,3}")

TIERS = {"720": "720p", "1080": "1080p", "std": "720p", "pro": "1080p", "standard": "720p", "high": "1080p"}
"""Of films. What is not here is a tier already (768P, 4K), or none (fun)."""

IMAGE_TIERS = {"basic": "2K", "high": "4K", "ultra": "4K"}
"""Of pictures, where the field is ``quality``."""

TIER_FORM = re.compile(r"(\d{3,4}p|\d(\.\d)?k)", re.IGNORECASE)

MEGAPIXELS = {
    "square": 0.262,
    "portrait_4_3": 0.786,
    "landscape_4_3": 0.786,
    "portrait_16_9": 0.59,
    "landscape_16_9": 0.59,
}
"""Of the named sizes: 512x512, 768x1024, 576x1024. All else is counted as one."""

ASSUMED = {
    "video-to-video": 5.0,
    "speech-to-video": 10.0,
    "upscale": 10.0,
    "audio-isolation": 30.0,
    "stt": 60.0,
    "sfx": 5.0,
}
"""Seconds that are paid for where neither the request nor the file says how long it is. All else is 5."""

USUAL_SECONDS = 5.0
LONGEST = 3_600
"""Seconds that may be asked for where the catalog knows no bound."""

MARK = "AI generated"
FILMS = (".mp4", ".mov", ".webm", ".m4v")
LARGEST_SEED = 2**31
SOUND_FORMS = {"wav": "pcm_24000", "mp3": "mp3_44100_128"}
CRISP = 2.0
"""The factor of an upscale that names none."""

Address = tuple[str, str]
"""The path of a field, and the URL in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A request on its way: ``sent`` is the checked input, ``full`` the same with its defaults.

    ``pictures``, ``film`` and ``mask`` are files of an earlier task that the input named, ``cast`` those of
    characters, ``voices`` those of voices; ``lengths`` are the seconds of files that we know, by URL; ``source`` is
    the tier of the earlier film.
    """

    model: Model
    sent: Mapping[str, Any]
    full: Mapping[str, Any]
    pictures: tuple[str, ...] = ()
    film: str | None = None
    mask: str | None = None
    cast: tuple[str, ...] = ()
    voices: tuple[str, ...] = ()
    lengths: Mapping[str, float] = field(default_factory=dict)
    source: str | None = None

    def pick(self, names: Sequence[str]) -> Any:
        """The first of these that was sent, else the first that has a default."""
        for given in (self.sent, self.full):
            for name in names:
                if name in given:
                    return given[name]
        return None

    def text(self, names: Sequence[str]) -> str:
        found = self.pick(names)
        return found.strip() if isinstance(found, str) else ""

    def number(self, names: Sequence[str]) -> float | None:
        """A number, however it was sent; None where there is none. Raises Invalid for one that no float can hold."""
        found = self.pick(names)
        number = catalog.numeral(found) if isinstance(found, str) else found
        if isinstance(number, bool) or not isinstance(number, int | float):
            return None
        try:
            exact = float(number)
        except OverflowError:
            exact = math.inf
        if not math.isfinite(exact):
            name = next(name for name in names if name in self.sent or name in self.full)
            raise Invalid(f"input.{name}: must be a number that is not that large", field=f"input.{name}")
        return exact

    def flag(self, names: Sequence[str], *, otherwise: bool) -> bool:
        """What a switch says; ``otherwise`` where the model has none. One that is not turned on is off."""
        found = self.pick(names)
        if isinstance(found, bool):
            return found
        return False if any(name in self.model.fields for name in names) else otherwise

    def all(self, names: Sequence[str]) -> tuple[Address, ...]:
        there = [name for name in names if _outer(name) in self.sent]
        return tuple(address for name in there for address in addresses(self.sent, name))

    def urls(self, names: Sequence[str]) -> tuple[str, ...]:
        return tuple(url for _, url in self.all(names))

    def one(self, names: Sequence[str]) -> str | None:
        return next(iter(self.urls(names)), None)


@cache
def _outer(name: str) -> str:
    return name.partition("[].")[0]


def addresses(given: Mapping[str, Any], name: str) -> Iterator[Address]:
    """The texts of a field with their paths: of one URL, of a list, of a field of each entry (``a[].b``)."""
    outer, nested, inner = name.partition("[].")
    value = given.get(outer)
    if nested:
        entries = [entry if isinstance(entry, Mapping) else {} for entry in value] if isinstance(value, list) else []
        for index, entry in enumerate(entries):
            yield from ((f"{outer}[{index}].{path}", url) for path, url in addresses(entry, inner))
    elif isinstance(value, str):
        yield outer, value
    elif isinstance(value, list):
        yield from ((f"{outer}[{index}]", url) for index, url in enumerate(value) if isinstance(url, str))


def given_urls(form: Form) -> dict[str, str]:
    """Every address of the caller, by the path of its field: also one that nothing is done with is never a bad one."""
    found = form.all((*PICTURES, *REFERENCES, *FIRST, *LAST, *MASK, *FILM, *AUDIO, *UNUSED))
    return {f"input.{path}": url for path, url in found}


def understood(form: Form) -> tuple[str, Request]:
    """The operation and the request."""
    return BUILD[form.model.modality](form)


def could(model: Model) -> tuple[str, ...]:
    """The operations that requests for a model become."""
    if model.operation:
        return (model.operation,)
    if model.modality == "upscale":
        return (f"{model.output.kind}.upscale",)
    optional = [other for names, other in BESIDES.get(model.modality, ()) if any(n in model.fields for n in names)]
    return (*OPERATIONS.get(model.modality, ()), *optional)


def asked(form: Form) -> market_price.Asked:
    """How much is asked for, to be priced."""
    films = form.urls(FILM) or ((form.film,) if form.film else ())
    return market_price.Asked(
        input=form.full,
        outputs=market_price.outputs(form.model, form.full),
        seconds=seconds(form),
        input_seconds=sum(form.lengths.get(url, USUAL_SECONDS) for url in films),
        images=len(form.urls((*PICTURES, *REFERENCES, *FIRST, *LAST))) + len(form.pictures),
        characters=sum(len(line.text) for line in _lines(form)) or len(form.text(PROMPT)),
        megapixels=MEGAPIXELS.get(form.text(("image_size",)), 1.0),
        derived={"$videoInput": bool(films), **({"$sourceResolution": form.source} if form.source else {})},
    )


def seconds(form: Form) -> float:
    """How long the result will be, as far as that is known. Raises Invalid for a length that nothing has."""
    wanted = form.number(SECONDS)
    if wanted is not None and wanted > LONGEST:
        name = next(name for name in SECONDS if name in form.full)
        raise Invalid(f"input.{name}: at most {LONGEST:,} seconds", field=f"input.{name}")
    if wanted is not None and wanted > 0:
        return wanted
    frames, rate = form.number(("num_frames",)), form.number(("frames_per_second",))
    if frames and rate:
        return frames / rate
    shots = [length for name in SHOT_SECONDS for length in _numbers(form.sent, name)]
    if shots:
        return sum(shots)
    if form.model.operation == "video.extend":
        return USUAL_SECONDS  # what is new, not what is there
    sources = (*form.urls(AUDIO), *form.urls(FILM), *((form.film,) if form.film else ()))
    known = [form.lengths[url] for url in sources if url in form.lengths]
    return known[0] if known else ASSUMED.get(form.model.modality, USUAL_SECONDS)


def _numbers(given: Mapping[str, Any], name: str) -> Iterator[float]:
    outer, _, inner = name.partition("[].")
    for entry in given.get(outer) or ():
        if isinstance(entry.get(inner), int | float):
            yield float(entry[inner])


# ---- pictures ----


def _picture(form: Form) -> tuple[str, Request]:
    request = _image(form)
    return ("image.edit" if request.images else "image.generate"), request


def _image(form: Form) -> ImageRequest:
    images = (*form.pictures, *form.urls(PICTURES), *form.urls(REFERENCES))
    return ImageRequest(
        prompt=form.text(PROMPT),
        ratio=_ratio(form, otherwise="auto" if images else "1:1", from_files=bool(images)),
        count=market_price.outputs(form.model, form.full),
        images=images,
        mask=(form.mask or form.one(MASK)) if images else None,
        enhance=form.flag(ENHANCE, otherwise=False),
        seed=_seed(form),
        resolution=_image_tier(form),
        format=_format(form),
        negative=form.text(NEGATIVE),
        watermark=_mark(form),
    )


def _upscale(form: Form) -> tuple[str, Request]:
    if form.model.output.kind == "image":
        factor = form.number(("upscale_factor",)) or CRISP
        images = form.pictures or form.urls(PICTURES)
        return "image.upscale", ImageRequest(prompt="", ratio="auto", images=images[:1], scale=factor)
    times = form.number(("upscale_factor",))
    tier = _tier(form) or _named_tier(form.model.id)
    return "video.upscale", VideoRequest(
        video=form.film or form.one(FILM), ratio="auto", resolution=tier, scale=times, watermark=_mark(form)
    )


def _cut(form: Form) -> tuple[str, Request]:
    return "image.background", ImageRequest(prompt="", ratio="auto", images=form.urls(PICTURES)[:1])


def _segments(form: Form) -> tuple[str, Request]:
    images = form.pictures or form.urls(PICTURES)
    return "image.segment", ImageRequest(prompt="", ratio="auto", images=images[:1])


def _image_tier(form: Form) -> str | None:
    found = form.text(RESOLUTION)
    if TIER_FORM.fullmatch(found):
        return found.upper()
    return IMAGE_TIERS.get(form.text(("quality",))) if "quality" in form.model.fields else None


def _format(form: Form) -> Any:
    wanted = form.text(("output_format",)).replace("jpg", "jpeg")
    return wanted if wanted in ("png", "jpeg", "webp") else "png"


# ---- films ----


def _film(form: Form) -> tuple[str, Request]:
    first, last, references = _frames(form)
    film = form.film or form.one(FILM)
    operation = form.model.operation or ("video.modify" if film else "video.generate")
    if film and form.one(("first_clip_url",)):
        operation = "video.extend"
    return operation, _video(form, first=first, last=last, references=references, video=film)


def _talk(form: Form) -> tuple[str, Request]:
    return "video.talk", _video(form, first=form.one(PICTURES), last=None, references=(), video=None)


def _video(
    form: Form, *, first: str | None, last: str | None, references: tuple[str, ...], video: str | None
) -> VideoRequest:
    pictured = bool(first or last or references or video)
    return VideoRequest(
        prompt=_script(form),
        seconds=seconds(form),
        ratio=_ratio(form, otherwise="auto" if pictured else "16:9", from_files=pictured),
        resolution=_tier(form) or "720p",
        first=first,
        last=last,
        references=references,
        video=video,
        audio=form.one(AUDIO) or next(iter(form.voices), None),
        at=form.number(BEGIN) if video else None,
        sound=form.flag(SOUND, otherwise=True),
        seed=_seed(form),
        negative=form.text(NEGATIVE),
        watermark=_mark(form),
    )


def _frames(form: Form) -> tuple[str | None, str | None, tuple[str, ...]]:
    """The first frame, the last one, and what is to appear in between."""
    shown = tuple(url for url in form.urls(REFERENCES) if not _is_film(url))
    given = (*form.pictures, *form.urls(PICTURES))
    first, last = form.one(FIRST), form.one(LAST)
    if _are_references(form, len(given)):
        return first, last, (*given, *shown, *form.cast)
    frames = [*given[:2], None, None]
    return first or frames[0], last or (frames[1] if not first else None), (*given[2:], *shown, *form.cast)


def _is_film(url: str) -> bool:
    try:
        return urlsplit(url).path.casefold().endswith(FILMS)
    except ValueError:  # no address at all, which the guard tells
        return False


def _are_references(form: Form, count: int) -> bool:
    """Whether pictures are of what is to appear: the catalog says so, the request does, or they are several of many."""
    if any(role == "references" for name, role in form.model.roles.items() if name in form.sent):
        return True
    kind = form.text(("generation_type",))
    if kind:
        return kind.startswith("REFERENCE")
    most = max((form.model.fields[name].get("maxItems", 1) for name in PICTURES if name in form.sent), default=1)
    return count > 1 and most > 3


def _script(form: Form) -> str:
    """The prompt, and then the shots one by one."""
    shots = [text for name in SHOTS for _, text in addresses(form.sent, name)]
    return "\n".join(part for part in (form.text(PROMPT), *shots) if part)


def _tier(form: Form) -> str:
    """A tier of films in lower case; empty where none is named."""
    for given in (form.sent, form.full):
        for name in RESOLUTION:
            word = str(given.get(name, ""))
            if TIER_FORM.fullmatch(word):
                return word.lower()
            if word in TIERS:
                return TIERS[word]
    return ""


def _named_tier(model_id: str) -> str:
    """Some models have the tier in their names (``veo/get-4k-video``)."""
    found = TIER_FORM.search(model_id)
    return found[0].lower() if found else "1080p"


# ---- speech and sounds ----


def _say(form: Form) -> tuple[str, Request]:
    lines = _lines(form)
    several = any(name in form.sent for name in DIALOGUE)
    return ("speech.dialogue" if several else "speech.generate"), SpeechRequest(
        prompt="\n".join(filter(None, (form.text((name,)) for name in DIRECTIONS))),
        lines=lines,
        voice=form.text(("voice",)),
        language=form.text(("language_code",)),
        speed=form.number(("speed",)) or 1.0,
        format=_sound_format(form),
        seed=_seed(form),
    )


def _lines(form: Form) -> tuple[Line, ...]:
    """What is said, and by whom: one text, or the turns of a dialogue with the voices of its speakers."""
    cast = {each.get("speaker_id"): str(each.get("voice_name", "")) for each in form.sent.get("speakers") or ()}
    turns = [turn for name in DIALOGUE for turn in form.sent.get(name) or ()]
    lines = [Line(text=turn["text"], voice=turn.get("voice") or cast.get(turn.get("speaker_id"), "")) for turn in turns]
    text = form.text(("text",))
    return tuple(lines) if lines else (Line(text=text, voice=form.text(("voice",))),) if text else ()


def _sound(form: Form) -> tuple[str, Request]:
    return "speech.sound", SpeechRequest(
        prompt=form.text(PROMPT),
        seconds=form.number(("duration_seconds",)),
        loop=form.flag(("loop",), otherwise=False),
        format=_sound_format(form),
    )


def _isolate(form: Form) -> tuple[str, Request]:
    return "speech.isolate", SpeechRequest(audio=form.one(AUDIO), format=_sound_format(form))


def _transcribe(form: Form) -> tuple[str, Request]:
    return "speech.transcribe", SpeechRequest(audio=form.one(AUDIO), language=form.text(("language_code",)))


def _sound_format(form: Form) -> str:
    """What the request says (``mp3_44100_128``), else what the model is known to make."""
    return form.text(("output_format",)) or SOUND_FORMS.get(next(iter(form.model.output.formats), "mp3"), "mp3")


# ---- what they share ----


def _ratio(form: Form, *, otherwise: str, from_files: bool) -> str:
    word = form.text(RATIO)
    oriented = ORIENTED.fullmatch(word)
    if oriented:
        one, other = sorted((int(oriented[2]), int(oriented[3])))
        return f"{one}:{other}" if oriented[1] == "portrait" else f"{other}:{one}"
    word = SHAPES.get(word, word.lower())
    if word == "auto":
        return "auto" if from_files else otherwise
    return word if RATIO_FORM.fullmatch(word) else otherwise


def _seed(form: Form) -> int | None:
    """The seed, where one was sent and is a number; -1 means any."""
    found = form.number([name for name in SEED if name in form.sent])
    return int(found) % LARGEST_SEED if found is not None and 0 <= found < 1e18 else None


def _mark(form: Form) -> str:
    found = form.pick(("watermark",))
    return MARK if found is True else found.strip() if isinstance(found, str) else ""


BUILD: Mapping[str, Callable[[Form], tuple[str, Request]]] = {
    "text-to-image": _picture,
    "image-to-image": _picture,
    "upscale": _upscale,
    "background-removal": _cut,
    "image-to-json": _segments,
    "text-to-video": _film,
    "image-to-video": _film,
    "video-to-video": _film,
    "video-to-json": _film,
    "speech-to-video": _talk,
    "speech": _say,
    "sfx": _sound,
    "audio-isolation": _isolate,
    "stt": _transcribe,
}
"""By modality: how an input becomes an operation and a request."""

OPERATIONS: Mapping[str, tuple[str, ...]] = {
    "text-to-image": ("image.generate",),
    "image-to-image": ("image.edit",),
    "background-removal": ("image.background",),
    "image-to-json": ("image.segment",),
    "text-to-video": ("video.generate",),
    "image-to-video": ("video.generate",),
    "video-to-video": ("video.modify",),
    "video-to-json": ("video.modify",),
    "speech-to-video": ("video.talk",),
    "speech": ("speech.generate", "speech.dialogue"),
    "sfx": ("speech.sound",),
    "audio-isolation": ("speech.isolate",),
    "stt": ("speech.transcribe",),
}
BESIDES: Mapping[str, tuple[tuple[tuple[str, ...], str], ...]] = {
    "text-to-image": ((PICTURES, "image.edit"),),
    "text-to-video": ((("video_list", "reference_video_urls"), "video.modify"),),
    "image-to-video": (
        (("reference_video_urls", "reference_video", "video_urls"), "video.modify"),
        (("first_clip_url",), "video.extend"),
    ),
}
"""By modality: the operations that come of some optional fields."""
