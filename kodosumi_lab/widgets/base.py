"""The base of all widgets: traits that say which log, and the comm as a way to it.

A widget's browser side asks over HTTP where a gateway of the same log is reachable, and over its
comm where none is. A handler hands off at once (:mod:`kodosumi_lab.widgets.bridge`), so it matters
to nobody which thread it runs in, or that all widgets share one.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from kodosumi_lab.runtime.layout import log_id
from kodosumi_lab.runtime.run import event_log
from kodosumi_lab.widgets.bridge import Channel

__all__ = ["STATIC", "LabWidget"]

#: Where the built modules are: ``_esm = STATIC / "run.js"``.
STATIC = Path(__file__).with_name("static")


def _kept_nowhere(value: Any, widget: Any) -> dict[str, Any]:
    """An outbox goes one way: what somebody entered is not sent back, nor saved with a notebook."""
    return {}


class LabWidget(anywidget.AnyWidget):
    """A widget about a log.

    Parameters
    ----------
    log_dir
        Directory of the log; by default this process's.
    **traits
        Values of its traits.
    """

    _log = traitlets.Unicode().tag(sync=True)
    _http = traitlets.Bool(True).tag(sync=True)
    _outbox = traitlets.Dict().tag(sync=True, echo_update=False, to_json=_kept_nowhere)

    def __init__(self, *, log_dir: str | Path | None = None, **traits: Any) -> None:
        root = event_log(log_dir).root
        self._channel = Channel(root, self.send)
        self._root = root
        super().__init__(_log=log_id(root), **traits)
        self.on_msg(self._take)

    def open(self) -> None:
        """Open the comm, and see to it that its messages are handled while a cell runs."""
        super().open()
        comm = self.comm
        if comm is None:
            return
        with contextlib.suppress(Exception):
            # ipykernel 7.4 sends what comes from the browser to where the comm was opened: behind the cell that
            # created the widget. The browser knows better, and says so in the message's header.
            comm._reply_subshell_for = lambda data, default: default
        with contextlib.suppress(Exception):
            comm.on_close(lambda _: self._channel.close())

    def close(self) -> None:
        """Close the comm; everything that was asked over it ends."""
        channel = self.__dict__.get("_channel")  # also called while an interpreter ends, and after a failed start
        if channel is not None:
            channel.close()
        super().close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of the log {self._root}>"

    def _take(self, _: Any, content: Any, buffers: Any) -> None:
        self._channel.take(content, buffers or ())

    @traitlets.observe("_outbox")
    def _take_outbox(self, change: Any) -> None:
        self._channel.take_outbox(change["new"])
