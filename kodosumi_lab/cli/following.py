"""A run on the terminal while it goes on: what it shows, its console, its progress."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from kodosumi_lab.cli.output import age, err, out, renderable, say, seconds, status_text
from kodosumi_lab.errors import RunFailed

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID
    from rich.text import Text

    from kodosumi_lab.runtime.follow import Event
    from kodosumi_lab.runtime.run import Run

__all__ = ["LiveView", "last_line", "outcome"]

_CONSOLE = {"stdout": None, "stderr": "red", "log": "dim", "debug": "dim"}


class LiveView:
    """Follows a run and prints as events come.

    Parameters
    ----------
    run
        The run.
    quiet
        Print nothing to standard output: there the JSON document follows.

    Attributes
    ----------
    seq : int
        The last event that was shown; following again goes on after it.
    """

    def __init__(self, run: Run, *, quiet: bool) -> None:
        self.seq = -1
        self._run = run
        self._quiet = quiet
        self._lines: list[tuple[str, str]] = []
        self._bars: dict[str | None, TaskID] = {}
        self._status = ""
        # with both on one terminal everything has to pass through the console that holds the bar
        self._main = err() if quiet else out()
        self._screen = self._main if self._main.is_terminal else err()

    def follow(self, timeout_s: float | None) -> None:
        """Print until the run has ended.

        Raises
        ------
        WaitTimeout
            It had not ended after `timeout_s` seconds.
        KeyboardInterrupt
            Somebody pressed Ctrl-C.
        """
        from kodosumi_lab.runtime.follow import events_of, follow_frames
        from kodosumi_lab.runtime.run import event_log

        log = event_log(self._run.log_dir)
        with self._progress() as bars:
            self._set(bars, None, description="starting")
            for frame in follow_frames(log, self._run.id, after=self.seq, timeout_s=timeout_s):
                for event in events_of(log, frame):
                    self._show(bars, event)
                self._flush()
                self.seq = frame["seq"][-1]

    def _progress(self) -> Progress:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

        class Bar(BarColumn):
            def render(self, task: Any) -> Any:
                return "" if task.total is None else super().render(task)

        return Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            Bar(bar_width=30),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            console=self._screen,
            transient=True,
            disable=not self._screen.is_terminal,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def _set(self, bars: Progress, name: str | None, **state: Any) -> None:
        if name not in self._bars or self._bars[name] not in bars.task_ids:
            self._bars[name] = bars.add_task("", total=None)
        bars.update(self._bars[name], **state)

    def _show(self, bars: Progress, event: Event) -> None:
        kind = event.kind
        if kind in _CONSOLE:
            from kodosumi_lab.runtime.run import console_text

            self._lines.append((kind, console_text(kind, event.payload)))
        elif kind in ("result", "action"):
            self._flush()
            self._value(event)
        elif kind == "progress":
            self._advance(bars, json.loads(event.payload))
        elif kind == "status":
            self._flush()
            self._stands(bars, json.loads(event.payload), event.attempt)
        elif kind == "lock":
            self._flush()
            data = json.loads(event.payload)
            asked = f": {json.dumps(data['data'], ensure_ascii=False)}" if data.get("data") is not None else ""
            self._note(
                f"? {data.get('name')}{asked}\n  answer with: kodosumi-lab answer {self._run.id} VALUE "
                f"--lock {data.get('name')!r}",
                "bold yellow",
            )
        elif kind == "lease":
            data = json.loads(event.payload)
            who = "expired without an answer" if data.get("expired") else f"answered by {data.get('by')}"
            self._note(f"  {who}", "yellow")

    def _value(self, event: Event) -> None:
        from rich.text import Text

        console = self._main if not self._quiet else err()
        if event.agent:
            console.print(Text(f"{event.agent}:", style="bold"))
        value = event.value
        if event.kind == "action" and isinstance(value, str):
            value = f"→ {value}"
        console.print(renderable(value))

    def _advance(self, bars: Progress, data: dict[str, Any]) -> None:
        value, total = data.get("value"), data.get("total")
        label = " ".join(str(part) for part in (data.get("name"), data.get("label")) if part)
        known = isinstance(total, int | float) and isinstance(value, int | float) and total > 0
        state = {"total": total, "completed": value} if known else {"total": None}
        self._set(bars, data.get("name"), description=label or self._status or "running", **state)

    def _stands(self, bars: Progress, data: dict[str, Any], attempt: int) -> None:
        self._status = str(data.get("status"))
        reason = str(data.get("reason") or "")
        self._set(bars, None, description=f"{self._status} · {reason}" if reason else self._status)
        if self._status == "starting" and attempt > 1:
            self._note(f"attempt {attempt}: {reason}", "yellow")

    def _note(self, text: str, style: str) -> None:
        if self._screen.is_terminal:
            self._screen.print(text, style=style, soft_wrap=True)
        else:
            say(text, style=style)

    def _flush(self) -> None:
        """Print the console lines that were collected; of one kind at once, since printing is what costs."""
        lines, self._lines = self._lines, []
        start = 0
        for end in range(1, len(lines) + 1):
            if end == len(lines) or lines[end][0] != lines[start][0]:
                self._print(lines[start][0], "\n".join(text for _, text in lines[start:end]))
                start = end

    def _print(self, kind: str, text: str) -> None:
        from rich.text import Text

        console = self._main
        if kind != "stdout" and not (self._main.is_terminal and err().is_terminal):
            console = err()
        shown = Text.from_ansi(text, style=_CONSOLE[kind] or "")
        console.print(shown, soft_wrap=True)


def outcome(run: Run) -> dict[str, Any]:
    """How a run stands or ended, as one value: what ``--json`` gives and the last line says."""
    row = run._row()
    result, error, traceback = None, None, None
    if row["status"] == "finished":
        result = run.result()
    elif run.done:
        error = row["error"] or row["reason"]
        try:
            run.result()
        except RunFailed as failure:
            traceback = failure.traceback
    return {
        "run_id": run.id,
        "flow": row["flow"],
        "status": row["status"],
        "reason": row["reason"],
        "started": row["started"],
        "running": row["running"],
        "ended": row["ended"],
        "duration_s": run.duration_s,
        "attempt": row["attempt"],
        "events": row["events"],
        "result": result,
        "results": run.results(),
        "error": error or None,
        "traceback": traceback,
        "log_dir": run.log_dir,
    }


def last_line(data: dict[str, Any]) -> Text:
    """Status, flow, duration and id of a run that has ended."""
    took = seconds(data["duration_s"]) if data["duration_s"] is not None else age(data["started"], data["ended"])
    line = status_text(data["status"])
    line.append(f"  {data['flow']}", style="bold")
    line.append(f" · {took} · {data['events']:,} events · ", style="dim")
    line.append(data["run_id"])
    return line
