"""A text file's characters apart from how they are stored: encoding, byte order mark, line ends."""

import codecs
from dataclasses import dataclass

from app.workspace.workspace_errors import EditError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@dataclass(frozen=True, slots=True)
class TextFile:
    """The text of a file, and what `encode` needs to store a changed text in the same way."""

    text: str
    encoding: str
    mark: bytes

    @property
    def newline(self) -> str:
        """The line end that most lines have."""
        windows = self.text.count("\r\n")
        return "\r\n" if windows > self.text.count("\n") - windows else "\n"

    @property
    def unusual(self) -> str:
        """The encoding where it is not UTF-8, for the reader."""
        return "" if self.encoding == "utf-8" else self.encoding.upper()

    def encode(self, path: str, text: str) -> bytes:
        """The changed text as bytes. Raises `EditError` for a character that the file's encoding does not have."""
        try:
            return self.mark + text.encode(self.encoding)
        except UnicodeEncodeError as error:
            character = error.object[error.start]
            raise EditError(
                f"{path} is stored as {self.encoding.upper()}, which has no {character!a}; write it another way"
            ) from error


def decode(path: str, content: bytes) -> TextFile:
    """Read a text file: UTF-8, UTF-16 with a mark, else Latin-1, which keeps every byte.

    Raises EditError for binary files.
    """
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            try:
                return TextFile(content[len(mark) :].decode(encoding), encoding, mark)
            except UnicodeDecodeError:
                break
    if b"\0" in content:
        raise EditError(f"{path} is a binary file and cannot be shown or edited as text")
    try:
        return TextFile(content.decode(), "utf-8", b"")
    except UnicodeDecodeError:
        return TextFile(content.decode("latin-1"), "latin-1", b"")


def in_the_style_of(path: str, before: bytes, text: str) -> bytes:
    """A whole new text, stored as the file was: with its mark, encoding and line ends, where the text has none."""
    try:
        old = decode(path, before)
        text = text.removeprefix("\ufeff") if old.mark else text
        windows = old.newline == "\r\n" and "\r" not in text
        return old.encode(path, text.replace("\n", "\r\n") if windows else text)
    except EditError:  # it was binary, or has characters that its old encoding lacks
        return text.encode()
