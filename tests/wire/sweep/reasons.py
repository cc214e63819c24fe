"""Why an answer is not as the document has it, where that is meant to be so; and why a code was never provoked."""

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """``operation``, ``sent`` and ``wrong`` are patterns; ``why`` is a sentence for the page."""

    operation: str
    sent: str
    wrong: str
    why: str

    def fits(self, operation: str, sent: str, wrong: str) -> bool:
        pairs = ((self.operation, operation), (self.sent, sent), (self.wrong, wrong))
        return all(re.search(pattern, text) for pattern, text in pairs)


REASONS = (
    Reason(
        "",
        "canceled",
        r"499 is not one of",
        "A task can be canceled here, and its code is 499: the API knows no cancel.",
    ),
    Reason(
        "",
        "a used-up key",
        r"433 is not one of",
        "Only the Market's pages list 433; here every operation can answer it.",
    ),
    Reason(
        "",
        "no JSON",
        r"400 is not one of",
        "A body that cannot be read is a 400 everywhere, also where no page lists it.",
    ),
    Reason(
        "^get4oImageDownloadUrl$",
        "without `taskId`",
        "is accepted",
        "Clients leave it out; the task is found by the URL then.",
    ),
    Reason(
        "^(addInstrumental|addVocals)$",
        "without `negativeTags`",
        "is accepted",
        "Clients leave it out although the page lists it as required.",
    ),
    Reason(
        "^extendMusic$",
        "an unknown id",
        "is accepted",
        "The public API takes an unknown track, too, and the task fails.",
    ),
    Reason(
        "^modelPricingPage$",
        "",
        "data: null is not of type",
        "The document shows no refusal of this call; ours has the usual form.",
    ),
    Reason(
        "^separateVocals$",
        "example",
        r"callback: `data\.vocal_separation_info",
        "The document's example is of another kind of separation; only fields of the wanted kind are sent, as it says.",
    ),
    Reason(
        "^(generateMusic|uploadAndCoverAudio|generateMashup)$",
        "`duration` beyond",
        "is accepted",
        "It acts with V5_5 only and is ignored elsewhere, as the document says.",
    ),
    Reason(
        "^getTimestampedLyrics$",
        "no credits|a full window|a used-up key",
        "is accepted",
        "The words of a song are told with it: nothing is made, and nothing is paid.",
    ),
    Reason(
        "^anthropicMessages$",
        "no credits|a used-up key",
        "HTTP 40[23] is not in the document",
        "Anthropic's own clients go by the HTTP status.",
    ),
    Reason(
        "^(generateMidi|sunoVoiceValidate|sunoVoiceRegenerate|recoveryAudio)$",
        "no credits|a used-up key",
        "is accepted",
        "It costs nothing.",
    ),
    Reason(
        "^generateVeo31Video$",
        "example",
        "record: `data.response.seeds`",
        "Only a seed that the caller chose is told.",
    ),
    Reason(
        "^generateVeo31Video$",
        "`imageUrls` beyond",
        "is accepted",
        "With TEXT_2_VIDEO pictures are ignored, however many there are.",
    ),
    Reason(
        "^getVeo31Video4k$",
        "",
        r"record: `data\.(response\.fullResultUrls|fallbackFlag)`",
        "The examples are of other tasks: a rendition has no longer whole, and no fallback, as the document says.",
    ),
    Reason(
        "^chatCompletions$",
        "reasoning_effort",
        "is accepted",
        "What only the model's provider can judge is passed on to it.",
    ),
    Reason(
        "^geminiStreamGenerateContent$",
        "",
        "thinkingTokenCount",
        "It is there when the model thought; the sandbox does not.",
    ),
)

UNPROVOKED: Mapping[int, str] = {
    404: "an unknown path is HTTP 404, and an unknown task or file has the code that stands in the table",
    405: "the older table's number for too many calls; here that is 429",
    408: "it takes a provider that is silent for longer than a task may live",
    409: "only what can be made once is refused the second time, and not everywhere with this code",
    413: "an upload is not compared with known songs",
    430: "the older table's number for too many calls; here that is 429",
    451: "a file that cannot be fetched fails the task; how its record says so is in the table",
    455: "there is no maintenance mode",
    500: "nothing here makes the gateway itself fail; a failed generation is in the record",
    501: "a failed generation is in the record and in the callback",
    505: "on a live key without a provider; what needs an earlier task finds none there",
    550: "the queue of tasks has no end",
}
"""Codes that the documents know and that a sweep may not meet."""


def why(operation: str, sent: str, wrong: str) -> str | None:
    """The reason for a deviation; None where nobody gave one."""
    return next((each.why for each in REASONS if each.fits(operation, sent, wrong)), None)
