"""Polars that people enter: one expression over tables and ``pl``, of words that only compute.

A text is parsed, never executed as it is: it may call, name, compare and reckon, and only the
attributes in :data:`WORDS` may be asked for. What reads or writes files, takes a Python function or
looks into objects (as ``format`` of a text does) is in none of them, so there is no word for it.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

import polars as pl

__all__ = ["WORDS", "ExpressionError", "evaluate", "parsed"]

_FRAMES = """
    filter select with_columns group_by group_by_dynamic agg sort limit head tail slice first last join join_asof
    unique explode unnest drop rename cast len count reverse top_k bottom_k with_row_index unpivot drop_nulls
    drop_nans fill_null fill_nan quantile sum mean median min max std var n_unique null_count describe collect lazy
    gather_every rolling pivot
"""
_EXPRESSIONS = """
    col lit all exclude when then otherwise len count coalesce struct concat_str concat_list element implode
    sum_horizontal mean_horizontal min_horizontal max_horizontal any_horizontal all_horizontal date datetime
    duration time date_range datetime_range int_range int_ranges nth selectors alias name keep suffix prefix over
    sum mean median min max std var product quantile n_unique null_count arg_min arg_max first last unique mode
    value_counts unique_counts is_null is_not_null is_nan is_not_nan is_in is_between is_duplicated is_unique
    is_first_distinct any not_ and_ or_ xor eq ne lt le gt ge eq_missing ne_missing add sub mul truediv floordiv mod
    pow neg abs sign sqrt cbrt exp log log1p log10 round round_sig_figs floor ceil clip cut qcut rank diff
    pct_change shift cum_sum cum_max cum_min cum_count cum_prod rolling_mean rolling_sum rolling_min rolling_max
    rolling_median rolling_std rolling_quantile ewm_mean forward_fill backward_fill interpolate fill_null fill_nan
    drop_nulls drop_nans replace replace_strict sort sort_by reverse head tail slice gather get item filter cast
    hist entropy skew kurtosis search_sorted rle rle_id set_sorted to_physical reinterpret hash
"""
_SPACES = """
    str dt list struct arr cat bin contains contains_any starts_with ends_with to_lowercase to_uppercase
    to_titlecase len_chars len_bytes strip_chars strip_chars_start strip_chars_end strip_prefix strip_suffix split
    split_exact splitn replace_all extract extract_all extract_groups find count_matches json_decode json_path_match
    to_integer to_decimal to_date to_datetime to_time strptime strftime to_string zfill pad_start pad_end join
    concat year month day hour minute second millisecond microsecond weekday week quarter ordinal_day iso_year
    truncate offset_by total_days total_hours total_minutes total_seconds total_milliseconds total_microseconds
    epoch timestamp convert_time_zone replace_time_zone month_start month_end field rename_fields json_encode
    arg_sort eval to_struct set_union set_intersection set_difference numeric string temporal boolean by_dtype
    by_name matches
"""
_TYPES = """
    String Int8 Int16 Int32 Int64 UInt8 UInt16 UInt32 UInt64 Float32 Float64 Boolean Date Datetime Duration Time
    List Struct Field Categorical Null Binary Decimal
"""
#: Attributes that an expression may ask for.
WORDS = frozenset(" ".join((_FRAMES, _EXPRESSIONS, _SPACES, _TYPES)).split())

_OPERATORS = (
    ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.BitAnd, ast.BitOr, ast.BitXor, ast.Invert, ast.USub,
    ast.UAdd, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE,
)  # fmt: skip
_SHAPES = (
    ast.Expression, ast.Call, ast.keyword, ast.Attribute, ast.Name, ast.Load, ast.Constant, ast.List, ast.Tuple,
    ast.Dict, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Starred,
)  # fmt: skip
_TABLES = ("runs", "events")


class ExpressionError(ValueError):
    """An expression is not run; the text says why."""


def parsed(text: str) -> ast.Expression:
    """An expression, if nothing stands in it but what may.

    Raises
    ------
    ExpressionError
        It is none, or has a word or a form that may not be in it; the first such is named.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        why = getattr(error, "msg", None) or type(error).__name__
        raise ExpressionError(f"that is no expression ({why}); try: runs.group_by('flow').len()") from None
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr not in WORDS:
            raise ExpressionError(
                f"{node.attr!r} is no word of this console: it computes, and neither reads files nor runs code"
            )
        if isinstance(node, ast.Name) and node.id not in (*_TABLES, "pl"):
            raise ExpressionError(f"there is no {node.id!r} here; there are: runs, events, pl")
        if not isinstance(node, (*_SHAPES, *_OPERATORS)):
            raise ExpressionError(f"{_shown(node, text)} cannot stand in an expression here; & and | join conditions")
    return tree


def _shown(node: ast.AST, text: str) -> str:
    part = ast.get_source_segment(text.strip(), node) if isinstance(node, ast.expr) else None
    return repr(part[:60]) if part else type(node).__name__


def evaluate(text: str, tables: Mapping[str, pl.LazyFrame]) -> pl.LazyFrame:
    """What an expression makes of the tables.

    Parameters
    ----------
    text
        The expression.
    tables
        Frames by name: ``runs`` and ``events``.

    Raises
    ------
    ExpressionError
        It may not be run, fails, or gives something else than a frame.
    """
    code = compile(parsed(text), "<console>", "eval")
    try:
        made: Any = eval(code, {"__builtins__": {}}, {**tables, "pl": pl})  # noqa: S307 - after parsed()
    except (TypeError, AttributeError, ValueError, OverflowError) as error:
        raise ExpressionError(f"{type(error).__name__}: {error}") from None
    if isinstance(made, pl.LazyFrame):
        return made
    if isinstance(made, pl.DataFrame):
        return made.lazy()
    raise ExpressionError(f"the expression gives {type(made).__name__}; expected a frame, such as runs.select(…)")
