"""Widgets: what runs and flows look like in a notebook. Only modules here import ipywidgets and anywidget."""
