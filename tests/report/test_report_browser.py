"""The pages in headless Chromium: charts drawn, pictures loaded, no console error, no sideways scrolling."""

import re
import shutil
import subprocess

import pytest

pytestmark = pytest.mark.browser

QUIET = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--enable-logging=stderr")  # fmt: skip
PROBE = """<script>
window.addEventListener("load", () => setTimeout(() => {
  const images = [...document.images], all = selector => document.querySelectorAll(selector).length;
  const fits = document.documentElement.scrollWidth <= window.innerWidth;
  const loaded = images.every(i => i.naturalWidth > 99);
  const points = all(".scatterlayer .point, .boxlayer .point");
  document.body.dataset.probe = [fits, images.length, loaded, all(".main-svg"), points].join(",");
}, 1500));
</script>"""


def opened(page, tmp_path, width):
    """Probe values and console lines of a page in a window of `width` pixels."""
    browser = next((b for b in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if b), None)
    assert browser, "no Chromium on this machine: 'make test-browser' installs it"
    copy = tmp_path / "page.html"
    copy.write_text(page.read_text().replace("</body>", PROBE + "</body>"))
    options = [
        *QUIET,
        f"--user-data-dir={tmp_path / 'profile'}",
        f"--window-size={width},900",
        "--virtual-time-budget=20000",
    ]
    done = subprocess.run([browser, *options, "--dump-dom", copy.as_uri()], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    found = re.search(r'data-probe="([^"]+)"', done.stdout)
    assert found, "the page's scripts did not run"
    fits, images, loaded, charts, points = found[1].split(",")
    return fits == "true", int(images), loaded == "true", int(charts), int(points), console


@pytest.mark.parametrize("width", [1280, 1024])
def test_patient_page(cohort, tmp_path, width):
    fits, images, loaded, charts, points, console = opened(cohort.path("report", patient="P01"), tmp_path, width)
    assert console == []
    assert fits, f"wider than {width} pixels"
    assert images == 7 and loaded
    assert charts >= 1 and points >= 10 * 2 * 5  # organs x time points x methods


def test_cohort_page(cohort, tmp_path):
    fits, _, _, charts, points, console = opened(cohort.path("cohort_report"), tmp_path, 1280)
    assert console == [] and fits and charts >= 1 and points >= 14
