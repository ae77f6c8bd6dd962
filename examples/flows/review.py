"""Review of a text file that needs two people: an editor who judges the findings, and somebody who signs."""

import asyncio
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

import kodosumi_lab as kl
from kodosumi_lab import forms

_REPEATED = re.compile(r"\b([A-Za-z]+)\s+\1\b", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"\[[a-z][a-z ]*\]|\bTODO\b|\bTBD\b|\bXXX\b")
# More than these nobody judges one by one.
_MOST = 12


@dataclass
class Finding:
    """Something in the text that a person should look at."""

    line: int
    what: str
    text: str


def inspect(text: str, longest: int) -> list[Finding]:
    """Find placeholders, repeated words and sentences of more than `longest` words; worst first."""
    found = [Finding(_line(text, m.start()), "placeholder", m.group()) for m in _PLACEHOLDER.finditer(text)]
    found += [Finding(_line(text, m.start()), "repeated word", m.group()) for m in _REPEATED.finditer(text)]
    long = []
    for match in re.finditer(r"[A-Z][^.!?]+[.!?]", text):
        words = match.group().split()
        if len(words) > longest:
            head = " ".join(words[:8])
            long.append((len(words), Finding(_line(text, match.start()), f"{len(words)} words", f"{head} …")))
    return found + [finding for _, finding in sorted(long, key=lambda pair: -pair[0])]


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def judging(findings: list[Finding]) -> forms.Model:
    """Ask an editor which findings stand."""
    options = [forms.InputOption(str(i), f"line {one.line}, {one.what}: {one.text}") for i, one in enumerate(findings)]
    return forms.Model(
        forms.Markdown("## Which findings stand?"),
        forms.MultiSelect("stand", options, label="Findings"),
        forms.InputNumber("minutes", label="Minutes to mend them", required=True, min_value=0, max_value=480, step=5),
        forms.InputArea("remark", label="Remark", max_length=500),
        forms.Submit("Judge"),
    )


def signing(name: str, stand: int, minutes: int) -> forms.Model:
    """Ask for the decision."""
    decisions = [forms.InputOption("accept", "Accept"), forms.InputOption("return", "Return to the author")]
    return forms.Model(
        forms.Markdown(f"## {name}\n\n{stand} findings stand, {minutes} minutes of work."),
        forms.Select("decision", decisions, label="Decision", required=True),
        forms.InputText("signature", label="Initials", required=True, pattern="[A-Z]{2,3}"),
        forms.Submit("Sign"),
    )


@kl.flow(summary="Review of a document, with two approvals", tags=["example", "people"])
async def review(
    document: Path, longest: Annotated[int, Field(ge=10, le=200)] = 60, *, tracer: kl.Tracer
) -> dict[str, Any]:
    """Review a text file and have two people judge it.

    Parameters
    ----------
    document
        A text file that the cluster's machine can read.
    longest
        Words that a sentence may have.

    Returns
    -------
    dict
        ``decision, signature, minutes, remark`` and the ``findings`` that stand.
    """
    text = await asyncio.to_thread(document.read_text, encoding="utf-8")
    findings = inspect(text, longest)[:_MOST]
    await tracer.markdown(f"**{document.name}**: {len(text.split()):,} words, {len(findings)} findings")

    editor = tracer.agent("editor", role="judges the findings")
    about = {"document": document.name, "findings": len(findings)}
    judged = await editor.lock("findings", data=about, form=judging(findings), timeout_s=3600)

    stand = [findings[int(i)] for i in judged["stand"] or []]
    form = signing(document.name, len(stand), judged["minutes"])
    signed = await tracer.lock("signature", data={"document": document.name}, form=form, timeout_s=3600)

    await tracer.markdown(f"**{signed['decision']}**, signed {signed['signature']}")
    return {**signed, "minutes": judged["minutes"], "remark": judged["remark"], "findings": [asdict(f) for f in stand]}
