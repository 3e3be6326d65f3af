"""What the pages of the report have in common."""

from __future__ import annotations

import jinja2


def environment() -> jinja2.Environment:
    """The templates; every text in them is escaped, and a name that is not there is an error."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("eqssl.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
