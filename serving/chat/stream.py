"""Token ids -> text, as they come: never half a character, and nothing of a stop string."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from serving.chat.vocabulary import Vocabulary

_Utf8Decoder = codecs.getincrementaldecoder("utf-8")


class Detokenizer:
    """The text of a growing answer; the pieces joined are the whole answer's text.

    Bytes that are no UTF-8 come out as U+FFFD, as Python and the web platform replace them.
    """

    def __init__(self, vocabulary: Vocabulary, *, continues: bool = False) -> None:
        self._table = vocabulary.table
        self._utf8 = _Utf8Decoder("replace")
        # A text that continues its prompt keeps the space between the two.
        self._drop_space = vocabulary.drops_first_space and not continues

    def push(self, token_id: int) -> str:
        """The whole characters that this token completes."""
        written = self._table[token_id]
        if self._drop_space and written:
            self._drop_space = False
            written = written.removeprefix(b" ")
        return self._utf8.decode(written)

    def finish(self) -> str:
        """U+FFFD for a character that was never completed, else nothing."""
        return self._utf8.decode(b"", final=True)


StopTables = Sequence[tuple[str, Sequence[int]]]


def stop_tables(stops: Sequence[str]) -> StopTables:
    """Knuth, Morris and Pratt's table for each stop string; one set serves every choice of a request."""
    return [(stop, _failure_table(stop)) for stop in stops]


class StopStrings:
    """Finds the stop string that is complete first, and holds back what may still become one.

    The work per character does not grow with a stop string's length.
    Of several that are complete at the same character the longest counts, so the answer is cut where the earliest begins.
    """

    def __init__(self, stops: StopTables) -> None:
        self._stops = stops
        self._matched = [0] * len(stops)  # characters of each that the text ends with
        self._held = ""

    def push(self, text: str) -> tuple[str, bool]:
        """The text that is safe to show, and whether a stop string has been found; then nothing may follow."""
        text, start = self._held + text, len(self._held)
        for at in range(start, len(text)):
            complete = self._advance(text[at])
            if complete:
                self._held = ""
                return text[: at + 1 - complete], True
        keep = max(self._matched, default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep], False

    def finish(self) -> str:
        """What was held back and turned out not to be a stop string; nothing once one was found."""
        held, self._held = self._held, ""
        return held

    def _advance(self, character: str) -> int:
        """Feed one character; the length of the longest stop string that it completes, else 0."""
        complete = 0
        for i, (stop, failure) in enumerate(self._stops):
            matched = self._matched[i]
            while matched and stop[matched] != character:
                matched = failure[matched - 1]
            matched += stop[matched] == character
            if matched == len(stop):
                complete = max(complete, matched)
                matched = failure[matched - 1]
            self._matched[i] = matched
        return complete


def _failure_table(stop: str) -> list[int]:
    """For each prefix of `stop`: the length of the longest proper prefix that is also its suffix."""
    table, matched = [0] * len(stop), 0
    for at in range(1, len(stop)):
        while matched and stop[matched] != stop[at]:
            matched = table[matched - 1]
        matched += stop[matched] == stop[at]
        table[at] = matched
    return table


class TextStream:
    """Both together, for one answer."""

    def __init__(
        self, vocabulary: Vocabulary, *, stops: StopTables = (), min_tokens: int = 0, continues: bool = False
    ) -> None:
        self._detokenizer = Detokenizer(vocabulary, continues=continues)
        self._stop_strings = StopStrings(stops) if stops else None
        self._unwatched = min_tokens  # tokens to come whose text is not searched for stop strings
        self.stopped = False

    def push(self, token_id: int) -> str:
        """The text to show after this token; sets `stopped` when it completed a stop string."""
        text = self._detokenizer.push(token_id)
        if self._unwatched > 0:
            self._unwatched -= 1
            return text
        return self._watched(text)

    def finish(self) -> str:
        """The rest, once the last token has come; nothing after a stop string."""
        if self.stopped:
            return ""
        text = self._watched(self._detokenizer.finish())
        held = "" if self._stop_strings is None else self._stop_strings.finish()
        return text + held

    def _watched(self, text: str) -> str:
        if self._stop_strings is None or not text:
            return text
        text, self.stopped = self._stop_strings.push(text)
        return text
