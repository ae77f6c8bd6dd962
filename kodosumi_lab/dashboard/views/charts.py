"""Charts over time: a frame in, a figure out.

They share one axis of time, and a stretch that is marked on one of them is what all of them are narrowed to.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
from bokeh.events import SelectionGeometry
from bokeh.models import (
    BasicTicker,
    BoxSelectTool,
    ColumnDataSource,
    CustomJSTickFormatter,
    DataRange1d,
    DatetimeTickFormatter,
    HoverTool,
    LinearAxis,
    NumeralTickFormatter,
    Range1d,
)
from bokeh.plotting import figure

from kodosumi_lab.dashboard.style import STATUS_COLOURS

__all__ = ["Chart", "Lines", "Stack", "TimeAxis"]

_HEIGHT = 190
# As the views in the browser write durations and sizes.
_SECONDS = """
const s = tick;
if (s < 1e-9) return '0';
if (s < 1) return +(s * 1000).toPrecision(3) + ' ms';
if (s < 60) return +s.toPrecision(3) + ' s';
if (s < 3600) return +(s / 60).toPrecision(3) + ' min';
return +(s / 3600).toPrecision(3) + ' h';
"""
_BYTES = """
let v = tick; let i = 0; const u = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
while (v >= 1024 && i < 4) { v /= 1024; i += 1; }
return +v.toPrecision(3) + ' ' + u[i];
"""
_TIMES: dict[str, Any] = {
    "seconds": "%H:%M:%S", "minsec": "%H:%M:%S", "minutes": "%H:%M", "hourmin": "%H:%M", "hours": "%H:%M",
    "days": "%d %b", "months": "%b %Y", "years": "%Y",
}  # fmt: skip


class TimeAxis:
    """The time that all charts show, and what happens when a stretch of it is marked.

    Parameters
    ----------
    marked
        Called with from when and until when.
    """

    def __init__(self, marked: Callable[[datetime.datetime, datetime.datetime], None]) -> None:
        self.range = Range1d(start=0, end=1)
        self._marked = marked

    def show(self, low: datetime.datetime, high: datetime.datetime) -> None:
        """Show this time."""
        self.range.update(start=low, end=high)

    def listen(self, plot: figure) -> None:
        """Take marks on this figure."""

        def mark(event: Any) -> None:
            geometry = event.geometry
            if event.final and geometry.get("type") == "rect":
                low, high = (
                    datetime.datetime.fromtimestamp(geometry[name] / 1000, datetime.UTC) for name in ("x0", "x1")
                )
                if high - low >= datetime.timedelta(seconds=1):
                    self._marked(low.replace(microsecond=0), high.replace(microsecond=0))

        plot.on_event(SelectionGeometry, mark)


@dataclass(frozen=True, slots=True)
class Series:
    """A line or a layer of bars: its column, name and colour."""

    column: str
    label: str
    colour: str
    right: bool = False


class Chart:
    """A figure over time.

    Attributes
    ----------
    figure
        Of Bokeh.
    """

    figure: figure

    def draw(self, frame: pl.DataFrame, width_s: float) -> None:
        """Show these numbers; takes the document's lock."""
        raise NotImplementedError


def _blank(axis: TimeAxis, unit: str) -> figure:
    tool = BoxSelectTool(dimensions="width")
    plot = figure(
        height=_HEIGHT, sizing_mode="stretch_width", x_axis_type="datetime", x_range=axis.range,
        y_range=DataRange1d(start=0), tools=[tool],
        toolbar_location=None, active_drag=tool, output_backend="canvas", min_border_left=46, min_border_right=12,
    )  # fmt: skip
    plot.xaxis.formatter = DatetimeTickFormatter(**_TIMES)
    plot.xgrid.grid_line_color = None
    plot.ygrid.grid_line_alpha = 0.35
    plot.axis.axis_line_alpha = 0.3
    plot.axis.major_tick_line_alpha = 0.3
    plot.axis.minor_tick_line_color = None
    plot.axis.major_label_text_font_size = "11px"
    plot.yaxis.formatter = _formatter(unit)
    plot.yaxis.ticker = BasicTicker(desired_num_ticks=4)
    axis.listen(plot)
    return plot


def _formatter(unit: str) -> Any:
    if unit == "s":
        return CustomJSTickFormatter(code=_SECONDS)
    if unit == "bytes":
        return CustomJSTickFormatter(code=_BYTES)
    return NumeralTickFormatter(format="0%" if unit == "share" else "0.[0]a")


class Stack(Chart):
    """Runs by status, one bar for each stretch of time."""

    def __init__(self, axis: TimeAxis) -> None:
        self._columns = list(STATUS_COLOURS)
        self._source = ColumnDataSource({name: [] for name in ("at", "low", "total", "width", *self._columns)})
        self.figure = _blank(axis, "count")
        bars = self.figure.vbar_stack(
            self._columns, x="at", width="width", source=self._source, color=list(STATUS_COLOURS.values()),
            line_color=None,
        )  # fmt: skip
        for bar in bars:
            bar.nonselection_glyph = bar.selection_glyph = None
        told = [("from", "@low{%F %H:%M}"), ("runs", "@total"), *((name, f"@{name}") for name in self._columns)]
        hover = HoverTool(tooltips=told, formatters={"@low": "datetime"}, renderers=[bars[-1]], mode="vline")
        hover.attachment = "horizontal"
        self.figure.add_tools(hover)

    def draw(self, frame: pl.DataFrame, width_s: float) -> None:
        """Columns ``at``, ``status``, ``runs``."""
        wide = frame.pivot("status", index="at", values="runs").sort("at") if len(frame) else frame.select("at")
        missing = [pl.lit(0).alias(name) for name in self._columns if name not in wide.columns]
        wide = wide.with_columns(missing).fill_null(0)
        half = datetime.timedelta(seconds=width_s / 2)
        data = {name: wide[name].to_list() for name in self._columns}
        low = wide["at"].to_list()
        self._source.data = {
            **data,
            "low": low,
            "at": [when + half for when in low],
            "total": [sum(values) for values in zip(*data.values(), strict=True)],
            "width": [width_s * 860] * len(low),
        }


class Lines(Chart):
    """Lines over time, with a point for each stretch.

    Parameters
    ----------
    series
        What is drawn; those on the right have an axis of their own.
    unit, right_unit
        ``s``, ``bytes``, ``share`` or ``count``.
    """

    def __init__(self, axis: TimeAxis, series: Sequence[Series], unit: str, right_unit: str | None = None) -> None:
        self._series = series
        self._source = ColumnDataSource({name: [] for name in ("at", "low", *(one.column for one in series))})
        self.figure = _blank(axis, unit)
        if right_unit is not None:
            self._second(right_unit)
        drawn = []
        for one in series:
            more: dict[str, Any] = {"y_range_name": "right"} if one.right else {}
            given: dict[str, Any] = {"x": "at", "y": one.column, "source": self._source, "color": one.colour, **more}
            line = self.figure.line(line_width=2, **given)
            dots = self.figure.scatter(size=5, line_color=None, **given)
            dots.nonselection_glyph = dots.selection_glyph = None
            drawn.append(line)
            scale: Any = self.figure.extra_y_ranges["right"] if one.right else self.figure.y_range
            scale.renderers = [*(scale.renderers if isinstance(scale.renderers, list) else []), line]
        told = [("from", "@low{%F %H:%M}"), *((one.label, f"@{{{one.column}_told}}") for one in series)]
        hover = HoverTool(tooltips=told, formatters={"@low": "datetime"}, renderers=[drawn[0]], mode="vline")
        self.figure.add_tools(hover)
        self._units: Mapping[str, str] = {one.column: (right_unit or unit) if one.right else unit for one in series}

    def _second(self, unit: str) -> None:
        self.figure.extra_y_ranges = {"right": DataRange1d(start=0)}
        axis = LinearAxis(
            y_range_name="right", formatter=_formatter(unit), major_label_text_font_size="11px", axis_line_alpha=0.3,
            major_tick_line_alpha=0.3, minor_tick_line_color=None,
        )  # fmt: skip
        axis.ticker = BasicTicker(desired_num_ticks=4)
        self.figure.add_layout(axis, "right")

    def draw(self, frame: pl.DataFrame, width_s: float) -> None:
        """Columns ``at`` and those of the series."""
        from kodosumi_lab.dashboard.words import count, duration, size

        words: Mapping[str, Callable[[float | None], str]] = {
            "s": duration, "bytes": size, "count": count, "share": lambda v: "–" if v is None else f"{v:.0%}",
        }  # fmt: skip
        half = datetime.timedelta(seconds=width_s / 2)
        low = frame["at"].to_list()
        data: dict[str, list[Any]] = {"low": low, "at": [when + half for when in low]}
        for one in self._series:
            values = frame[one.column].to_list()
            data[one.column] = [float("nan") if value is None else value for value in values]
            data[f"{one.column}_told"] = [words[self._units[one.column]](value) for value in values]
        self._source.data = data
