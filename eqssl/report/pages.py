"""What the pages of the report have in common."""

from __future__ import annotations

import jinja2


def environment(html: bool = True) -> jinja2.Environment:
    """The templates; a name that is not there is an error.

    Args:
        html: whether every text in them is escaped.
    """
    return jinja2.Environment(
        loader=jinja2.PackageLoader("eqssl.report"),
        autoescape=html,  # noqa: S701 - Markdown is no HTML
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
