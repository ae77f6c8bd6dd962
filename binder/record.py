"""Record the runs that are in the history of a fresh Binder: `python binder/record.py`, half a minute of real Ray.

A log says where and by whom it was made. To record it as it would be on Binder, do that from a clone at `/home/jovyan`,
as user `jovyan`, on a host `binder`; `docs/binder.md` has the commands.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[0] = str(HERE.parent)  # to find examples.flows

import kodosumi_lab as kl  # noqa: E402
from examples.flows.primes import prime_gaps  # noqa: E402
from examples.flows.profile_table import profile_table  # noqa: E402
from examples.flows.research import research  # noqa: E402
from examples.flows.review import review  # noqa: E402

# Of a log: what the runs said. The rest is whose files these are, and queues that have been emptied.
_KEPT = ("events", "runs", "artifacts")


def record() -> None:
    """Four runs: Ray tasks, charts, agents, and two people who are asked."""
    primes = prime_gaps.launch(end=20_000_000, tasks=4)
    table = Path(tempfile.gettempdir(), "prime_gaps.csv")
    primes.result(120).write_csv(table)
    profile_table.launch(path=str(table)).result(120)
    table.unlink()
    research.launch(question="How do I split a path into root and extension?").result(120)

    answers = {
        "findings": ("ada", {"stand": ["0"], "minutes": 15, "remark": "The rest reads well."}),
        "signature": ("grace", {"decision": "accept", "signature": "GH"}),
    }
    asking = review.launch(document="CONTRIBUTING.md", longest=30)
    for event in asking.follow(timeout_s=120):
        if event.kind == "lock":
            name = event.value["name"]
            who, answer = answers[name]
            asking.answer(answer, lock=name, by=who)
    asking.result(60)


def main() -> None:
    """Replace ``binder/demo_log``."""
    with tempfile.TemporaryDirectory() as folder:
        kl.connect("local", log_dir=folder)
        try:
            record()
        finally:
            kl.disconnect()
        shutil.rmtree(HERE / "demo_log", ignore_errors=True)
        for name in _KEPT:
            if Path(folder, name).is_dir():
                shutil.copytree(Path(folder, name), HERE / "demo_log" / name)
    print(kl.runs(log_dir=HERE / "demo_log").select("flow", "status", "events").collect())


if __name__ == "__main__":
    main()
