"""The Panel: an admin dashboard on the log and the gateway, in a browser, with HoloViz Panel.

``state`` (what somebody looks at) → ``numbers``, ``access``, ``console`` (frames and requests, in a user's name)
→ ``views`` (frame in, pane out) → ``app`` (layout and binding). Only ``views``, ``widgets``, ``app`` and
``mounted`` import Panel.
"""
