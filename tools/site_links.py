"""What the site adds to MkDocs: links out of docs/, and sections of README.md in other pages.

Pages link to other files of the repository, such as `../experiments/sky.yaml`, because they are read on a
Git host too. In the site such a link leads to a copy of the file under `files/`, or to the page made of it.
A link to a file that is not there is left for MkDocs to warn of, which ends a strict build.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from xml.etree.ElementTree import Element

from markdown import Extension, Markdown
from markdown.treeprocessors import Treeprocessor
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "SECURITY.md": "security.md"}
"""Files outside docs/ that have a page of the site; that of README.md has a text of its own."""
SECTION = re.compile(r"^<!-- README\.md: (.+) -->$", re.MULTILINE)
"""In its place stands the section of README.md with this heading."""


class Links(Treeprocessor):
    """Leads links out of docs/ to where the site has their files."""

    site: Path
    """The folder of mkdocs.yml."""
    page: Page
    files: Files
    config: MkDocsConfig

    def run(self, root: Element) -> None:
        """Change the links of one page, before MkDocs checks them."""
        for element in root.iter():
            for key in ("href", "src"):
                if element.tag in ("a", "img") and element.get(key):
                    element.set(key, self.in_site(element.get(key, "")))

    def in_site(self, link: str) -> str:
        """The link from this page to the same file in the site."""
        scheme, host, path, query, anchor = urlsplit(link)
        if scheme or host or not path or path.startswith("/"):
            return link
        page = self.page.file.src_uri
        own = {made: given for given, made in PAGES.items() if given != "README.md"}
        place = own.get(page, f"docs/{page}")  # where the page stands in the repository
        target = posixpath.normpath(posixpath.join(posixpath.dirname(place), path))
        found = self._uri(target)
        return link if found is None else urlunsplit(("", "", _relative(found, page), query, anchor))

    def _uri(self, target: str) -> str | None:
        """Where the site has a file of the repository; it is put there if it stands outside docs/."""
        if target in PAGES:
            return PAGES[target]
        if target.startswith("docs/"):
            return target.removeprefix("docs/")
        file, uri = self.site / target, f"files/{target}"
        if target.startswith("..") or target.endswith(".md") or not file.is_file():
            return None
        if self.files.get_file_from_path(uri) is None:
            self.files.append(File.generated(self.config, uri, abs_src_path=str(file)))
        return uri


class _Registration(Extension):
    """Puts the links in their place after Markdown has made them (20) and before MkDocs checks them (0)."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 - the name is Markdown's
        md.treeprocessors.register(_links, "site_links", 10)


_links = Links()


def on_config(config: MkDocsConfig) -> None:
    """Have the links of every page changed."""
    _links.config, _links.site = config, Path(config.config_file_path).parent
    config.markdown_extensions.append(_Registration())  # type: ignore[arg-type]


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Make pages of the files outside docs/ that have one."""
    _links.files = files
    for given, made in PAGES.items():
        path = _links.site / given
        if given != "README.md" and path.is_file():
            files.append(File.generated(config, made, abs_src_path=str(path)))


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Note which page follows, and put sections of README.md where it asks for them."""
    _links.page = page
    readme = (_links.site / "README.md").read_text(encoding="utf-8") if SECTION.search(markdown) else ""
    return SECTION.sub(lambda found: section(readme, found[1]), markdown)


def section(readme: str, heading: str) -> str:
    """The text of a section without its heading; `start` is what comes first. Links are as from docs/.

    Raises:
        PluginError: README.md has no such section.
    """
    first = re.sub(r"^# .+$", "## start", readme, count=1, flags=re.MULTILINE)
    parts = re.split(r"^## (.+)$", first, flags=re.MULTILINE)
    texts = dict(zip(parts[1::2], parts[2::2], strict=True))
    if heading not in texts:
        raise PluginError(f"README.md has no section {heading!r}, only {', '.join(texts)}")
    return re.sub(r"\]\((?!\w+:|#)", "](../", texts[heading].strip())


def _relative(uri: str, page: str) -> str:
    return posixpath.relpath(uri, posixpath.dirname(page) or ".")
