"""Keep the head and the tail of a long output; errors are at its end, causes often at its start."""

import codecs


class HeadAndTail:
    """Collects text of any length in bounded memory, at most `limit` characters of it."""

    def __init__(self, limit: int) -> None:
        self._head_limit: int = limit // 3
        self._tail_limit: int = limit - self._head_limit
        self._decoder: codecs.IncrementalDecoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._head: str = ""
        self._tail: str = ""
        self._omitted: int = 0

    def write(self, data: bytes, *, final: bool = False) -> None:
        """Add bytes; a character may be split between two calls."""
        text = self._decoder.decode(data, final)
        room = self._head_limit - len(self._head)
        self._head += text[:room]
        tail = self._tail + text[room:]
        cut = max(0, len(tail) - self._tail_limit)
        self._omitted += cut
        self._tail = tail[cut:]

    def text(self) -> str:
        """Return what was kept, with a line that says how much was left out."""
        if not self._omitted:
            return self._head + self._tail
        return f"{self._head}\n[... {self._omitted} characters left out ...]\n{self._tail}"
