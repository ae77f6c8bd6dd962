"""The views that notebooks and the dashboard share: the same modules, held by Panel instead of a notebook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import panel as pn
import param

import kodosumi_lab

__all__ = ["Shell"]

STATIC = Path(kodosumi_lab.__file__).parent / "widgets" / "static"


class Widget(pn.custom.AnyWidgetComponent):
    """A module of ``labextension/src/widgets``."""

    # the one that panel-material-ui brings, so that a page has one React and asks nobody else for it
    _react_version = "18.3.1"

    __abstract = True

    _esm: Any


class Shell(Widget):
    """The page in the browser: address, title, keys, links, theme. It shows nothing but a list of keys when asked.

    Attributes
    ----------
    query
        The address of what is looked at; changes when the person goes elsewhere.
    title, waiting
        Of the page; how many wait for a person.
    dark, narrow
        Whether it is dark, or as narrow as a phone.
    keys
        Pages by the letter that leads there.
    """

    _esm = STATIC / "shell.js"

    query = param.String("?page=flows")
    title = param.String("Kodosumi Lab")
    waiting = param.Integer(0)
    dark = param.Boolean(False)
    narrow = param.Boolean(False)
    keys = param.Dict({})
