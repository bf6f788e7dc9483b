"""Compares a whole text with a page that is kept as a file, so that a reader of the test sees it: `make snapshots`."""

from typing import Any

from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode


class Page(SingleFileSnapshotExtension):
    """A page of its own in `pages/<test module>/`, with a newline at its end."""

    file_extension = "md"
    _write_mode = WriteMode.TEXT

    def serialize(self, data: Any, **_options: Any) -> str:
        return str(data).rstrip("\n") + "\n"
