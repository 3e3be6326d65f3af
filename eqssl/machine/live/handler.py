"""A logger plugin of Snakemake that turns Snakemake's messages into the display of a run.

`profiles/default` names it, so a plain `snakemake` has the display too. Snakemake's own text still goes to
`.snakemake/log`. Dry runs and `--verbose` show Snakemake's own text unchanged.
"""

from __future__ import annotations

import logging
import sys
import threading
from typing import Any

from rich.console import Console
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from eqssl.machine.live.display import PlainLines, TerminalDisplay, failure
from eqssl.machine.live.state import HEAVY, Run

_CHATTER = (
    "Assuming ",
    "Building DAG",
    "Complete log",
    "Config file ",
    "Execute ",
    "Job rate limit",
    "Provided ",
    "Rules claiming ",
    "Select jobs ",
    "Singularity containers",
    "Storing output",
    "Touching ",
    "Using shell",
    "host: ",
)
"""How those of Snakemake's messages begin that tell nothing which the display does not show."""


class LogHandler(LogHandlerBase):
    """Shows a run of Snakemake; see `LogHandlerBase` for the interface."""

    def __post_init__(self) -> None:
        """Choose the display."""
        self.run = Run()
        # Snakemake closes a handler at the end of its work, and the interpreter closes it again.
        self._finished = threading.Event()
        console = Console(stderr=True, highlight=False)
        self._plain = not sys.stderr.isatty()
        self._display = PlainLines(self.run, console) if self._plain else TerminalDisplay(self.run, console)
        if self._plain and not self.shows_text:
            threading.Thread(target=self._tick, daemon=True).start()

    @property
    def shows_text(self) -> bool:
        """Whether Snakemake's own text is shown unchanged."""
        return bool(self.common_settings.dryrun or self.common_settings.verbose)

    @property
    def writes_to_stream(self) -> bool:
        """Yes: it replaces Snakemake's own output."""
        return True

    @property
    def writes_to_file(self) -> bool:
        """No."""
        return False

    @property
    def has_filter(self) -> bool:
        """Yes, unless Snakemake's own text is shown: then Snakemake filters it."""
        return not self.shows_text

    @property
    def has_formatter(self) -> bool:
        """No: Snakemake's formatter is used for its own text."""
        return False

    @property
    def needs_rulegraph(self) -> bool:
        """No."""
        return False

    def emit(self, record: logging.LogRecord) -> None:
        """Handle a message of Snakemake."""
        try:
            if self.shows_text:
                self._write(record)
            else:
                self._take(record)
        except Exception:
            # if the display fails, the run must go on, and later messages must still be visible
            self._display.end()
            self._display = PlainLines(self.run, Console(stderr=True, highlight=False))
            self.handleError(record)

    def close(self) -> None:
        """Remove the display."""
        self._finished.set()
        self._display.end()
        super().close()

    def _take(self, record: logging.LogRecord) -> None:
        event = getattr(record, "event", None)
        match event:
            case LogEvent.RUN_INFO:
                self._plan(record)
            case LogEvent.RESOURCES_INFO:
                self.run.cores = int(getattr(record, "cores", None) or self.run.cores)
            case LogEvent.JOB_INFO:
                self._start(record)
            case LogEvent.JOB_FINISHED:
                job = self.run.finish(_number(record, "job_id"))
                if job is not None and job.rule in HEAVY:
                    self._display.finished(job)
            case LogEvent.JOB_ERROR:
                self._fail(record)
            case _:
                self._tell(record)

    def _plan(self, record: logging.LogRecord) -> None:
        self.run.plan(getattr(record, "stats", {}))
        if self._plain:
            self._write(record)
        self._display.begin()

    def _start(self, record: logging.LogRecord) -> None:
        values = vars(record)
        wildcards, logs = values.get("wildcards") or {}, values.get("log") or []
        job = self.run.start(_number(record, "jobid"), values["rule_name"], dict(wildcards), list(logs))
        self._display.started(job)

    def _fail(self, record: logging.LogRecord) -> None:
        number = _number(record, "jobid")
        if number not in self.run.jobs:
            self._start(record)
        job = self.run.fail(number)
        if job is not None:
            self._display.say(failure(job), "bold red")

    def _tell(self, record: logging.LogRecord) -> None:
        """Show warnings, errors, and messages that are no chatter."""
        text = record.getMessage() if record.msg else ""
        chatter = getattr(record, "event", None) is not None or text.startswith(_CHATTER)
        if record.levelno >= logging.WARNING or (record.levelno == logging.INFO and not chatter):
            self._write(record)

    def _write(self, record: logging.LogRecord) -> None:
        """Show a message in Snakemake's own words."""
        text = self.format(record)
        if text and text != "None":
            self._display.say(text)

    def _tick(self) -> None:
        while not self._finished.wait(1.0):
            if isinstance(self._display, PlainLines):
                self._display.tick()


def _number(record: logging.LogRecord, key: str) -> int:
    value: Any = getattr(record, key)
    return int(value)
