"""Pictures of a widget, for the eyes of who changes it: built from source, shown with a real gateway.

python tests/browser/look.py run run_id=rich --theme dark --width 320 --out run.png [--js "document…"] [--wait 1.5]

Names of the showcase's runs (rich, failing, asking, large, running) stand for their ids. Several widths, or both themes,
make several pictures: `--width 320,1000 --theme light,dark`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]


def main() -> None:
    """See the module."""
    from playwright.sync_api import sync_playwright

    from browser.conftest import ARGS, CHROMIUM
    from browser.pages import serve_pages
    from browser.showcase import Showcase

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("widget")
    parser.add_argument("traits", nargs="*")
    parser.add_argument("--theme", default="light")
    parser.add_argument("--width", default="1000")
    parser.add_argument("--height", type=int, default=800)
    parser.add_argument("--wait", type=float, default=1.5)
    parser.add_argument("--js", default="", help="run in the page before the picture")
    parser.add_argument("--out", default="look.png")
    parser.add_argument("--large", type=int, default=0, help="events of the run `large`")
    parser.add_argument("--runs", type=int, default=120)
    parser.add_argument("--full", action="store_true", help="the whole page")
    given = parser.parse_args()
    subprocess.run(["node", "build.mjs"], cwd=ROOT / "labextension", check=True)
    with tempfile.TemporaryDirectory() as folder:
        show = Showcase(Path(folder) / "log", large_events=given.large, runs=given.runs)
        traits: dict[str, Any] = dict(pair.split("=", 1) for pair in given.traits)
        named: dict[str, Any] = {}
        for name, value in traits.items():
            run = getattr(show, value, None) if value.isidentifier() else None
            named[name] = run if isinstance(run, str) else _parsed(value)
        with serve_pages(show.root) as pages, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
            for theme in given.theme.split(","):
                for width in given.width.split(","):
                    page = browser.new_page(viewport={"width": int(width), "height": given.height})
                    page.on("console", lambda said: print("console:", said.type, said.text))
                    page.on("pageerror", lambda error: print("error:", error))
                    page.goto(pages.of(given.widget, theme=theme, **named))
                    page.wait_for_timeout(given.wait * 1000)
                    if given.js:
                        print("js:", page.evaluate(given.js))
                        page.wait_for_timeout(700)
                    many = "," in given.theme or "," in given.width
                    out = Path(given.out)
                    target = out.with_stem(f"{out.stem}-{theme}-{width}") if many else out
                    page.screenshot(path=str(target), full_page=given.full)
                    print(target)
            browser.close()
        show.close()


def _parsed(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


if __name__ == "__main__":
    main()
