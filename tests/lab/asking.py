"""A gateway of which several threads ask the cluster all the time, while that ends and comes again: a line a round.

``python asking.py LOG_DIR ROUNDS``; a process of its own, since Ray was seen to end it.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

from kodosumi_lab.api.app import create_app
from kodosumi_lab.api.joining import ask
from kodosumi_lab.dashboard.facts import cluster_facts
from kodosumi_lab.dashboard.pulse import away
from kodosumi_lab.errors import ClusterError
from kodosumi_lab.runtime import background

ASKING = 3


def main(root: Path, rounds: int) -> None:
    gateway = create_app(log_dir=root).state.gateway
    answers: list[tuple[float, str]] = [(0.0, "")] * ASKING

    def go_on_asking(place: int) -> None:
        while True:
            try:
                answered = f"{len(ask(gateway.cluster, cluster_facts, gateway).nodes)} nodes"
            except ClusterError as error:
                answered = str(error)
            answers[place] = (time.monotonic(), answered)
            time.sleep(0.2)

    def until(text: str) -> float:
        began = time.monotonic()
        while not all(at > began and text in answered for at, answered in answers):
            if time.monotonic() - began > 60:
                raise SystemExit(f"expected {text!r} of all, not {answers}")
            time.sleep(0.05)
        return time.monotonic() - began

    for place in range(ASKING):
        threading.Thread(target=go_on_asking, args=[place], daemon=True).start()
    for number in range(rounds):
        background.up(log_dir=root)
        joined_s = until("1 nodes")
        background.down()
        if number == rounds - 1:  # a person presses Connect just then
            told = ""
            try:
                gateway.cluster.use(None)
            except ClusterError as error:
                told = str(error)
            assert told.startswith("no Ray cluster writes the log"), told
        left_s = until("no Ray cluster writes the log")
        assert away(gateway) is not None
        print(f"joined after {joined_s:.1f} s, left after {left_s:.1f} s", flush=True)
    os._exit(0)  # the threads are daemons, and Ray's own ends take their time


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
