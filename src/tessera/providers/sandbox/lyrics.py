"""Words for songs: lyrics, titles, tags and richer style texts, made from the words of a prompt by plain rules.

Nothing here understands anything. The lines are the sandbox's own patterns with the prompt's words set into them.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random

from tessera.providers.sandbox import styles
from tessera.providers.sandbox.canvas import chance

_LONGEST = 5000
"""Characters of a text that are looked at."""

_COMMON = frozenset(
    str.split(
        "a an the and or but of in on at to for with from by about into over under is are was were be "
        "it its this that these those i you he she we they me my your our their his her as so very "
        "some song songs music track lyrics style make write create please like sounds feel feeling "
        "want need bpm major minor key verse chorus vocals vocal voice male female no not without "
        "instrumental"
    )
)
_LATIN = re.compile(r"[^\W\d_\u3400-\u9fff]+(?:'[^\W\d_]+)?")
_HAN = re.compile(r"[\u3400-\u9fff]+")
_HAN_COMMON = re.compile("一首|关于|的歌|歌曲|写|请|音乐|风格|我们|一个|[的了在是和与一个首歌曲]")
_MARK = re.compile(r"^\s*[\[【(（]\s*([^\]】)）]{1,60})\s*[\]】)）]\s*$")

_VERSE = (
    "I keep the {a} where the daylight ends",
    "Somewhere the {a}, beyond the {b}",
    "We followed {a} down the quiet road",
    "I heard the {a} outside the door",
    "All of the {b} in a line I know",
    "I wrote your name on the side of the {a}",
    "Slowly I turn to the {b} again",
    "Nobody told me that {a} could sing",
    "Under the {b} the hours run",
    "I count the windows, I count the {a}",
)
_CHORUS = (
    "Oh {a}, carry me home",
    "All of the {b}, all of the light",
    "Sing it again for the {a} tonight",
    "{a} and {b}, side by side",
    "Hold on, hold on to the {a}",
    "We are the {b} that will not fade",
)
_BRIDGE = (
    "And if the {a} should fall away",
    "I will remember the sound of {b}",
    "Let it be quiet, let it be slow",
    "Bring the {a} back to me",
)
_HAN_VERSE = (
    "我把{a}留在风里面",
    "走过{b}的那一边",
    "{a}在窗前慢慢亮",
    "每一个{b}都有声音",
    "你说{a}不会走远",
    "月光照着{b}的路",
)
_HAN_CHORUS = ("啊{a}带我回家", "{a}和{b}在一起", "今夜为{a}再唱一遍", "所有的{b}所有的光", "我们是不灭的{a}")
_HAN_BRIDGE = ("如果{a}有一天不见", "我会记得{b}的声音", "让时间再慢一点")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of a lyric: its mark (``Verse 1``; empty where there was none) and its lines."""

    name: str
    lines: tuple[str, ...]


def write_lyrics(prompt: str, seed: int, index: int) -> tuple[str, str]:
    """Title and text of lyrics about a prompt, with [Verse] and [Chorus] marks. Variants differ by ``index``."""
    rng = chance("lyrics", prompt, seed, index)
    han = bool(_HAN.search(prompt[:_LONGEST]))
    topics = topic_words(prompt) or (["时光", "远方"] if han else ["morning", "river"])
    verse, chorus, bridge = (_HAN_VERSE, _HAN_CHORUS, _HAN_BRIDGE) if han else (_VERSE, _CHORUS, _BRIDGE)
    refrain = _lines(rng, chorus, topics, 4)
    parts = [
        ("Verse 1", _lines(rng, verse, topics, 4)),
        ("Chorus", refrain),
        ("Verse 2", _lines(rng, verse, topics, 4)),
    ]
    parts += [("Chorus", refrain), ("Bridge", _lines(rng, bridge, topics, 2)), ("Chorus", refrain)]
    text = "\n\n".join("\n".join((f"[{name}]", *lines)) for name, lines in parts)
    return title(prompt, seed, index), text


def _lines(rng: Random, patterns: tuple[str, ...], topics: list[str], count: int) -> list[str]:
    chosen = rng.sample(patterns, min(count, len(patterns)))
    return [_fill(rng, pattern, topics) for pattern in chosen]


def _fill(rng: Random, pattern: str, topics: list[str]) -> str:
    a = rng.choice(topics)
    b = rng.choice([word for word in topics if word != a] or [a])
    line = pattern.format(a=a, b=b)
    return line[0].upper() + line[1:]


def topic_words(prompt: str) -> list[str]:
    """The words of a prompt that it is about, at most twelve, in their order. Han text is cut into short pieces."""
    text = prompt[:_LONGEST]
    latin = [word.lower() for word in _LATIN.findall(text) if len(word) > 2 and word.lower() not in _COMMON]
    genres = " ".join(genre.words for genre in styles.GENRES).split()
    han = [piece for run in _HAN.findall(text) for piece in _pieces(run)]
    topics = [word for word in latin if word not in genres] or latin
    return list(dict.fromkeys([*topics, *han]))[:12]


def _pieces(run: str) -> Iterator[str]:
    """Pieces of two to four characters between the words that mean little."""
    for part in _HAN_COMMON.sub(" ", run).split():
        for start in range(0, len(part), 3):
            if len(piece := part[start : start + 3]) > 1 or len(part) == 1:
                yield piece


def title(prompt: str, seed: int, index: int = 0) -> str:
    """A title of at most 80 characters from the prompt's words."""
    rng = chance("title", prompt, seed, index)
    topics = topic_words(prompt)
    if _HAN.search(prompt):
        return "".join(topics[:2])[:12] or "无题"
    if not topics:
        return rng.choice(("Untitled Tessera", "Small Hours", "First Light"))
    first = topics[index % len(topics)].title()
    second = topics[(index + 1) % len(topics)].title()
    patterns = ("{a} and {b}", "Song of the {a}", "{a} Road", "After the {a}", "The {b} {a}")
    return rng.choice(patterns if len(topics) > 1 else patterns[1:4]).format(a=first, b=second)[:80].replace("'S", "'s")


def tags(style: str, prompt: str, seed: int = 0) -> str:
    """Short style tags, comma separated: the style as given, or what the words of the prompt suggest."""
    if style.strip():
        return ", ".join(" ".join(piece.split()) for piece in re.split(r"[,，;、\n]", style[:1000]) if piece.strip())
    plan = styles.plan(style, prompt, "", seed, 0)
    names = [plan.genre.name, *(mood.name for mood in plan.moods[:2]), *_spoken(plan.instruments[:2])]
    return ", ".join(dict.fromkeys(names))


def boost_style(content: str, seed: int = 0) -> str:
    """A short style description, made richer: genre, mood, tempo, key, instruments and arrangement in one text."""
    plan = styles.plan(content[:_LONGEST], "", "", seed, 0)
    band = [piece.partition(":")[2] for piece in plan.genre.band.split()]
    parts = [" ".join(content[:1000].split()), plan.genre.name, *(mood.colour for mood in plan.moods[:3])]
    parts += [f"around {plan.bpm} bpm in {key_name(plan.tonic, minor=plan.minor)}", f"{plan.metre}/4 time"]
    parts += [f"featuring {_and(_spoken([*plan.instruments, *band])[:4])}", plan.genre.colour]
    parts += ["a quiet opening, a fuller refrain and a clear ending"]
    return ", ".join(part for part in dict.fromkeys(parts) if part)


def key_name(tonic: int, *, minor: bool) -> str:
    """``A minor`` for 9: the usual spelling of a key."""
    names = ("C", "C#", "D", "Eb" if not minor else "D#", "E", "F", "F#", "G", "Ab" if not minor else "G#")
    return f"{(*names, 'A', 'Bb' if not minor else 'A#', 'B')[tonic]} {'minor' if minor else 'major'}"


def _spoken(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(name.replace("_", " ").replace("epiano", "electric piano") for name in names))


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def parts(text: str) -> list[Part]:
    """Lyrics cut at their marks; ``(La la)`` on a line of its own is a mark too. Empty parts stay: they are played."""
    found: list[Part] = []
    name, lines = "", list[str]()
    for line in text[:_LONGEST].splitlines():
        if match := _MARK.match(line):
            if name or lines:
                found.append(Part(name=name, lines=tuple(lines)))
            name, lines = " ".join(match[1].split()), []
        elif line.strip():
            lines.append(" ".join(line.split()))
    if name or lines:
        found.append(Part(name=name, lines=tuple(lines)))
    return found


def looks_like_lyrics(text: str) -> bool:
    """Whether a prompt is lyrics to be sung rather than an idea: it has marks or several lines."""
    found = parts(text)
    return any(part.name and part.lines for part in found) or sum(len(part.lines) for part in found) >= 4
