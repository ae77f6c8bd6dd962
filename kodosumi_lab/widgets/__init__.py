"""Widgets for notebooks, on anywidget and ipywidgets; nothing is loaded before one is shown."""
