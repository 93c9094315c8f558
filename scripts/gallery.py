"""Makes the pictures of the README from a real run of the bundled pair: `python scripts/gallery.py [FOLDER]`.

Writes docs/pictures/: `live.svg`, the terminal in the middle of the run; `report.png` and `chain.png`, the report of
that run in a browser. Needs the extras `local` and `browser`, and Chromium. With FOLDER the run is kept there.
"""

from __future__ import annotations

import asyncio
import io
import re
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright
from rich.console import Console

from atts import load_run
from atts.cli.live import Meters, Progress, view
from atts.config.run import resolve
from atts.events import Event
from atts.report.page import write_page
from atts.runs.runner import Run
from atts.runs.setup import prepare

PICTURES = Path(__file__).parent.parent / "docs" / "pictures"
WIDTH = 80
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


def run(folder: Path) -> str:
    """The bundled run with its defaults; returns the live view when half of the chains had ended, as SVG."""
    progress = Progress()
    meters = Meters(progress)
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    taken = False

    def sink(event: Event) -> None:
        nonlocal taken
        progress(event)
        if not taken and progress.ended * 2 >= progress.wanted > 0:
            console.print(view(meters))
            taken = True
        elif not taken and progress.ended % 10 == 1:
            meters.speed()

    asyncio.run(Run(prepare(resolve()), folder, sinks=[sink]).execute())
    drawn = console.export_svg(title="atts run")
    return re.sub(r"@font-face\s*\{.*?\}", "", drawn, flags=re.DOTALL)  # the picture asks no network for a font


def photograph(page_file: Path) -> None:
    """The top of the report, and a chain with a takeover."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1180, "height": 1180}, color_scheme="light")
        page.goto(page_file.as_uri())
        page.screenshot(path=PICTURES / "report.png")
        page.locator("button.open").first.click()
        page.wait_for_selector(".chain")
        with_takeover = page.locator(".chain", has_text=re.compile("[1-9] taken over")).first
        with_takeover.locator("> summary").click()
        with_takeover.screenshot(path=PICTURES / "chain.png")
        browser.close()


def main() -> None:
    """Make all pictures."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(temporary) / "bundled"
        if folder.exists():
            sys.exit(f"{folder} exists; the pictures show a run from its beginning")
        (PICTURES / "live.svg").write_text(run(folder), encoding="utf-8")
        page_file = Path(temporary) / "report.html"
        write_page([load_run(folder)], page_file)
        photograph(page_file)
    print(*(f"{path.name}: {path.stat().st_size:,} bytes" for path in sorted(PICTURES.iterdir())), sep="\n")


if __name__ == "__main__":
    main()
