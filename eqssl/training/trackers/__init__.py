"""Trackers: the progress of a training, written for the programs that people compare their runs with.

A tracker only ever receives numbers. No result, no path and no digest depends on it.
"""

from eqssl.training.trackers.base import Tracker
from eqssl.training.trackers.registry import TRACKERS, require_tracker
from eqssl.training.trackers.starting import start_tracker

__all__ = ["TRACKERS", "Tracker", "require_tracker", "start_tracker"]
