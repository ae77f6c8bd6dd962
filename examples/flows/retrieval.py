"""Python's own documentation as passages, and a BM25 index over them.

A passage is the docstring of one public module, class, function or method of the standard
library that is installed here.
"""

import contextlib
import difflib
import functools
import importlib
import inspect
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

MODULES = """
argparse array ast asyncio base64 bisect bz2 calendar cmath collections concurrent.futures configparser contextlib
copy csv dataclasses datetime decimal difflib email enum filecmp fileinput fnmatch fractions functools getpass glob
gzip hashlib heapq hmac html http.client http.server inspect io ipaddress itertools json logging lzma math mimetypes
multiprocessing operator os os.path pathlib pickle platform pprint queue random re sched secrets selectors shelve shlex
shutil signal socket sqlite3 statistics string struct subprocess sys tarfile tempfile textwrap threading time timeit
traceback types typing unicodedata unittest urllib.parse urllib.request uuid weakref xml.etree.ElementTree zipfile zlib
""".split()  # noqa: SIM905

_COMMON = frozenset(
    """a about all also an and any are as at be been but by can could do does for from get give given have how i if in
    into is it its make may me my need no not of on one or other python should so some such than that the their them
    then there these they this to use used using want was we what when where which while who why will with would you
    your""".split()  # noqa: SIM905
)

# Usual values of BM25: how fast a repeated word saturates, how much long passages are held back.
_K1, _B = 1.4, 0.6
# A name says more of what a thing is for than a word of its text.
_NAME_WEIGHT = 3


@dataclass(frozen=True, slots=True)
class Passage:
    """One docstring.

    Attributes
    ----------
    name
        What it documents, such as ``os.path.splitext``.
    signature
        Its parameters, where Python knows them.
    text
        The docstring.
    """

    name: str
    signature: str
    text: str

    @property
    def module(self) -> str:
        """The module that it belongs to."""
        return max((name for name in MODULES if f"{self.name}.".startswith(f"{name}.")), key=len)


def terms(text: str) -> list[str]:
    """Words that mean something, in lower case and without their most usual endings."""
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+|\d+", text)
    return [stem(word) for word in map(str.lower, words) if word not in _COMMON and len(word) > 1]


def stem(word: str) -> str:
    """Cut plural and verb endings, so that splits, splitting and split are one word."""
    for ending, rest in (("ies", "y"), ("ing", ""), ("ed", ""), ("es", "e"), ("s", "")):
        if word.endswith(ending) and len(word) - len(ending) > 2 and not word.endswith("ss"):
            cut = word[: -len(ending)] + rest
            return cut[:-1] if cut[-1] == cut[-2] and cut[-1] not in "aeols" else cut.removesuffix("e")
    return word.removesuffix("e") if len(word) > 3 else word


def passages(modules: list[str] = MODULES) -> Iterator[Passage]:
    """Walk the documentation of modules; one that this Python lacks is left out."""
    for name in modules:
        with contextlib.suppress(ImportError):
            yield from _of_module(name, importlib.import_module(name))


def _of_module(name: str, module: ModuleType) -> Iterator[Passage]:
    yield from _passage(name, module)
    public = getattr(module, "__all__", None) or [key for key in vars(module) if not key.startswith("_")]
    for key in sorted(public):
        member = getattr(module, key, None)
        if inspect.isclass(member) and not issubclass(member, BaseException):
            yield from _passage(f"{name}.{key}", member)
            for method, value in sorted(vars(member).items()):
                if not method.startswith("_"):
                    yield from _passage(f"{name}.{key}.{method}", getattr(value, "__func__", value))
        elif inspect.isroutine(member):
            yield from _passage(f"{name}.{key}", member)


def _passage(name: str, thing: Any) -> Iterator[Passage]:
    text = (getattr(thing, "__doc__", None) or "") if isinstance(thing, property | type) else inspect.getdoc(thing)
    if isinstance(text, str) and len(text) > 20:
        yield Passage(name, _signature(thing), inspect.cleandoc(text))


def _signature(thing: Any) -> str:
    if not inspect.isroutine(thing):
        return ""
    try:
        shown = str(inspect.signature(thing))
    except ValueError:  # C code that does not tell
        return "(…)"
    return "(…)" if " at 0x" in shown else re.sub(r"^\((self|cls)(, )?", "(", shown)


class Index:
    """BM25 over passages (Robertson and Zaragoza, 2009)."""

    def __init__(self, found: list[Passage]) -> None:
        self.passages = found
        self._postings: dict[str, list[tuple[int, int]]] = defaultdict(list)
        lengths = []
        for number, passage in enumerate(found):
            counts = Counter(terms(passage.name) * _NAME_WEIGHT + terms(passage.text))
            lengths.append(counts.total())
            for term, count in counts.items():
                self._postings[term].append((number, count))
        mean = sum(lengths) / max(1, len(lengths))
        self._norms = [_K1 * (1 - _B + _B * length / mean) for length in lengths]

    def weight(self, term: str) -> float:
        """How much a term tells: the rarer, the more; 0 for one that no passage has."""
        seen = len(self._postings.get(term, ()))
        return math.log(1 + (len(self.passages) - seen + 0.5) / (seen + 0.5)) if seen else 0.0

    def search(self, query: Mapping[str, float], limit: int) -> list[tuple[Passage, float]]:
        """Best passages for weighted terms, with their scores, best first."""
        scores: dict[int, float] = defaultdict(float)
        for term, importance in query.items():
            for number, count in self._postings.get(term, ()):
                scores[number] += importance * self.weight(term) * count * (_K1 + 1) / (count + self._norms[number])
        best = sorted(scores, key=lambda number: (-scores[number], self.passages[number].name))
        return [(self.passages[number], scores[number]) for number in best[:limit]]

    def alike(self, term: str, limit: int = 4) -> list[str]:
        """Terms of the passages that are spelled like this one or begin with it."""
        if len(term) < 4:
            return []
        known = [other for other in self._postings if other[0] == term[0] and other != term]
        longer = sorted((other for other in known if other.startswith(term)), key=self.weight)
        close = difflib.get_close_matches(term, known, limit, cutoff=0.8)
        return list(dict.fromkeys([*close, *longer]))[:limit]


@functools.cache
def standard_library() -> Index:
    """Index of this Python's documentation; built once in each process."""
    # os.path and posixpath, say, are one module: the first name counts
    unique = {(passage.text, passage.name.rpartition(".")[2]): passage for passage in reversed([*passages()])}
    return Index([*unique.values()][::-1])
