"""A logger plugin of Snakemake that turns Snakemake's messages into the display of a run.

`profiles/default` names it, so a plain `snakemake` has the display too. Snakemake's own text still goes to
`.snakemake/log`. It is shown unchanged in dry runs, with `--logger-eqssl-display snakemake`, and with
options that ask for more or less of it (`--verbose`, `--printshellcmds`, `--debug-dag`, `--quiet`).
"""

from __future__ import annotations

import logging
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.settings import LogHandlerSettingsBase

from eqssl.machine.live.display import PlainLines, TerminalDisplay, failure
from eqssl.machine.live.messages import is_chatter, is_stop, shortened
from eqssl.machine.live.progress import redraws
from eqssl.machine.live.state import HEAVY, Run

_HELP = "How to show a run: as a display of cells, losses and time left (cells), or in Snakemake's own words."


@dataclass
class LogHandlerSettings(LogHandlerSettingsBase):
    """What the command line may set: `--logger-eqssl-display`."""

    display: str = field(
        default="cells", metadata={"help": _HELP, "type": str, "choices": ["cells", "snakemake"]}
    )


class LogHandler(LogHandlerBase):
    """Shows a run of Snakemake; see `LogHandlerBase` for the interface."""

    def __post_init__(self) -> None:
        """Choose the display."""
        from snakemake.logging import ColorizingTextHandler, DefaultFormatter

        common = self.common_settings
        stream = sys.stdout if common.stdout else sys.stderr
        self._own_text = ColorizingTextHandler(nocolor=common.nocolor, stream=stream)
        self._own_text.setFormatter(DefaultFormatter(common.quiet, common.show_failed_logs))
        self._broken = self._stopping = False
        self.run = Run()
        # Snakemake closes a handler at the end of its work, and the interpreter closes it again.
        self._finished = threading.Event()
        console = Console(stderr=True, highlight=False, no_color=common.nocolor or None)
        self._plain = not redraws()
        self._display = PlainLines(self.run, console) if self._plain else TerminalDisplay(self.run, console)
        if self._plain and not self.shows_text:
            threading.Thread(target=self._tick, daemon=True).start()

    @property
    def shows_text(self) -> bool:
        """Whether Snakemake's own text is shown unchanged."""
        common = self.common_settings
        asked = common.dryrun or common.verbose or common.printshellcmds or common.debug_dag or common.quiet
        return bool(asked or getattr(self.settings, "display", None) == "snakemake" or self._broken)

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
        """No: Snakemake's filter is used, which heeds `--quiet`."""
        return False

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
        if not self.shows_text:
            try:
                self._take(record)
            except Exception as error:
                self._give_up(error)
            else:
                return
        with suppress(BrokenPipeError):  # whoever read it may have gone, as `head` does
            self._own_text.emit(record)

    def close(self) -> None:
        """Remove the display."""
        self._finished.set()
        with suppress(OSError):  # the terminal may have gone
            self._display.end()
        super().close()

    def _give_up(self, error: Exception) -> None:
        """After a fault of the display: the run goes on, in Snakemake's own text."""
        self._broken = True
        self._finished.set()
        with suppress(Exception):  # the terminal itself may be what failed
            self._display.end()
        told = f"eqssl: the display failed ({type(error).__name__}: {error}); Snakemake's own text follows"
        with suppress(OSError):
            print(told, file=sys.stderr, flush=True)

    def _take(self, record: logging.LogRecord) -> None:
        event = getattr(record, "event", None)
        match event:
            case LogEvent.RUN_INFO:
                self._plan(record)
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
            self._say(self.format(record))
        self._display.begin()

    def _start(self, record: logging.LogRecord) -> None:
        values = vars(record)
        wildcards, logs = values.get("wildcards") or {}, values.get("log") or []
        self.run.start(_number(record, "jobid"), values["rule_name"], dict(wildcards), list(logs))

    def _fail(self, record: logging.LogRecord) -> None:
        number = _number(record, "jobid")
        if number not in self.run.jobs:
            self._start(record)
        job = self.run.fail(number)
        if job is not None and self._stopping:
            self._display.say(f"{job.title} stopped")
        elif job is not None:
            self._display.say(failure(job), "bold red")

    def _tell(self, record: logging.LogRecord) -> None:
        """Show warnings, errors, and messages that are not chatter."""
        text = self.format(record)
        self._stopping = self._stopping or is_stop(text)
        if record.levelno >= logging.ERROR:
            self._say(shortened(text))
        elif record.levelno >= logging.WARNING:
            self._say(text)
        elif record.levelno == logging.INFO and getattr(record, "event", None) is None:
            self._say("" if is_chatter(text) else text)

    def _say(self, text: str) -> None:
        if text and text != "None":
            self._display.say(text)

    def _tick(self) -> None:
        while isinstance(self._display, PlainLines) and not self._finished.wait(1.0):
            try:
                self._display.tick()
            except Exception as error:
                self._give_up(error)


def _number(record: logging.LogRecord, key: str) -> int:
    value: Any = getattr(record, key)
    return int(value)
