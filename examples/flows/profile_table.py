"""Profile of a CSV or Parquet file: one Ray task for each column, a chart each, a report.

The flow reads the file once and hands each task its own column through Ray's object store.
"""

import asyncio
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import polars as pl
import ray
from bokeh.models import ColumnDataSource, DataRange1d, FactorRange
from bokeh.plotting import figure
from pydantic import Field

import kodosumi_lab as kl

# A column's type shows only after its last line: a first float may come at the end.
_scan_csv = functools.partial(pl.scan_csv, try_parse_dates=True, infer_schema_length=None)
_READERS: dict[str, Callable[[Path], pl.LazyFrame]] = {".csv": _scan_csv, ".parquet": pl.scan_parquet}
# Polars has no cast to text for these.
_NO_CAST = (pl.Binary, pl.Duration, pl.Object)
_TOP = 5
_BARS = 12
_BINS = 24
_SIZE: dict[str, Any] = {"height": 220, "width": 420, "toolbar_location": None}

#: Columns of the profile. Extremes and frequent values are text, since columns differ in type.
PROFILE = pl.Schema(
    {
        "column": pl.String(),
        "dtype": pl.String(),
        "rows": pl.Int64(),
        "nulls": pl.Int64(),
        "distinct": pl.Int64(),
        "min": pl.String(),
        "max": pl.String(),
        "mean": pl.Float64(),
        "q25": pl.Float64(),
        "median": pl.Float64(),
        "q75": pl.Float64(),
        "top": pl.List(pl.Struct({"value": pl.String(), "count": pl.Int64})),
    }
)


def read(path: Path, sample_rows: int | None) -> pl.DataFrame:
    """Rows of a file, or a random sample of them in their order.

    Raises
    ------
    ValueError
        It is neither CSV nor Parquet, by its name.
    FileNotFoundError
        There is none.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ValueError(f"{path.name!r} cannot be profiled; expected a file that ends in {' or '.join(_READERS)}")
    if not path.is_file():
        raise FileNotFoundError(f"no file at {path.absolute()}; give a path that the cluster's machine can read")
    frame = reader(path).collect()
    if sample_rows is None or sample_rows >= len(frame):
        return frame
    return frame.with_row_index("").sample(sample_rows, seed=0).sort("").drop("")


def profile(column: pl.Series) -> dict[str, Any]:
    """One row of the profile."""
    values = present(column)
    flat = pl.DataFrame({"value": as_text(values)})
    top = flat.group_by("value").agg(count=pl.len()).sort("count", "value", descending=[True, False])
    facts = {
        "column": column.name,
        "dtype": str(column.dtype),
        "rows": len(column),
        "nulls": len(column) - len(values),
        "distinct": len(top),
        "top": top.head(_TOP).to_dicts(),
    }
    return facts | extremes(values) | quantiles(values)


def present(column: pl.Series) -> pl.Series:
    """Leave the missing values out; NaN counts as missing."""
    return (column.fill_nan(None) if column.dtype.is_float() else column).drop_nulls()


def as_text(values: pl.Series) -> pl.Series:
    """Turn values into text, whatever their type."""
    if values.dtype.is_nested() or values.dtype in _NO_CAST:
        return pl.Series(values.name, [str(value) for value in values.to_list()], dtype=pl.String)
    return values.cast(pl.String)


def extremes(values: pl.Series) -> dict[str, str | None]:
    """Least and greatest value, as text."""
    if values.is_empty() or values.dtype.is_nested() or values.dtype == pl.Object:
        return {"min": None, "max": None}
    low, high = as_text(pl.Series([values.min(), values.max()], dtype=values.dtype))
    return {"min": low, "max": high}


def quantiles(values: pl.Series) -> dict[str, float | None]:
    """Mean and quartiles of numbers; of anything else None."""
    if not values.dtype.is_numeric() or values.is_empty():
        return dict.fromkeys(("mean", "q25", "median", "q75"))
    number = pl.col("number")
    marks = {name: number.quantile(q, "linear") for name, q in (("q25", 0.25), ("median", 0.5), ("q75", 0.75))}
    facts = values.cast(pl.Float64).alias("number").to_frame().select(mean=number.mean(), **marks)
    return facts.row(0, named=True)


def chart(column: pl.Series) -> figure:
    """Histogram of numbers and times, bars of the most frequent values of anything else."""
    values = present(column)
    measured = values.dtype.is_numeric() or values.dtype in (pl.Date, pl.Datetime)
    title = f"{column.name} ({column.dtype})"
    return histogram(values, title) if measured and values.n_unique() > _BARS else bars(values, title)


def histogram(values: pl.Series, title: str) -> figure:
    """Draw how the values are spread over their range."""
    timed = values.dtype.is_temporal()
    numbers = (values.cast(pl.Datetime("ms")).cast(pl.Int64) if timed else values).cast(pl.Float64)
    counts, edges = np.histogram(numbers.filter(numbers.is_finite()), bins=_BINS)
    data = {"left": edges[:-1], "right": edges[1:], "top": counts}
    plot = figure(title=title, x_axis_type="datetime" if timed else "linear", y_range=DataRange1d(start=0), **_SIZE)
    plot.quad(left="left", right="right", top="top", bottom=0, source=ColumnDataSource(data), line_color="white")
    return plot


def bars(values: pl.Series, title: str) -> figure:
    """Draw the most frequent values and how often each is there."""
    counts = as_text(values).alias("value").value_counts(name="n").sort("n", "value", descending=[True, False])
    counts = counts.head(_BARS).with_columns(pl.col("value").str.slice(0, 40)).unique("value", maintain_order=True)
    factors = FactorRange(factors=counts["value"].to_list()[::-1])
    plot = figure(title=title, y_range=factors, x_range=DataRange1d(start=0), **_SIZE)
    plot.hbar(y="value", right="n", height=0.8, source=ColumnDataSource(counts.to_dict(as_series=False)))
    return plot


@ray.remote(num_cpus=0.5)
def inspect_column(column: pl.Series, tracer: kl.Tracer) -> dict[str, Any]:
    """Profile and draw one column in a Ray task."""
    facts = profile(column)
    tracer.display_sync(chart(column))
    print(f"{column.name}: {facts['distinct']:,} distinct values, {facts['nulls']:,} missing")
    tracer.flush()
    return facts


def report(path: Path, frame: pl.DataFrame, facts: pl.DataFrame) -> str:
    """Write the profile as Markdown."""
    lines = [
        f"## Profile of {path.name}",
        f"{len(frame):,} rows, {frame.width} columns, {frame.estimated_size('mb'):.1f} MB in memory.",
        "| column | type | missing | distinct | range | most frequent |\n|---|---|---|---|---|---|\n"
        + "\n".join(report_rows(facts)),
    ]
    return "\n\n".join(lines)


def report_rows(facts: pl.DataFrame) -> Iterator[str]:
    """One line of the report's table for each column."""
    for row in facts.iter_rows(named=True):
        share = row["nulls"] / row["rows"] if row["rows"] else 0.0
        span = f"{row['min']} … {row['max']}" if row["min"] is not None else ""
        often = ", ".join(f"{item['value']} ({item['count']:,})" for item in row["top"][:3])
        cells = (row["column"], row["dtype"], f"{share:.1%}", f"{row['distinct']:,}", span, often)
        yield "| " + " | ".join(cell[:80].replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


@kl.flow(summary="Profile of a CSV or Parquet file", tags=["example", "data"])
async def profile_table(
    path: Path, sample_rows: Annotated[int | None, Field(gt=0)] = None, *, tracer: kl.Tracer
) -> pl.DataFrame:
    """Profile each column of a table.

    Parameters
    ----------
    path
        A ``.csv`` or ``.parquet`` file that the cluster's machine can read.
    sample_rows
        Look at a random sample of this many rows; None looks at all.

    Returns
    -------
    polars.DataFrame
        One row for each column, see :data:`PROFILE`.
    """
    async with tracer.span("read", path=str(path)):
        frame = await asyncio.to_thread(read, path, sample_rows)
    done = 0

    async def watched(ref: Any) -> dict[str, Any]:
        nonlocal done
        row: dict[str, Any] = await ref
        done += 1
        await tracer.progress(done, frame.width, row["column"])
        return row

    async with tracer.span("profile", columns=frame.width):
        refs = [inspect_column.remote(column, tracer) for column in frame]
        rows = await asyncio.gather(*map(watched, refs))
    facts = pl.DataFrame(rows, schema=PROFILE)
    await tracer.markdown(report(path, frame, facts))
    return facts
