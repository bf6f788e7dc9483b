"""Whole texts for people, as files beside their tests, so that a reader sees the page. `make snapshots` renews them."""

from typing import Any

from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode


class Page(SingleFileSnapshotExtension):
    """A page of its own in `pages/<test module>/`, with a newline at its end."""

    file_extension = "md"
    _write_mode = WriteMode.TEXT

    def serialize(self, data: Any, **_options: Any) -> str:
        return str(data).rstrip("\n") + "\n"
