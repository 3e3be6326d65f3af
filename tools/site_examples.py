"""Docstrings for the API pages: the section `Example:` is read as the plural that griffe knows."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object


class Examples(Extension):
    """Without it griffe takes an example for a paragraph, and the site shows it without its lines."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Rename the heading of the section."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)
