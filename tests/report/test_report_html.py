import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
from PIL import Image
from sealed import resealed
from written_grid import TWINS, metrics, probes, write_cell, write_grid

from eqssl.report import write_report
from eqssl.report.style import FAMILIES, css_name

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FIGURES = {
    "forest": 3,
    "labels": 2,
    "rotation": 4,
    "cost": 1,
    "equivariance": 2,
    "change": 2,
    "pretext": 2,
    "loss": 3,
}

# Runs in the page: sizes of what must be visible, then the order of the rows after a click on a heading.
MEASURE = """
<script>
const box = (element) => { const r = element.getBoundingClientRect(); return [r.width, r.height]; };
const pretexts = (table) => [...table.querySelectorAll("tbody tr")].map((row) =>
  row.cells[0].textContent.trim() + " " + row.cells[1].textContent.trim());
const table = document.querySelector("#main-1");
const headings = [...table.querySelectorAll("th[data-column]")];
const heading = headings.find((th) => th.textContent.trim() === "stored");
const seen = (svg) => svg.getClientRects().length > 0;
const size = (svg) => [...box(svg), svg.querySelectorAll("path").length];
const before = pretexts(table);
const found = {
  table: box(table),
  rows: before.length,
  figures: Object.fromEntries([...document.querySelectorAll("figure")].map((figure) =>
    [figure.id, [...figure.querySelectorAll(".panel svg")].filter(seen).map(size)])),
  ink: getComputedStyle(document.documentElement).color,
  axis: getComputedStyle(document.querySelector(".panel svg text")).fill,
  overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  before,
};
heading.querySelector("button").click();
found.sorted = pretexts(table);
found.sort = heading.getAttribute("aria-sort");
heading.querySelector("button").click();
found.turned = pretexts(table);
heading.querySelector("button").click();
found.after = pretexts(table);
document.documentElement.dataset.found = JSON.stringify(found);
</script>
"""


class Tags(HTMLParser):
    """Collects ids and addresses of a page, and checks that every tag is closed in order."""

    VOID = frozenset({"meta", "link", "br", "img", "input", "hr", "path", "use"})

    def __init__(self, text):
        super().__init__()
        self.ids, self.addresses, self.open, self.found = [], [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.ids += [values["id"]] if "id" in values else []
        self.addresses += [
            v for k, v in values.items() if k in ("src", "href", "xlink:href", "action", "data")
        ]
        self.found = values.get("data-found", self.found)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("written")
    write_report(write_grid(folder / "results"), folder / "index.html", TWINS)
    return folder / "index.html"


@pytest.fixture
def page(written, tmp_path):
    """A copy of the report of `grid`, made once from equal files in another folder."""
    return shutil.copy(written, tmp_path / "index.html")


def test_equal_input_gives_equal_bytes(grid, page, tmp_path):
    write_report(grid, tmp_path / "again.html", TWINS)
    assert (tmp_path / "again.html").read_bytes() == page.read_bytes()
    resealed(grid[0][0], lambda values: values.update(acc_stored_100=values["acc_stored_100"] + 0.01))
    write_report(grid, tmp_path / "again.html", TWINS)
    assert (tmp_path / "again.html").read_bytes() != page.read_bytes()


def test_the_page_is_valid_html_and_loads_nothing_else(page):
    text = page.read_text()
    tags = Tags(text)
    assert tags.open == []
    assert len(tags.ids) == len(set(tags.ids))
    assert all(address.startswith(("#", "data:,")) for address in tags.addresses)
    assert not re.search(r"https?://(?!www\.w3\.org/)|@import|url\((?!#)", text)


def test_the_heading_names_the_data_the_number_of_cells_and_the_code(page):
    text = page.read_text().replace("\u00a0", " ")
    for words in (
        "fashion_mnist_rot_sample",
        "16 cells",
        "chance is 10 %",
        "eqssl 0.1.0",
        "89abcdef0123",
        "d" * 12,
    ):
        assert words in text
    assert not re.search(r"\b20\d\d-\d\d-\d\d\b", text)


def test_the_settings_hash_follows_the_settings_and_not_the_order(grid, page, tmp_path):
    def hash_of(path):
        return re.search(r"<dt>settings</dt><dd><code>(\w{8})<", path.read_text())[1]

    write_report(grid[::-1], tmp_path / "turned.html", TWINS)
    assert hash_of(tmp_path / "turned.html") == hash_of(page)
    resealed(
        grid[0][0], lambda values: values["details"]["encoder"]["job"]["pretrain"].update(learning_rate=0.1)
    )
    write_report(grid, tmp_path / "other.html", TWINS)
    assert hash_of(tmp_path / "other.html") != hash_of(page)


def test_every_number_of_the_table_is_there(grid, page):
    text = page.read_text()
    means = {}
    for path, _ in grid:
        values = json.loads(path.read_text())
        means.setdefault((values["group"], values["pretext"]), []).append(values["acc_angle_10"])
    body = re.search(r'<table id="main-1".*?</table>', text, re.DOTALL)[0]
    for pair in means.values():
        assert f">{100 * sum(pair) / 2:.1f}<" in body.replace("<strong>", ">").replace("</strong>", "<")


def test_text_from_files_is_escaped(tmp_path):
    values = metrics("data", "C4", "eq_labels", 0)
    values["details"]["versions"] = {"eqssl": "0.1.0", "processor": "<script>alert(1)</script> & Co"}
    values["pretext"] = "eq_<b>labels"
    cell = write_cell(tmp_path, {**values, "pretext": "safe"})

    def change(written):
        written["pretext"] = written["details"]["encoder"]["job"]["pretext"] = "eq_<b>labels"

    resealed(cell[0], change)
    write_report([cell], tmp_path / "index.html", TWINS)
    text = (tmp_path / "index.html").read_text()
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; Co" in text
    assert "<b>labels" not in text


def test_problems_of_the_probes_become_warnings(grid, page, tmp_path):
    assert 'id="warnings"' not in page.read_text()
    values = json.loads(grid[3][0].read_text())
    found = {"invariant": probes(edge=True), "regular": probes(converged=False)}
    resealed(grid[3][0], lambda written: written["details"]["probes"].update(found))
    write_report(grid, tmp_path / "index.html", TWINS)
    text = (tmp_path / "index.html").read_text().replace("\u00a0", " ")
    name = f"fashion_mnist_rot_sample {values['group']} {values['pretext']} seed {values['seed']}"
    draws = "{0}, 100 %; {0}, 10 % (5 of 5 draws); {0}, 1 % (5 of 5 draws)"
    edge = "the chosen strength is the first or last of those tried"
    assert f"{name}: {edge}: {draws.format('invariant')}" in text
    assert f"{name}: a fit stopped before it converged: {draws.format('regular')}" in text


def test_settings_that_differ_between_cells_are_told_apart(page):
    text = page.read_text()
    assert re.search(r"<dt>pretrain.epochs</dt>\s*<dd>0 <span class=\"soft\">\(4 cells: random\)", text)
    assert re.search(r"<dt>pretrain.batch_size</dt>\s*<dd>128</dd>", text)


def test_cells_without_details_still_make_a_report(tmp_path):
    grid = write_grid(tmp_path / "r", seeds=(0,))
    for path, losses in grid:
        losses.write_text("epoch,loss\n")
        path.with_name("predictions.csv").write_text("actual,predicted\n")
        trained = resealed(losses.with_name("pretrain.json"))
        resealed(path, lambda values: values.pop("details"), pretrain=trained)
    write_report(grid, tmp_path / "index.html", TWINS)
    text = (tmp_path / "index.html").read_text()
    assert "No figure: accuracy by angle was not recorded" in text
    assert "No figure: no cell was trained" in text
    assert "chance is" not in text
    assert Tags(text).open == []


def test_a_single_cell_and_several_data_sets_make_a_report(tmp_path):
    write_report(
        write_grid(tmp_path / "a", ("one",), ("C4",), ("labels",), (0,)), tmp_path / "one.html", TWINS
    )
    assert 'id="differences"' not in (tmp_path / "one.html").read_text()
    write_report(write_grid(tmp_path / "b", ("one", "two"), seeds=(0,)), tmp_path / "two.html", TWINS)
    text = (tmp_path / "two.html").read_text()
    assert 'id="main-2"' in text
    assert "One seed" in text


def test_a_damaged_file_leaves_no_report_and_the_old_one_whole(grid, page, tmp_path):
    before = page.read_bytes()
    grid[5][0].write_text('{"dataset": ')
    with pytest.raises(ValueError, match="not JSON") as caught:
        write_report(grid, page, TWINS)
    assert str(caught.value).startswith(str(grid[5][0]))
    assert page.read_bytes() == before
    with pytest.raises(ValueError, match="not JSON"):
        write_report(grid, tmp_path / "new" / "index.html", TWINS)
    assert not (tmp_path / "new").exists()


def browse(page, folder, *flags):
    """Run headless Chromium on a page; give its standard output."""
    command = [
        CHROMIUM,
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        *("--disable-dev-shm-usage", "--host-resolver-rules=MAP * ~NOTFOUND"),
        f"--user-data-dir={folder / 'profile'}",
        *flags,
        page.as_uri(),
    ]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome on the PATH")
@pytest.mark.parametrize("width", [1400, 500])
def test_a_browser_shows_the_table_and_every_figure(page, tmp_path, width):
    measured = tmp_path / "measured.html"
    measured.write_text(page.read_text().replace("</body>", MEASURE + "</body>"))
    found = json.loads(Tags(browse(measured, tmp_path, f"--window-size={width},1000", "--dump-dom")).found)
    assert found["rows"] == 8
    assert found["table"][0] > 400
    assert found["table"][1] > 8 * 20
    assert {name: len(svgs) for name, svgs in found["figures"].items()} == {
        f"figure-{name}": count for name, count in FIGURES.items()
    }
    for svgs in found["figures"].values():
        for across, down, paths in svgs:
            assert across > 200
            assert 0.15 < down / across < 1.1
            assert paths > 10
    assert found["axis"] == found["ink"]
    assert found["overflow"] <= 0  # wide tables scroll in their own frame, the page does not
    assert found["sort"] == "descending"
    assert found["sorted"] != found["before"]
    assert found["sorted"][0] == "C4 supervised"
    assert found["turned"][0] == "trivial random"
    assert found["after"] == found["before"]


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome on the PATH")
def test_a_browser_paints_the_colours_of_the_lines(page, tmp_path):
    shot = tmp_path / "page.png"
    browse(page, tmp_path, "--window-size=1400,2600", "--hide-scrollbars", f"--screenshot={shot}")
    with Image.open(shot) as image:
        colours = {colour for count, colour in image.convert("RGB").getcolors(1 << 24) if count > 100}
    assert {(0x00, 0x67, 0xA5), (0x3D, 0x9B, 0xE0), (0xFF, 0xFF, 0xFF)} <= colours


def renamed(folder, names):
    """The cells of a small grid under other names of their pretexts."""
    cells = []
    for old, new in names.items():
        values = metrics("images", "C4", old, 0)
        values["pretext"] = values["details"]["encoder"]["job"]["pretext"] = new
        cells.append(write_cell(folder, values))
    return cells


@pytest.mark.parametrize("twins", [{"foo": "bar"}, {}])
def test_the_page_follows_declared_twins_and_not_names(tmp_path, twins):
    grid = renamed(tmp_path / "r", {"eq_labels": "foo", "labels": "bar", "random": "random"})
    write_report(grid, tmp_path / "index.html", twins)
    text = (tmp_path / "index.html").read_text()
    assert ("Minus its plain twin" in text) == bool(twins)
    strong, light = FAMILIES[0]
    swatch_of = {
        name: re.search(rf'<td class="name">(.*?)</svg>{name}</td>', text)[1] for name in ("foo", "bar")
    }
    assert css_name(strong) in swatch_of["foo"]
    assert (css_name(light) in swatch_of["bar"]) == bool(twins)
