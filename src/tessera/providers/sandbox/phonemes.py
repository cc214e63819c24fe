"""From spelling to sounds: rough rules for English, a syllable for every Chinese character, in plain Python.

Sounds are written as two-letter names after the habit of the speech labs: ``IY`` is the vowel of *see*, ``SH`` the
consonant of *she*. The rules are ours and rough: most words come out recognisable, some do not.
"""

import itertools
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from tessera.providers.sandbox.canvas import chance

VOWELS = frozenset(
    ["IY", "IH", "EY", "EH", "AE", "AA", "AO", "OW", "UH", "UW", "AH", "ER", "AX", "AY", "AW", "OY", "YU"]
)
Syllable = tuple[str, ...]

_KNOWN = {
    "the": "DH AX", "a": "AX", "of": "AH V", "to": "T UW", "do": "D UW", "you": "Y UW", "i": "AY", "one": "W AH N",
    "once": "W AH N S", "two": "T UW", "are": "AA R", "have": "HH AE V", "is": "IH Z", "was": "W AA Z",
    "his": "HH IH Z",
    "has": "HH AE Z", "as": "AE Z", "said": "S EH D", "says": "S EH Z", "they": "DH EY", "there": "DH EH R",
    "their": "DH EH R", "where": "W EH R", "were": "W ER", "what": "W AH T", "who": "HH UW", "come": "K AH M",
    "some": "S AH M", "love": "L AH V", "done": "D AH N", "gone": "G AO N", "give": "G IH V", "live": "L IH V",
    "your": "Y AO R", "four": "F AO R", "would": "W UH D", "could": "K UH D", "should": "SH UH D", "good": "G UH D",
    "hello": "HH EH L OW", "water": "W AO T ER", "people": "P IY P AX L", "world": "W ER L D", "word": "W ER D",
    "work": "W ER K", "heart": "HH AA R T", "great": "G R EY T", "eye": "AY", "eyes": "AY Z", "from": "F R AH M",
    "any": "EH N IY", "many": "M EH N IY", "only": "OW N L IY", "friend": "F R EH N D", "again": "AX G EH N",
    "been": "B IH N", "because": "B IH K AO Z", "through": "TH R UW", "though": "DH OW", "thought": "TH AO T",
    "night": "N AY T", "every": "EH V R IY", "never": "N EH V ER", "ever": "EH V ER", "over": "OW V ER", "oh": "OW",
    "music": "M YU Z IH K", "voice": "V OY S", "song": "S AO NG", "sound": "S AW N D", "this": "DH IH S",
    "that": "DH AE T", "these": "DH IY Z", "those": "DH OW Z", "them": "DH EH M", "then": "DH EH N", "with": "W IH DH",
    "no": "N OW", "go": "G OW", "so": "S OW", "be": "B IY", "he": "HH IY", "me": "M IY", "we": "W IY", "she": "SH IY",
    "my": "M AY", "by": "B AY", "why": "W AY", "door": "D AO R", "move": "M UW V", "blood": "B L AH D",
    "our": "AW R", "hour": "AW R", "sure": "SH UH R", "does": "D AH Z", "put": "P UH T",
}  # fmt: skip

_RULES = tuple(
    (re.compile(pattern), tuple(sounds.split()))
    for pattern, sounds in (
        # endings first, then groups of letters from the longest down, then single letters
        (r"tion(?=s?$)", "SH AX N"), (r"sion(?=s?$)", "ZH AX N"), (r"ture(?=s?$)", "CH ER"), (r"cious$", "SH AX S"),
        (r"ought", "AO T"), (r"aught", "AO T"), (r"eigh", "EY"), (r"igh", "AY"), (r"ough", "OW"), (r"augh", "AE F"),
        (r"(?<=[bcdfgkpstz])les?$", "AX L"), (r"ing$", "IH NG"), (r"(?<=[td])ed$", "IH D"),
        (r"(?<=[pkfsx])ed$", "T"), (r"(?<=ch)ed$", "T"), (r"(?<=sh)ed$", "T"), (r"(?<=[aeiouy].)ed$", "D"),
        (r"(?<=[sxz])es$", "IH Z"), (r"(?<=[cs]h)es$", "IH Z"), (r"ous$", "AX S"), (r"ful$", "F AX L"),
        (r"tch", "CH"), (r"dge", "JH"), (r"sch", "S K"), (r"chr", "K R"), (r"eau", "OW"), (r"air", "EH R"),
        (r"ear(?=[nlt])", "ER"), (r"ear", "IH R"), (r"eer", "IH R"), (r"oor", "AO R"), (r"our", "AO R"), (r"oar",
        "AO R"),
        (r"are$", "EH R"), (r"ore$", "AO R"), (r"ire$", "AY ER"), (r"ure$", "Y UH R"), (r"ere$", "IH R"),
        (r"wor(?=[kdlms])", "W ER"), (r"war", "W AO R"), (r"qu", "K W"), (r"wh", "W"), (r"^wr", "R"), (r"^kn", "N"),
        (r"^ps", "S"), (r"mb$", "M"), (r"ph", "F"), (r"th", "TH"), (r"sh", "SH"), (r"ch", "CH"), (r"gh", ""),
        (r"ck", "K"), (r"ng$", "NG"), (r"ng(?=[^aeiou])", "NG"), (r"nk", "NG K"), (r"sc(?=[eiy])", "S"),
        (r"([bdfglmnprtz])(?=\1)", ""), (r"ss", "S"), (r"cc(?=[aou])", "K"),
        (r"ee", "IY"), (r"ea(?=d|th$|lth)", "EH"), (r"ea", "IY"), (r"oo(?=k)", "UH"), (r"oo", "UW"), (r"ai", "EY"),
        (r"ay", "EY"), (r"ei", "IY"), (r"ey$", "IY"), (r"ey", "EY"), (r"ie$", "AY"), (r"ie(?=s$)", "IY"), (r"ie", "IY"),
        (r"oa", "OW"), (r"oe$", "OW"), (r"oi", "OY"), (r"oy", "OY"), (r"ou", "AW"), (r"ow(?=[nl])", "AW"), (r"ow$",
        "OW"),
        (r"ow", "OW"), (r"au", "AO"), (r"aw", "AO"), (r"ew", "Y UW"), (r"ue$", "UW"), (r"ui", "UW"),
        (r"ar", "AA R"), (r"er", "ER"), (r"ir", "ER"), (r"ur", "ER"), (r"or$", "ER"), (r"or", "AO R"),
        (r"al(?=[kl])", "AO"), (r"ol(?=d)", "OW L"), (r"i(?=nd$|ld$)", "AY"),
        # a vowel before one consonant and a silent e is long
        (r"a(?=[bcdfgklmnpstvz]e[sd]?$)", "EY"), (r"i(?=[bcdfgklmnpstvz]e[sd]?$)", "AY"),
        (r"o(?=[bcdfgklmnpstvz]e[sd]?$)", "OW"), (r"u(?=[bcdfgklmnpstvz]e[sd]?$)", "UW"),
        (r"y(?=[bcdfgklmnpstvz]e[sd]?$)", "AY"), (r"e(?=[bcdfgklmnpstvz]e$)", "IY"),
        (r"(?<=[a-z][bcdfghjklmnpqrstvwxz])e$", ""), (r"(?<=[aeiouy][bcdfgklmnpstvz])e(?=s$)", ""),
        (r"^y", "Y"), (r"(?<=[bcdfghjklmnpqrstvwxz])y$", "IY"), (r"y", "IH"), (r"a$", "AX"), (r"o$", "OW"), (r"i$",
        "IY"),
        (r"^a(?=[a-z]{3,}$)(?=[bcdglm][aeiour])", "AX"),
        (r"a", "AE"), (r"e", "EH"), (r"i", "IH"), (r"o", "AA"), (r"u", "AH"),
        (r"c(?=[eiy])", "S"), (r"c", "K"), (r"g(?=[eiy])", "JH"), (r"(?<=[aeiou])s(?=[aeiou])", "Z"),
        (r"(?<=[aeioubdgmnlrvwy])s$", "Z"), (r"x", "K S"), (r"j", "JH"), (r"b", "B"), (r"d", "D"), (r"f", "F"),
        (r"g", "G"), (r"h", "HH"), (r"k", "K"), (r"l", "L"), (r"m", "M"), (r"n", "N"), (r"p", "P"), (r"q", "K"),
        (r"r", "R"), (r"s", "S"), (r"t", "T"), (r"v", "V"), (r"w", "W"), (r"z", "Z"),
    )
)  # fmt: skip

_FINALS = (
    "AA", "AO", "AX", "AY", "EY", "AW", "OW", "AA N", "AX N", "AA NG", "AX NG", "AO NG", "IY", "Y AA", "Y EH", "Y AW",
    "Y OW", "Y EH N", "IY N", "Y AA NG", "IY NG", "UW", "W AA", "W AO", "W EY", "W AA N", "W AX N", "W AA NG",
)  # fmt: skip
_INITIALS = ("B", "P", "M", "F", "D", "T", "N", "L", "G", "K", "HH", "JH", "CH", "SH", "R", "Z", "S", "")

_HAN = {
    "N IY3": "你", "HH AW3": "好", "W AO3": "我", "M AX N2": "们", "D AX4": "的地得", "SH IH4": "是事世室",
    "B UW4": "不",
    "L AX4": "了乐", "R AX N2": "人", "Z AY4": "在再", "Y OW3": "有友", "T AA1": "他她它", "Z AX4": "这", "G AX4": "个",
    "SH AA NG4": "上", "L AY2": "来", "D AW4": "到道", "SH IH2": "时十石", "D AA4": "大", "W EY2": "为", "Z IH3": "子",
    "HH AX2": "和河", "G W AO2": "国", "Y AO2": "说", "N Y EH N2": "年", "SH AX NG1": "生声", "HH W EY4": "会",
    "Z Y AA1": "家", "SH AA N1": "山", "SH W EY3": "水", "F AX NG1": "风", "Y UW3": "雨", "HH W AA1": "花",
    "Y W EH4": "月", "SH IH NG1": "星", "T Y EH N1": "天", "HH AY3": "海", "M AX NG4": "梦", "AY4": "爱",
    "SH IH N1": "心新", "CH W AX N1": "春", "SH Y AA4": "夏下", "CH Y OW1": "秋", "D AO NG1": "冬东", "G AX1": "歌",
    "CH AA NG4": "唱", "Y IY1": "一", "AX R4": "二", "S AA N1": "三", "S IH4": "四", "UW3": "五", "L Y OW4": "六",
    "CH IY1": "七", "B AA1": "八", "JH Y OW3": "九", "SH AO3": "首手", "G W AA NG1": "光", "HH W EY2": "回",
    "L UW4": "路", "Y EH4": "夜", "N AA N2": "南", "B EY3": "北", "SH IY1": "西", "AA N1": "安", "M IY NG2": "明",
    "Y AA NG2": "阳", "T IY NG1": "听", "K AA N4": "看", "Z OW3": "走", "SH AX N2": "神", "JH IH N1": "今",
}  # fmt: skip
_HAN_OF = {char: sounds for sounds, chars in _HAN.items() for char in chars}

_TOKEN = re.compile(r"[^\W\d_\u3400-\u9fff]+(?:['’][^\W\d_]+)*|\d+|[\u3400-\u9fff]|[.!?。！？…]+|[,;:，；、：—\-–\n]+")
_ONES = str.split(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
)
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_ONSETS = {f"{a} {b}" for a in ("P", "B", "T", "D", "K", "G", "F", "S", "TH", "SH") for b in ("L", "R", "W", "Y")} | {
    f"S {b}" for b in ("P", "T", "K", "M", "N")
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """A word as it is spoken. ``tone`` is that of a Chinese syllable, 1..4, else 0; ``pause`` follows, in seconds."""

    text: str
    syllables: tuple[Syllable, ...]
    tone: int = 0
    pause: float = 0.0
    ends: str = ""


def speak(text: str) -> list[Spoken]:
    """The words of a text in order, with the pauses its punctuation asks for; ``ends`` is the mark after a word."""
    words: list[Spoken] = []
    for token in _TOKEN.findall(unicodedata.normalize("NFC", text)):
        if token[0].isalnum():
            words += _words(token)
        elif words:
            last = words[-1]
            sentence = token[0] in ".!?。！？…"
            pause = max(last.pause, 0.42 if sentence else 0.2)
            ends = token[0] if sentence else last.ends or ","
            words[-1] = Spoken(text=last.text, syllables=last.syllables, tone=last.tone, pause=pause, ends=ends)
    return words


def _words(token: str) -> list[Spoken]:
    if token.isdigit():
        return [Spoken(text=word, syllables=syllables(word)) for word in number(token)]
    if "\u3400" <= token <= "\u9fff":
        sounds, tone = _han(token)
        return [Spoken(text=token, syllables=(sounds,), tone=tone)]
    return [Spoken(text=token, syllables=syllables(token))]


def number(digits: str) -> list[str]:
    """A whole number in English words; longer ones than four digits are read digit by digit."""
    value = int(digits[:5])
    if len(digits) > 4 or (len(digits) > 1 and digits[0] == "0"):
        return [_ONES[int(digit)] for digit in digits[:40]]
    if value >= 1000:
        return [*number(str(value // 1000)), "thousand", *(number(str(value % 1000)) if value % 1000 else ())]
    if value >= 100:
        return [_ONES[value // 100], "hundred", *(number(str(value % 100)) if value % 100 else ())]
    if value >= 20:
        return [_TENS[value // 10 - 2], *([_ONES[value % 10]] if value % 10 else ())]
    return [_ONES[value]]


@lru_cache(maxsize=4096)
def syllables(word: str) -> tuple[Syllable, ...]:
    """The syllables of a word, each with one vowel; at least one, whatever the word is made of."""
    if len(word) == 1 and "\u3400" <= word <= "\u9fff":
        return (_han(word)[0],)
    return tuple(_cut(sounds(word[:40])))


def sounds(word: str) -> list[str]:
    """The sounds of an English word (of another language: as an English reader would try)."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", word.lower().replace("’", "'")) if not _mark(c))
    if plain in _KNOWN:
        return _KNOWN[plain].split()
    plain = "".join(char if char in "abcdefghijklmnopqrstuvwxyz'" else _letter(char) for char in plain).replace("'", "")
    found: list[str] = []
    place = 0
    while place < len(plain):
        for pattern, said in _RULES:
            if match := pattern.match(plain, place):
                found += said
                place += max(1, len(match[0]))
                break
        else:
            place += 1
    return found or ["AX"]


def _mark(char: str) -> bool:
    return unicodedata.category(char).startswith("M")


_CYRILLIC = dict(
    zip(
        "абвгдеёжзийклмнопрстуфхцчшщъыьэюяіїє",
        str.split("a b v g d e yo zh z i y k l m n o p r s t u f h ts ch sh sch . i . e yu ya i yi ye"),
        strict=True,
    )
)


def _letter(char: str) -> str:
    """A Latin stand-in for a letter of another script, always the same for the same letter."""
    if char in _CYRILLIC:
        return _CYRILLIC[char].replace(".", "")
    return chance("letter", char).choice(("la", "mo", "ne", "ri", "ta", "su", "ka", "do")) if char.isalpha() else ""


@lru_cache(maxsize=4096)
def _han(char: str) -> tuple[Syllable, int]:
    """Sounds and tone of a Chinese character; one that the small table lacks gets a syllable of its own for ever."""
    if known := _HAN_OF.get(char):
        return tuple(known[:-1].split()), int(known[-1])
    rng = chance("han", char)
    made = f"{rng.choice(_INITIALS)} {rng.choice(_FINALS)}".split()
    return tuple(made), rng.randint(1, 4)


def _cut(found: list[str]) -> list[Syllable]:
    """Cut before the consonants that can begin a syllable together."""
    nuclei = [place for place, sound in enumerate(found) if sound in VOWELS]
    if not nuclei:
        return [(*found, "AX")]
    cuts = [0]
    for left, right in itertools.pairwise(nuclei):
        between = right - left - 1
        keep = 2 if between >= 2 and f"{found[right - 2]} {found[right - 1]}" in _ONSETS else min(1, between)
        cuts.append(right - keep)
    return [tuple(found[a:b]) for a, b in zip(cuts, [*cuts[1:], len(found)], strict=True)]
