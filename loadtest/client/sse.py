"""Server-sent events from bytes that arrive in any pieces: mid-event, mid-line, mid-character. Pure."""

from __future__ import annotations

import re

_LINE_END = re.compile(rb"\r\n|\n|\r")


class EventDecoder:
    """Bytes in, the data of every completed event out, by the HTML standard's rules for event streams."""

    def __init__(self) -> None:
        self._rest = b""  # an unfinished line
        self._data: list[bytes] = []  # of the unfinished event

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of each event that `chunk` completes, still encoded; comments and other fields are dropped."""
        found: list[bytes] = []
        *lines, self._rest = self._split(self._rest + chunk)
        for line in lines:
            if line.startswith(b"data:"):
                self._data.append(line[6:] if line[5:6] == b" " else line[5:])
            elif line == b"data":
                self._data.append(b"")
            elif not line and self._data:
                found.append(b"\n".join(self._data))
                self._data.clear()
        return found

    @staticmethod
    def _split(text: bytes) -> list[bytes]:
        """Lines, the last one unfinished. A carriage return at the very end may be half of a line end: it stays."""
        if b"\r" not in text:
            return text.split(b"\n")
        if text.endswith(b"\r"):
            lines = _LINE_END.split(text[:-1])
            lines[-1] += b"\r"
            return lines
        return _LINE_END.split(text)
