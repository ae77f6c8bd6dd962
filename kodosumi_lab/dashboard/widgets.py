"""The views that notebooks and the dashboard share: the same modules, held by Panel instead of a notebook.

Where the gateway is beside the dashboard they ask it over HTTP, with the browser's cookie. Under a plain
``panel serve`` they ask over Panel's own websocket, and the bridge that answers a notebook's widgets answers
them, in the name of the session's user.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import panel as pn
import param

from kodosumi_lab.widgets.base import STATIC
from kodosumi_lab.widgets.bridge import Channel

if TYPE_CHECKING:
    from kodosumi_lab.dashboard.views.base import Desk

__all__ = ["Form", "Inbox", "Run", "Runs", "Seen", "Shell"]


class Widget(pn.custom.AnyWidgetComponent):
    """A module of ``labextension/src/widgets``."""

    # the one that panel-material-ui brings, so that a page has one React and asks nobody else for it
    _react_version = "18.3.1"

    __abstract = True


class Shell(Widget):
    """The page in the browser: address, title, keys, links, theme. It shows nothing but a list of keys when asked.

    Attributes
    ----------
    query
        The address of what is looked at; changes when the person goes elsewhere.
    visits
        How often the person went somewhere, be it to where they were.
    title, waiting
        Of the page; how many wait for a person.
    dark, narrow
        Whether it is dark, or as narrow as a phone.
    keys
        Pages by the letter that leads there.
    entered
        How often Ctrl+Enter was pressed where text is written.
    cookie
        Kept by the browser, which loads the page again.
    """

    _esm = STATIC / "shell.js"

    query = param.String("?page=flows")
    visits = param.Integer(0)
    title = param.String("Kodosumi Lab")
    waiting = param.Integer(0)
    dark = param.Boolean(False)
    narrow = param.Boolean(False)
    keys = param.Dict({})
    entered = param.Integer(0)
    cookie = param.String("")

    def download(self, name: str, data: bytes, mime: str) -> None:
        """Hand a file to the person."""
        self.send({"t": "download", "name": name, "mime": mime, "buffers": [data]})


class Seen(Widget):
    """Whether the page's tab can be seen; it shows nothing.

    Attributes
    ----------
    hidden
        Another tab is before it, or the window is minimised: nobody needs to be shown what is new.
    """

    hidden = param.Boolean(False)

    _esm = """
    export default { render({ model }) {
      const now = () => {
        model.set('hidden', tell.told = document.hidden);
        model.save_changes();
      };
      let later;
      const tell = () => {
        clearTimeout(later);
        if (document.hidden) later = setTimeout(now, 2000);  // a page that is left is hidden, too
        else now();
      };
      document.addEventListener('visibilitychange', window.klSeen = tell);
      tell();
      return () => document.removeEventListener('visibilitychange', tell);
    } };
    """


class LogWidget(Widget):
    """A view of the log.

    Parameters
    ----------
    desk
        Of the session.
    """

    __abstract = True

    _api = param.String("")
    _http = param.Boolean(False)
    _page = param.Boolean(True)
    _outbox = param.Dict({})
    _changes = param.Integer(0)

    def __init__(self, desk: Desk, **params: Any) -> None:
        super().__init__(_api=desk.api, **{"sizing_mode": "stretch_width", "margin": 0, **params})
        self._desk = desk
        desk.changed.append(self._tell)
        if desk.api:
            return
        self._doc = desk.doc
        self._channel = Channel(desk.access.gateway.log.root, self._post, desk.access.user)
        self.param.watch(lambda event: self._channel.take_outbox(event.new), "_outbox")
        if self._doc is not None and self._doc.session_context:
            pn.state.on_session_destroyed(lambda *_: self._channel.close())

    def _tell(self) -> None:
        self._changes += 1

    def close(self) -> None:
        """Nobody looks at it any more."""
        self._desk.changed.remove(self._tell)
        if not self._desk.api:
            self._channel.close()

    def _post(self, message: dict[str, Any], buffers: list[bytes]) -> None:
        """To the browser; comes from the bridge's thread."""
        told = functools.partial(self.send, {**message, "buffers": buffers})
        if self._doc is not None and self._doc.session_context:
            self._doc.add_next_tick_callback(told)
        else:
            told()


class Runs(LogWidget):
    """The list of runs.

    Attributes
    ----------
    query
        What is asked for, as the gateway's ``GET /runs`` takes it.
    selected, compared
        Ids of chosen runs, and of those that are to be compared.
    """

    _esm = STATIC / "runs.js"

    query = param.Dict({})
    selected = param.List([])
    compared = param.List([])


class Run(LogWidget):
    """One run, live.

    Attributes
    ----------
    run_id, tab
        Which, and which part of it.
    """

    _esm = STATIC / "run.js"

    run_id = param.String("")
    tab = param.String("")
    compact = param.Boolean(False)
    live = param.Boolean(True)


class Inbox(LogWidget):
    """Everything that waits for a person."""

    _esm = STATIC / "inbox.js"

    count = param.Integer(0)


class Form(LogWidget):
    """The form of a flow, and its launch.

    Attributes
    ----------
    flow, values
        Of which flow, and what is entered.
    launched
        Id of the run that was launched last.
    """

    _esm = STATIC / "form.js"

    flow = param.String("")
    values = param.Dict({})
    launched = param.String("")
