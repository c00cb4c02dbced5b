"""The pages in headless Chromium: charts drawn, pictures loaded, no console error, no sideways scrolling."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from html import escape

import pytest

pytestmark = pytest.mark.browser
A4_PX = 703  # 186 mm between the margins, at 96 px per inch

QUIET = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--enable-logging=stderr")  # fmt: skip
PROBE = """<script>
window.addEventListener("load", () => setTimeout(() => {
  const images = [...document.images], all = selector => document.querySelectorAll(selector).length;
  const fits = document.documentElement.scrollWidth <= window.innerWidth;
  const loaded = images.every(i => i.naturalWidth > 99);
  const points = all(".scatterlayer .point, .boxlayer .point");
  const hidden = Math.max(...[...document.querySelectorAll(".scroll")].map(x => x.scrollWidth - x.clientWidth));
  const drawn = [...document.querySelectorAll(".main-svg")];
  const widest = () => Math.max(...drawn.map(x => x.getBoundingClientRect().width));
  const before = widest();
  dispatchEvent(new Event("beforeprint"));
  const printed = widest();
  dispatchEvent(new Event("afterprint"));
  const after = widest(), values = [fits, images.length, loaded, all(".main-svg"), points, hidden];
  document.body.dataset.probe = [...values, before, printed, after].join(",");
}, 1500));
</script>"""


@dataclass(frozen=True)
class Probe:
    """What a page is like in a window; `chart_widths`, px, before, during and after printing."""

    fits: bool
    images: int
    loaded: bool
    charts: int
    points: int
    hidden: int
    chart_widths: tuple[float, ...]
    console: list[str]


COLUMN_NAMES = """<script>
window.addEventListener("load", () => setTimeout(() => {
  document.querySelector("tbody tr:nth-last-child(60)").scrollIntoView({behavior: "instant"});
  const told = [...document.querySelectorAll("tr.why")].map(x => getComputedStyle(x.previousElementSibling).breakAfter);
  document.body.dataset.probe = [
    scrollY, document.querySelector("thead th").getBoundingClientRect().top,
    told.filter(x => x != "avoid").length, told.length
  ].join(",");
}, 1500));
</script>"""
PHONE_PX = 390
PHONE = """<body><iframe width="{width}" height="900" srcdoc="{page}"></iframe><script>
window.addEventListener("load", () => setTimeout(() => {{
  const page = document.querySelector("iframe").contentDocument, all = selector => [...page.querySelectorAll(selector)];
  const hidden = selector => Math.max(...all(selector).map(x => x.scrollWidth - x.clientWidth));
  const overlap = (a, b) => a.top < b.bottom && b.top < a.bottom && a.left < b.right && b.left < a.right;
  const meet = chart => {{
    const found = [...chart.querySelectorAll(".annotation-text, .xtitle")].map(x => x.getBoundingClientRect());
    return found.some((a, n) => found.some((b, m) => n < m && overlap(a, b)));
  }};
  document.body.dataset.probe = [
    hidden("html"), hidden("#summary .scroll, #basis .scroll"), all(".js-plotly-plot").filter(meet).length,
    all(".xtitle").length
  ].join(",");
}}, 3000));
</script></body>"""


def browser():
    found = next((b for b in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if b), None)
    assert found, "no Chromium on this machine: 'make test-browser' installs it"
    return found


def opened(page, tmp_path, width):
    """`Probe` of a page in a window of `width` pixels."""
    copy = tmp_path / "page.html"
    copy.write_text(page.read_text().replace("</body>", PROBE + "</body>"))
    document, console = shown(copy, tmp_path, width)
    fits, images, loaded, charts, points, hidden, *widths = probed(document)
    return Probe(
        fits == "true", int(images), loaded == "true", int(charts), int(points), int(hidden),
        tuple(map(float, widths)), console,
    )  # fmt: skip


def shown(page, tmp_path, width):
    """The page's document, after its scripts, in a window of `width` pixels; and the lines on the console."""
    options = [
        *QUIET,
        f"--user-data-dir={tmp_path / 'profile'}",
        f"--window-size={width},900",
        "--virtual-time-budget=20000",
    ]
    command = [browser(), *options, "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def probed(document):
    """The values that a probe left."""
    found = re.search(r'data-probe="([^"]+)"', document)
    assert found, "the page's scripts did not run"
    return found[1].split(",")


@pytest.mark.parametrize("width", [1280, 1024, 800])
def test_patient_page(cohort, tmp_path, width):
    page = opened(cohort.path("report", patient="P01"), tmp_path, width)
    assert page.console == []
    assert page.fits, f"wider than {width} pixels"
    assert page.images == 8 and page.loaded
    assert page.charts >= 1 and page.points >= 10 * 2 * 5  # organs x time points x methods
    assert page.hidden == 0, "a table hides its last columns"


@pytest.fixture(scope="module")
def eight_points(tmp_path_factory):
    """Page of a patient with two cycles of four time points."""
    import fake_results as fake

    from planardose.steps.absorbed_dose import absorbed_dose
    from planardose.steps.fit_kinetics import fit_kinetics
    from planardose.steps.report import report

    run = fake.make_run(tmp_path_factory.mktemp("eight"), ["P01"], cycles=2, methods=["qplanar"])
    fake.fill_patient(run, "P01")
    for step in (fit_kinetics, absorbed_dose, report):
        step(run, "P01")
    return run.path("report", patient="P01")


@pytest.mark.parametrize("width", [1280, 800])
def test_eight_time_points_fit(eight_points, tmp_path, width):
    page = opened(eight_points, tmp_path, width)
    assert page.fits and page.hidden == 0, "a table hides its last columns"


@pytest.mark.parametrize(("name", "where"), [("report", {"patient": "P01"}), ("cohort_report", {})])
def test_charts_fit_the_paper(cohort, tmp_path, name, where):
    before, printed, after = opened(cohort.path(name, **where), tmp_path, 1280).chart_widths
    assert before > A4_PX >= printed
    assert after == before


def test_cohort_page(cohort, tmp_path):
    page = opened(cohort.path("cohort_report"), tmp_path, 1280)
    assert page.console == [] and page.fits and page.charts >= 1 and page.points >= 14


def test_the_first_tables_and_the_charts_can_be_read_on_a_phone(cohort, tmp_path):
    """In a frame, since the browser's window is not made so narrow."""
    frame, page = tmp_path / "frame.html", cohort.path("report", patient="P01").read_text()
    frame.write_text(PHONE.format(width=PHONE_PX, page=escape(page)))
    document, console = shown(frame, tmp_path, 800)
    beyond, hidden, overlapping, titles = map(int, probed(document))
    assert console == [] and titles >= 4
    assert beyond == 0 and hidden == 0, "a dose may be cut in the middle of a number"
    assert overlapping == 0, "charts whose titles or axes lie on each other"


def test_the_columns_of_a_long_cohort_are_named_wherever_one_looks(cohort, tmp_path):
    """And the line that says what failed is not parted from its row on paper, as a page of 150 patients showed."""
    many, html = tmp_path / "many.html", cohort.path("cohort_report").read_text()
    before, rows, after = re.split(r"(?<=<tbody>)(.*?)(?=</tbody>)", html, maxsplit=1, flags=re.S)
    many.write_text((before + 40 * rows + after).replace("</body>", COLUMN_NAMES + "</body>"))
    document, console = shown(many, tmp_path, 1280)
    scrolled, top, broken, told = map(float, probed(document))
    assert console == [] and scrolled > 1000 and top == 0
    assert told >= 40 and broken == 0
