"""Constraints of elements, enforced here whatever a browser did.

:func:`read` turns a form value, or a Python value, into the element's own type, or refuses
it. Checking is reading and leaving the result; so what passes a check can be read, and what
was read passes again.
"""

from __future__ import annotations

import datetime
import json
import math
import re
from collections.abc import Callable, Iterable
from decimal import Decimal, localcontext
from pathlib import PurePosixPath
from typing import Any, TypeVar

from kodosumi_lab.forms.elements import (
    Action,
    Checkbox,
    Errors,
    FormElement,
    InputArea,
    InputDate,
    InputDateTime,
    InputFiles,
    InputNumber,
    InputOption,
    InputPassword,
    InputText,
    InputTime,
    Select,
)
from kodosumi_lab.forms.own import InputJSON, InputList, MultiSelect, Other
from kodosumi_lab.forms.pattern import matcher
from kodosumi_lab.forms.wire import file_names

__all__ = ["Refused", "is_blank", "read"]

T = TypeVar("T")

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d{1,4000}", re.ASCII)  # Python reads no longer ones
_DATE = r"\d{4}-\d{2}-\d{2}"
_TIME = r"\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?"
_SHOWN = 60


class Refused(ValueError):
    """A value does not fit its element.

    Attributes
    ----------
    messages : list[str]
        Each says the value and what was expected.
    """

    def __init__(self, *messages: str) -> None:
        self.messages = list(messages)
        super().__init__("; ".join(messages))


def is_blank(value: Any) -> bool:
    """Whether a form value says that nothing was entered."""
    return value is None or (isinstance(value, str | list | tuple | set | frozenset) and not value)


def read(element: FormElement, value: Any) -> Any:
    """Value of an element, of its type.

    Parameters
    ----------
    element
        What the value was entered in.
    value
        As a browser sends it, or a Python value of the element's type.

    Returns
    -------
    Any
        Text, int or float, bool, date, time, datetime, list, or a JSON value; None where nothing was entered.

    Raises
    ------
    Refused
        It breaks a constraint.
    """
    if isinstance(element, Checkbox | Errors | Action):
        return _READERS[type(element)](element, value)
    if is_blank(value):
        if getattr(element, "required", False):
            raise Refused("is required")
        keeps_empty = isinstance(element, InputText | InputArea) and not isinstance(
            element, InputNumber | InputPassword
        )
        return value if keeps_empty or isinstance(value, list) else None
    reader = next((_READERS[cls] for cls in type(element).__mro__ if cls in _READERS), None)
    return value if reader is None else reader(element, value)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _texts(value: Any) -> str:
    if not isinstance(value, str):
        raise Refused(f"is {_shown(value)}; expected text")
    return value


def _length(text: str, least: int | None, most: int | None) -> None:
    if least is not None and len(text) < least:
        raise Refused(f"has {len(text)} characters; expected at least {least}")
    if most is not None and len(text) > most:
        raise Refused(f"has {len(text)} characters; expected at most {most}")


def _text(element: InputText, value: Any) -> str:
    text = _texts(value)
    _length(text, element.min_length, element.max_length)
    if element.pattern and not matcher(element.pattern)(text):
        raise Refused(f"is {_shown(text)}; expected text that matches {element.pattern}")
    return text


def _password(element: InputPassword, value: Any) -> str:
    if hasattr(value, "get_secret_value"):
        value = value.get_secret_value()
    if not isinstance(value, str):
        raise Refused(f"is a {type(value).__name__}; expected text")
    _length(value, element.min_length, element.max_length)
    if element.pattern and not matcher(element.pattern)(value):
        raise Refused(f"does not match {element.pattern}")
    return value


def _area(element: InputArea, value: Any) -> str:
    text = _texts(value)
    # a browser counts a line's end as one, and sends two
    _length(text.replace("\r\n", "\n"), element.min_length, element.max_length)
    return text


def _number(element: InputNumber, value: Any) -> int | float:
    found = _to_number(value)
    least, most = _limit(_to_number, element.min_value), _limit(_to_number, element.max_value)
    if least is not None and found < least:
        raise Refused(f"is {_shown(value)}; expected at least {element.min_value}")
    if most is not None and found > most:
        raise Refused(f"is {_shown(value)}; expected at most {element.max_value}")
    step = _limit(_to_number, element.step)
    if step:
        base = least if least is not None else 0
        if not _on_step(found, base, step):
            raise Refused(f"is {_shown(value)}; expected steps of {element.step} from {_plain(base)}")
    if element.pattern and not matcher(element.pattern)(str(value)):
        raise Refused(f"is {_shown(value)}; expected text that matches {element.pattern}")
    return found


def _plain(number: float) -> str:
    return f"{number:g}" if isinstance(number, float) and number.is_integer() else str(number)


def _to_number(value: Any) -> int | float:
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        found: int | float = float(value) if isinstance(value, Decimal) else value
    elif isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        found = int(value)
    elif isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        found = float(value)
    else:
        raise Refused(f"is {_shown(value)}; expected a number")
    if isinstance(found, float) and not math.isfinite(found):
        raise Refused(f"is {_shown(value)}; expected a finite number")
    return found


def _on_step(value: float, base: float, step: float) -> bool:
    with localcontext() as context:
        # all digits that a double can have before and after its point, and those of a long whole number
        context.prec = 5000
        return (Decimal(str(value)) - Decimal(str(base))) % Decimal(str(step)) == 0


def _date(element: InputDate, value: Any) -> datetime.date:
    found = _to_date(value)
    _between(found, _limit(_to_date, element.min_date), _limit(_to_date, element.max_date))
    return found


def _to_date(value: Any) -> datetime.date:
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        return value
    return _iso(value, _DATE, datetime.date.fromisoformat, "a date like 2026-01-31")


def _to_time(value: Any) -> datetime.time:
    if isinstance(value, datetime.time) and value.tzinfo is None:
        return value
    return _iso(value, _TIME, datetime.time.fromisoformat, "a time like 13:45")


def _to_datetime(value: Any) -> datetime.datetime:
    if isinstance(value, datetime.datetime) and value.tzinfo is None:
        return value
    return _iso(
        value, f"{_DATE}[T ]{_TIME}", datetime.datetime.fromisoformat, "a local date and time like 2026-01-31T13:45"
    )


def _iso(value: Any, shape: str, parse: Callable[[str], T], expected: str) -> T:
    try:
        if isinstance(value, str) and re.fullmatch(shape, value, re.ASCII):
            head, point, fraction = value.partition(".")
            return parse(f"{head}.{fraction:0<6}" if point else value)
    except ValueError:
        pass
    raise Refused(f"is {_shown(value)}; expected {expected}")


def _limit(parse: Callable[[Any], T], bound: Any) -> T | None:
    """A bound as its author wrote it; as in a browser, one that cannot be read is none."""
    try:
        return None if is_blank(bound) else parse(bound)
    except Refused:
        return None


def _between(value: Any, least: Any, most: Any) -> None:
    if least is not None and value < least:
        raise Refused(f"is {value.isoformat()}; expected {least.isoformat()} or later")
    if most is not None and value > most:
        raise Refused(f"is {value.isoformat()}; expected {most.isoformat()} or earlier")


def _time(element: InputTime, value: Any) -> datetime.time:
    found = _to_time(value)
    least, most = _limit(_to_time, element.min_time), _limit(_to_time, element.max_time)
    if least is not None and most is not None and least > most:  # over midnight
        if most < found < least:
            raise Refused(f"is {found.isoformat()}; expected from {least.isoformat()} to {most.isoformat()}")
    else:
        _between(found, least, most)
    midnight = datetime.datetime.min
    base = datetime.datetime.combine(midnight, least or datetime.time())
    _seconds(element.step, datetime.datetime.combine(midnight, found) - base, found)
    return found


def _datetime(element: InputDateTime, value: Any) -> datetime.datetime:
    found = _to_datetime(value)
    least = _limit(_to_datetime, element.min_datetime)
    _between(found, least, _limit(_to_datetime, element.max_datetime))
    _seconds(element.step, found - (least or datetime.datetime(1970, 1, 1)), found)
    return found


def _seconds(step: Any, since: datetime.timedelta, value: Any) -> None:
    size = _limit(_to_number, step)
    if size and since % datetime.timedelta(seconds=size):
        raise Refused(f"is {value.isoformat()}; expected steps of {step} s")


def _checkbox(element: Checkbox, value: Any) -> bool:
    if isinstance(value, bool) or is_blank(value):
        return bool(value)
    if value in ("on", "true", "off", "false"):
        return value in ("on", "true")
    raise Refused(f"is {_shown(value)}; expected on, or nothing")


def _choices(options: Iterable[InputOption]) -> list[str]:
    return [option.name for option in options if option.name is not None]


def _select(element: Select, value: Any) -> str:
    names = _choices(element.option)
    if not isinstance(value, str) or value not in names:
        raise Refused(f"is {_shown(value)}; expected one of {_listed(names)}")
    return value


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:20])}{', …' if len(names) > 20 else ''}" or "nothing, for there are no options"


def _multiselect(element: MultiSelect, value: Any) -> list[str]:
    chosen = [value] if isinstance(value, str) else list(_listlike(value))
    names = _choices(element.option)
    for one in chosen:
        if one not in names:
            raise Refused(f"is {_shown(one)}; expected some of {_listed(names)}")
    _count(len(chosen), element.min_items, element.max_items, "choices")
    return chosen


def _listlike(value: Any) -> Iterable[Any]:
    if isinstance(value, list | tuple | set | frozenset):
        return value
    raise Refused(f"is {_shown(value)}; expected a list")


def _count(count: int, least: int | None, most: int | None, what: str) -> None:
    if least is not None and count < least:
        raise Refused(f"has {count} {what}; expected at least {least}")
    if most is not None and count > most:
        raise Refused(f"has {count} {what}; expected at most {most}")


def _list(element: InputList, value: Any) -> list[Any]:
    items = lines(value) if isinstance(value, str) else list(_listlike(value))
    _count(len(items), element.min_items, element.max_items, "items")
    found, messages = [], []
    for number, item in enumerate(items, 1):
        try:
            found.append(read(element.item, item))
        except Refused as error:
            messages += [f"item {number} {message}" for message in error.messages]
    if messages:
        raise Refused(*messages)
    return found


def lines(text: str) -> list[str]:
    """Items of a list that was entered as text."""
    return [line for line in text.splitlines() if line.strip()]


def _json(element: InputJSON, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise Refused(f"is no JSON: {error}") from None


def _files(element: InputFiles, value: Any) -> list[str]:
    try:
        names = file_names(value)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Refused(f"is {_shown(value)}; expected uploaded files") from None
    if not names and element.required:
        raise Refused("is required")
    if len(names) > 1 and not (element.multiple or element.directory):
        raise Refused(f"has {len(names)} files; expected one")
    for name in names:
        path = PurePosixPath(name)
        if not name or path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
            raise Refused(f"is {_shown(name)}; expected a file name within the folder")
        if element.accept and not name.lower().endswith(tuple(ending.lower() for ending in element.accept)):
            raise Refused(f"is {_shown(name)}; expected a file of {', '.join(element.accept)}")
    return names


_READERS: dict[type, Callable[..., Any]] = {
    Action: lambda element, value: value,
    Checkbox: _checkbox,
    Errors: lambda element, value: None,
    InputArea: _area,
    InputDate: _date,
    InputDateTime: _datetime,
    InputFiles: _files,
    InputJSON: _json,
    InputList: _list,
    InputNumber: _number,
    InputPassword: _password,
    InputText: _text,
    InputTime: _time,
    MultiSelect: _multiselect,
    Other: lambda element, value: value,
    Select: _select,
}
