"""Structured log records for Python's `logging`:

    import logging
    from flodea.logging import Handler

    logging.basicConfig(level=logging.INFO, handlers=[Handler()])
    logging.info("bought", extra={"fields": {"symbol": "XAU", "amount": 3}})
"""

from __future__ import annotations

import logging

from . import agent


def _level(number: int) -> str:
    if number >= logging.ERROR:
        return "error"
    if number >= logging.WARNING:
        return "warning"
    return "info" if number >= logging.INFO else "debug"


class Handler(logging.Handler):
    """Sends each record to the agent's log, with its logger's name and `extra={"fields": {…}}` as fields.

    What cannot be sent goes the way of `logging.Handler.handleError`: to stderr, which is in the agent's log too.
    """

    def emit(self, record: logging.LogRecord) -> None:
        try:
            fields = {"logger": record.name, **getattr(record, "fields", {})}
            agent.log(self.format(record), _level(record.levelno), **fields)
        except Exception:  # noqa: BLE001 - logging's own convention
            self.handleError(record)
