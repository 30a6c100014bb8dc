"""How a command that goes on for long writes its log; imported by those commands, the core's and plugins'."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

__all__ = ["LogFormat", "LogOption", "start_log"]

TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
TEXT_OF_MANY = "%(asctime)s %(levelname)s [%(process)d] %(name)s: %(message)s"


class LogFormat(StrEnum):
    """What lines of a log are."""

    TEXT = "text"
    JSON = "json"


LogOption = Annotated[
    LogFormat,
    typer.Option(
        "--log-format", envvar="INDIAAI_LOG_FORMAT", case_sensitive=False, help="json: one object a line, for machines."
    ),
]
"""The annotation of a command's parameter."""


def start_log(log_format: str, *, is_of_many: bool = False) -> None:
    """Send the log to the error stream.

    Args:
        log_format: A value of `LogFormat`.
        is_of_many: Whether several processes write there, so that each line is to say whose it is.
    """
    import logging

    from indiaai_core.worker import JsonFormatter

    handler = logging.StreamHandler()
    text = logging.Formatter(TEXT_OF_MANY if is_of_many else TEXT)
    handler.setFormatter(JsonFormatter() if log_format == LogFormat.JSON else text)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
