"""Logs: for people on a terminal, JSON for machines; with the order's id, without anybody's address or card."""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import AbstractContextManager
from typing import Any, Final, TextIO

import structlog
from structlog.contextvars import bound_contextvars, merge_contextvars
from structlog.dev import ConsoleRenderer, plain_traceback
from structlog.processors import JSONRenderer, TimeStamper, format_exc_info
from structlog.stdlib import ExtraAdder, ProcessorFormatter, add_log_level, add_logger_name
from structlog.typing import Processor

_EMAIL: Final = re.compile(r"[\w.+%'-]+@[\w-]+(?:\.[\w-]+)+")
_DIGITS: Final = re.compile(r"(?<![\w.-])[3-6](?:[ -]?\d){12,18}(?![\w-])")
# Libraries that write a line per request.
_TALKATIVE: Final = ("httpx", "httpcore", "uvicorn.access", "alembic.runtime.migration")


def configure(*, level: int = logging.INFO, stream: TextIO = sys.stderr) -> None:
    """Send structlog's and the standard library's logs to `stream`. Harmless to repeat."""
    shared: list[Processor] = [
        merge_contextvars,
        add_log_level,
        add_logger_name,
        TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=[*shared, ExtraAdder()],
            processors=[
                ProcessorFormatter.remove_processors_meta,
                format_exc_info,
                redact,
                _renderer(stream),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


def about(**ids: str) -> AbstractContextManager[None]:
    """Write these ids, for example `order_id`, into every line logged inside the block."""
    return bound_contextvars(**ids)


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace e-mail addresses and card numbers anywhere in a line, tracebacks included."""
    for name, value in event.items():
        event[name] = _clean(value)
    return event


def _clean(value: Any) -> Any:
    match value:
        case str():
            return _DIGITS.sub(_hidden_card, _EMAIL.sub("[e-mail]", value))
        case Mapping():
            return {name: _clean(part) for name, part in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_clean(part) for part in value]
        case bool() | float() | None:
            return value
        case int():
            return value if (text := _clean(str(value))) == str(value) else text
        case _:
            return _clean(str(value))


def _hidden_card(found: re.Match[str]) -> str:
    digits = [int(sign) for sign in found[0] if sign.isdigit()]
    doubled = [d * 2 - 9 * (d > 4) for d in digits[-2::-2]]
    return "[card]" if (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0 else found[0]


def _renderer(stream: TextIO) -> Processor:
    if stream.isatty():
        return ConsoleRenderer(exception_formatter=plain_traceback)
    return JSONRenderer(default=str)
