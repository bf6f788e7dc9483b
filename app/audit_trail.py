"""The audit log: one line of JSON for every act of a person and of the bot, in a file of the service's own."""

import json
import logging
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final

FILE: Final = "audit.jsonl"
MAX_BYTES: Final = 50_000_000
KEPT_FILES: Final = 10
_acts = logging.getLogger("autopack.audit")


def install(folder: Path) -> logging.Handler:
    """Write the lines to a file in this folder, which is kept up to 550 MB; close the handler at the end."""
    handler = RotatingFileHandler(folder / FILE, maxBytes=MAX_BYTES, backupCount=KEPT_FILES, delay=True)
    handler.setFormatter(_Line())
    _acts.setLevel(logging.INFO)
    _acts.propagate = False
    _acts.addHandler(handler)
    return handler


def uninstall(handler: logging.Handler) -> None:
    _acts.removeHandler(handler)
    handler.close()


def record(actor: str, act: str, where: str, outcome: object = "") -> None:
    """Write who did what, where, and the outcome."""
    _acts.info("%s", act, extra={"actor": actor, "where": where, "outcome": outcome})


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        known = {name: str(getattr(record, name, ""))[:300] for name in ("actor", "where", "outcome")}
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        return json.dumps({"at": at, "act": record.getMessage()[:300], **known})
