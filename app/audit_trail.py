"""The audit log: one line of JSON for every act of a person and of the bot, in a file of the service's own."""

import json
import logging
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final

FILE: Final = "audit.jsonl"
LOGGER: Final = "autopack.audit"
"""Who acts logs to it: the message says what was done, the attributes `actor`, `where` and `outcome` the rest."""
MAX_BYTES: Final = 50_000_000
KEPT_FILES: Final = 10


def install(folder: Path) -> logging.Handler:
    """Write the lines to a file in this folder, which is kept up to 550 MB; close the handler at the end."""
    handler = RotatingFileHandler(folder / FILE, maxBytes=MAX_BYTES, backupCount=KEPT_FILES, delay=True)
    handler.setFormatter(_Line())
    logger = logging.getLogger(LOGGER)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    return handler


def uninstall(handler: logging.Handler) -> None:
    logging.getLogger(LOGGER).removeHandler(handler)
    handler.close()


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        known = {name: str(getattr(record, name, ""))[:300] for name in ("actor", "where", "outcome")}
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        return json.dumps({"at": at, "act": record.getMessage()[:300], **known})
