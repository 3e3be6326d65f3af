"""Folders of projects that use the installed package: `eqssl new`."""
