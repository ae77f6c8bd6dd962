"""Objects to MIME bundles and tables back; loaded only when a flow shows more than text.

No library is imported to find out whether an object belongs to it: an object can only be
of a class whose module is loaded already.
"""

from __future__ import annotations

import base64
import dataclasses
import io
import sys
from typing import Any

from kodosumi_lab.events import ARROW_MIME, BOKEH_MIME, CLASS_MIME, JSON_MIME, dumps

__all__ = ["bundle_of", "table_of"]


def _is(value: Any, module: str, name: str) -> bool:
    loaded = sys.modules.get(module)
    cls = getattr(loaded, name, None)
    return isinstance(cls, type) and isinstance(value, cls)


def _class_name(value: Any) -> str:
    cls = type(value)
    return f"{cls.__module__.partition('.')[0]}.{cls.__qualname__}"


def bundle_of(value: Any) -> dict[str, Any]:
    """MIME bundle of any object; never raises for an object whose display fails."""
    if isinstance(value, str):
        return {"text/plain": str(value)}
    table = _arrow_table(value)
    if table is not None:
        return {**_display(value), ARROW_MIME: _arrow_bytes(table), CLASS_MIME: _class_name(value)}
    if _is(value, "matplotlib.figure", "Figure"):
        return {"image/png": _matplotlib_png(value), "text/plain": repr(value)}
    if _is(value, "bokeh.model", "Model"):
        from bokeh.embed import json_item

        return {BOKEH_MIME: json_item(value), "text/plain": repr(value)}
    model = hasattr(type(value), "model_fields") and hasattr(value, "model_dump")
    if model or (dataclasses.is_dataclass(value) and not isinstance(value, type)):
        return {JSON_MIME: value, "text/plain": repr(value), CLASS_MIME: _full_name(value)}
    shown = _display(value)
    if set(shown) - {"text/plain"}:
        return shown
    # a value json can carry (dates, sets, enums, array scalars) is worth more than its repr
    text = dumps(value)
    return {JSON_MIME: value} if text != dumps(repr(value)) else shown


def _full_name(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _display(value: Any) -> dict[str, Any]:
    """What Jupyter would show, by the object's own ``_repr_*_`` methods."""
    bundle: dict[str, Any] = {}
    errors = []
    for method, mime in (
        ("_repr_mimebundle_", None),
        ("_repr_html_", "text/html"),
        ("_repr_markdown_", "text/markdown"),
        ("_repr_svg_", "image/svg+xml"),
        ("_repr_png_", "image/png"),
        ("_repr_jpeg_", "image/jpeg"),
        ("_repr_latex_", "text/latex"),
    ):
        call = getattr(value, method, None)
        if isinstance(value, type) or not callable(call):
            continue
        try:
            data = call()
        except Exception as error:  # the flow's object, its failure must not end the flow
            errors.append(f"{method}: {error!r}")
            continue
        if mime is None and data is not None:
            bundle.update(data[0] if isinstance(data, tuple) else data)
        elif data is not None and mime is not None:
            data = data[0] if isinstance(data, tuple) else data
            bundle.setdefault(mime, base64.b64encode(data).decode() if isinstance(data, bytes) else data)
    bundle = {mime: base64.b64encode(d).decode() if isinstance(d, bytes) else d for mime, d in bundle.items()}
    try:
        bundle.setdefault("text/plain", repr(value))
    except Exception as error:
        errors.append(f"__repr__: {error!r}")
        bundle["text/plain"] = f"<{_full_name(value)} without a repr>"
    if errors:
        bundle["text/plain"] += f"\n[display failed: {'; '.join(errors)}]"
    return bundle


def _arrow_table(value: Any) -> Any:
    if _is(value, "polars", "LazyFrame"):
        value = value.collect()
    if _is(value, "polars", "Series"):
        value = value.to_frame()
    if _is(value, "polars", "DataFrame"):
        import polars as pl

        return value.to_arrow(compat_level=pl.CompatLevel.oldest())
    if _is(value, "pyarrow", "Table"):
        return value
    if _is(value, "pandas", "DataFrame"):
        import pyarrow as pa

        try:
            return pa.Table.from_pandas(value)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
            return None  # columns of mixed objects: shown as HTML, not kept as a table
    return None


def _arrow_bytes(table: Any) -> str:
    import pyarrow as pa

    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    return base64.b64encode(sink.getvalue()).decode()


def _matplotlib_png(figure: Any) -> str:
    sink = io.BytesIO()
    figure.savefig(sink, format="png", bbox_inches="tight", dpi=120)
    return base64.b64encode(sink.getvalue()).decode()


def table_of(bundle: dict[str, Any]) -> Any:
    """The table in a bundle, as the library that the flow used; Polars where that is not installed."""
    import pyarrow as pa

    table = pa.ipc.open_stream(base64.b64decode(bundle[ARROW_MIME])).read_all()
    origin = bundle.get(CLASS_MIME, "")
    if origin == "pyarrow.Table":
        return table
    if origin == "pandas.DataFrame":
        try:
            return table.to_pandas()
        except ImportError:
            pass
    import polars as pl

    frame = pl.from_arrow(table)
    return frame.to_series() if origin == "polars.Series" and isinstance(frame, pl.DataFrame) else frame
