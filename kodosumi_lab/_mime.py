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

from kodosumi_lab.events import ARROW_MIME, BOKEH_MIME, CLASS_MIME, JSON_MIME, dumps, safe_repr

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
    try:
        special = _special(value)
    except Exception as error:  # noqa: BLE001 - the library's object, or ours to blame: either way the flow goes on
        shown = _display(value)
        return {**shown, "text/plain": f"{shown['text/plain']}\n[display failed: {error!r}]"}
    if special is not None:
        return special
    model = hasattr(type(value), "model_fields") and hasattr(type(value), "model_dump")
    if not isinstance(value, type) and (model or dataclasses.is_dataclass(value)):
        return {JSON_MIME: value, "text/plain": safe_repr(value), CLASS_MIME: _full_name(value)}
    shown = _display(value)
    if set(shown) - {"text/plain"}:
        return shown
    # a value json can carry (dates, sets, enums, array scalars) is worth more than its repr
    return {JSON_MIME: value} if dumps(value) != dumps(safe_repr(value)) else shown


def _special(value: Any) -> dict[str, Any] | None:
    """Bundle of the classes that are treated by name: tables, and figures with no display of their own."""
    if _is(value, "polars", "LazyFrame"):
        return _special(value.collect())
    table = _arrow_table(value)
    if table is not None:
        return {**_display(value), ARROW_MIME: _arrow_bytes(table), CLASS_MIME: _class_name(value)}
    if _is(value, "kodosumi_lab.response", "Shown"):
        return {value.mime: value.body}  # as the tracer's own verbs record it
    if _is(value, "matplotlib.figure", "Figure"):
        return {"image/png": _matplotlib_png(value), "text/plain": safe_repr(value)}
    if _is(value, "bokeh.model", "Model"):
        from bokeh.embed import json_item

        return {BOKEH_MIME: json_item(value), "text/plain": safe_repr(value)}
    return None


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
        if isinstance(value, type) or not hasattr(type(value), method):
            continue
        try:
            # as IPython calls them: with include and exclude, which some classes demand
            data = getattr(value, method)(**({"include": None, "exclude": None} if mime is None else {}))
            data = data[0] if isinstance(data, tuple) else data
            if mime is None and data is not None:
                bundle.update({str(key): item for key, item in dict(data).items()})
            elif data is not None and mime is not None:
                bundle.setdefault(mime, data)
        except Exception as error:  # noqa: BLE001 - the flow's object, its failure must not end the flow
            errors.append(f"{method}: {safe_repr(error)}")
    bundle = {mime: base64.b64encode(d).decode() if isinstance(d, bytes) else d for mime, d in bundle.items()}
    if "text/plain" not in bundle:
        bundle["text/plain"] = safe_repr(value)
    if errors:
        bundle["text/plain"] = f"{bundle['text/plain']}\n[display failed: {'; '.join(errors)}]"
    return bundle


def _arrow_table(value: Any) -> Any:
    if _is(value, "polars", "Series"):
        value = value.to_frame()
    if _is(value, "polars", "DataFrame"):
        import polars as pl

        if pl.Object in value.dtypes:
            return None  # Python objects: Arrow would get their addresses
        try:
            return value.to_arrow(compat_level=pl.CompatLevel.oldest())
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError, TypeError):
            return None  # columns of types that Arrow does not have
    if _is(value, "pyarrow", "Table"):
        return value
    if _is(value, "pandas", "DataFrame"):
        import pyarrow as pa

        try:
            return pa.Table.from_pandas(value)
        except (pa.ArrowException, ValueError, TypeError, OverflowError):
            return None  # columns of mixed objects or of the same name: shown as HTML, not kept as a table
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
