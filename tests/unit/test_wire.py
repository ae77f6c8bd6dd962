"""Batches between emitter and Spooler: what goes in comes out, whatever it is."""

from __future__ import annotations

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from kodosumi_lab.events import KINDS, wire_schema
from kodosumi_lab.runtime import wire

_text = st.text(st.characters(), max_size=8) | st.just("\ud800")
_row = st.tuples(
    st.integers(0, 2**62), st.integers(0, len(KINDS) - 1), st.none() | st.sampled_from(["a", "ä", ""]) | _text, _text
)


@given(st.lists(_row, min_size=1, max_size=30))
def test_what_is_encoded_is_decoded(rows):
    batch = wire.decode(wire.encode(rows))
    batch.validate(full=True)
    assert batch.schema == wire_schema()
    back = [tuple(row.values()) for row in batch.to_pylist()]
    assert back == [(ts, kind, clean(agent), clean(payload)) for ts, kind, agent, payload in rows]


def clean(text: str | None) -> str | None:
    """JSON escapes keep lone surrogates out of payloads; where one comes all the same it must not stop the rest."""
    return None if text is None else text.encode("utf-8", "replace").decode()


def test_agents_that_are_no_text_are_named_by_their_text():
    assert wire.decode(wire.encode([(1, 2, 7, "x"), (1, 2, "7", "y")]))["agent"].to_pylist() == ["7", "7"]


def test_an_emitter_loads_no_arrow():
    code = (
        "import sys; from kodosumi_lab.runtime import stream, tracer, wire\n"
        "wire.encode([(1, 2, 'a', 'x')])\n"
        "print([name for name in ('pyarrow', 'numpy', 'pandas', 'polars') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
