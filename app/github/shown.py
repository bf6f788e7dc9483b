"""What this process has shown on GitHub: a text that is there already is neither read again nor sent again."""

import hashlib
import threading
from collections import OrderedDict

MAX_TEXTS = 5_000
Key = tuple[str, ...]


class Shown:
    """By key, the id of a comment, check run or pull request, and a digest of what it says. For all event loops.

    Forgotten when the process ends; then what is there is read.
    """

    def __init__(self) -> None:
        self._texts: OrderedDict[Key, tuple[int, bytes]] = OrderedDict()
        self._lock = threading.Lock()

    def id_of(self, key: Key) -> int | None:
        """The id of what was shown under this key."""
        with self._lock:
            return self._texts.get(key, (None, b""))[0]

    def says(self, key: Key, text: str) -> bool:
        """Whether it said this when it was last shown."""
        with self._lock:
            return self._texts.get(key, (0, b""))[1] == _digest(text)

    def note(self, key: Key, number: int, text: str) -> None:
        """It says this now."""
        with self._lock:
            self._texts[key] = (number, _digest(text))
            self._texts.move_to_end(key)
            if len(self._texts) > MAX_TEXTS:
                self._texts.popitem(last=False)

    def forget(self, key: Key) -> None:
        """It may have changed: read it the next time."""
        with self._lock:
            self._texts.pop(key, None)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
