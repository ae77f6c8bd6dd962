"""Serve pages of widgets over a log, in a process of its own: ``python -m benchmarks.browser_page LOG`` prints how."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Serve until standard input ends."""
    sys.path.insert(0, str(ROOT / "tests"))
    from browser.pages import serve_pages

    with serve_pages(Path(sys.argv[1])) as pages:
        print(json.dumps({"url": pages.url, "log": pages._log_id}), flush=True)
        ended = threading.Event()
        threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
        ended.wait()


if __name__ == "__main__":
    main()
