"""A page whose server is gone says so, and comes back to the same place by itself once there is one.

Bokeh tries to open its websocket again a few times, and gives up. Where the session is still there (a network that
was away) that is all that is needed. A server that was restarted knows the session no more: then the page is loaded
again, which leads to the same place, since everything that is looked at stands in the address.
"""

from __future__ import annotations

import json
import secrets
from typing import Any

from bokeh.models import CustomJS

__all__ = ["watch"]

# Bokeh gives its document as `cb_obj` and the event as `cb_data`.
_LOST = """
if (window.klLost) return;
const since = new Date().toLocaleTimeString();
const bar = document.createElement('div');
bar.setAttribute('role', 'status');
bar.style.cssText = 'position:fixed;inset:auto 0 0 0;z-index:2000;padding:10px 20px;text-align:center;' +
  'font:14px/1.4 system-ui,sans-serif;background:#8a4b00;color:#fff';
bar.textContent = `Disconnected from the server; this is as of ${since}. Trying again …`;
document.body.append(bar);
const wait = ms => new Promise(done => setTimeout(done, ms));
const answers = async () => {
  try {
    const said = await fetch(PROBE, {method: 'HEAD', cache: 'no-store', signal: AbortSignal.timeout(5000)});
    return said.status < 500;  // a proxy without the server behind it says 502 to 504
  } catch { return false }
};
const lost = window.klLost = {bar, over: false};
(async () => {
  await wait(500);
  while (!lost.over) {
    if (await answers()) {
      cb_data.reconnect();
      await wait(3000);
      if (!lost.over) return location.reload();
    }
    await wait(1500);
  }
})();
"""
_BACK = """
const lost = window.klLost;
if (!lost) return;
lost.over = true;
if (!cb_obj.roots().some(root => root.tags?.includes(SESSION))) {
  return location.reload();  // another session that began just now, with the page as it was first loaded
}
lost.bar.remove();
window.klLost = null;
"""
#: A file that is there without a session, beside each page.
_PROBE = "static/js/bokeh.min.js"


def watch(doc: Any, page: Any) -> None:
    """Have a page look after its connection.

    Parameters
    ----------
    doc
        Bokeh's document.
    page
        What is served in it.
    """
    session = f"session:{secrets.token_hex(8)}"
    page.tags = [*page.tags, session]
    for event, code in (("connection_lost", _LOST), ("client_reconnected", _BACK)):
        doc.js_on_event(
            event, CustomJS(code=code.replace("SESSION", json.dumps(session)).replace("PROBE", json.dumps(_PROBE)))
        )
