"""Snakemake's messages into the display of a run: a logger plugin, by the interface that Snakemake gives.

`profiles/default` names it, so that a plain `snakemake` has it too. Snakemake's own text still goes to
`.snakemake/log`. Dry runs, `--quiet` and other modes that run nothing show Snakemake's own text as it is.
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

_SHOWN = ("Nothing to be done",)
"""How messages of Snakemake begin that are shown though nothing is wrong."""


class LogHandler(LogHandlerBase):
    """Shows a run of Snakemake."""

    def __post_init__(self) -> None:
        """Choose the display."""
        self.run = Run()
        # Snakemake closes a handler when its work is done, and the interpreter once more.
        self._finished = threading.Event()
        console = Console(stderr=True, highlight=False)
        self._plain = not sys.stderr.isatty()
        self._display = PlainLines(self.run, console) if self._plain else TerminalDisplay(self.run, console)
        if self._plain and not self.shows_text:
            threading.Thread(target=self._tick, daemon=True).start()

    @property
    def shows_text(self) -> bool:
        """Whether Snakemake's own text is shown as it is."""
        return bool(self.common_settings.dryrun or self.common_settings.verbose)

    @property
    def writes_to_stream(self) -> bool:
        """It takes the place of Snakemake's own output."""
        return True

    @property
    def writes_to_file(self) -> bool:
        """It does not."""
        return False

    @property
    def has_filter(self) -> bool:
        """Snakemake's own filter serves its own text alone."""
        return not self.shows_text

    @property
    def has_formatter(self) -> bool:
        """Snakemake's formatter is used for what is shown as it is."""
        return False

    @property
    def needs_rulegraph(self) -> bool:
        """It does not."""
        return False

    def emit(self, record: logging.LogRecord) -> None:
        """Take one of Snakemake's messages."""
        try:
            if self.shows_text:
                self._write(record)
            else:
                self._take(record)
        except Exception:
            # a display that fails must not stop the run, and must not hide what happens either
            self._display.end()
            self._display = PlainLines(self.run, Console(stderr=True, highlight=False))
            self.handleError(record)

    def close(self) -> None:
        """Take the display away."""
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
        """Pass on warnings, errors, and what a person waits for."""
        text = record.getMessage() if record.msg else ""
        if record.levelno >= logging.WARNING or text.startswith(_SHOWN):
            self._write(record)

    def _write(self, record: logging.LogRecord) -> None:
        """Snakemake's own words."""
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
