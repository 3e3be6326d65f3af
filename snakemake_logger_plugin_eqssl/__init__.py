"""The plugin's place, where Snakemake finds it by its name (`logger: eqssl` in a profile)."""

from eqssl.machine.live.handler import LogHandler, LogHandlerSettings

__all__ = ["LogHandler", "LogHandlerSettings"]
