"""Three agents answer a question from the documentation that comes with Python.

The retriever searches, the critic judges whether what was found covers the question and sends
the retriever back with more words if it does not, the writer answers from the sources and
cites them. No language model is needed; the writer uses one when ``OPENAI_BASE_URL`` is set.
"""

import asyncio
import http.client
import json
import math
import os
import re
import urllib.request
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

import kodosumi_lab as kl
from examples.flows.retrieval import Index, Passage, standard_library, terms

_ROUNDS = 3
_COVERED = 0.8
# A guess at what was meant counts less than what was said.
_GUESS = 0.5
_SENTENCES = 5
_TIMEOUT_S = 60.0


@dataclass
class Retriever:
    """Searches the index, with more words in each round."""

    tracer: kl.Tracer
    index: Index
    query: dict[str, float]

    async def search(self, limit: int, round_: int) -> list[tuple[Passage, float]]:
        """Find the best passages for the words so far."""
        async with self.tracer.span("retrieve", round=round_, words=list(self.query)):
            found = await asyncio.to_thread(self.index.search, self.query, limit)
        await self.tracer.action({"round": round_, "found": [passage.name for passage, _ in found]})
        return found

    async def widen(self, missing: list[str]) -> bool:
        """Add words that are spelled like the missing ones; False when there is none."""
        new = {word: _GUESS for term in missing for word in self.index.alike(term) if word not in self.query}
        self.query |= new
        print(f"retriever: {', '.join(missing)} may be meant as {', '.join(new) or 'nothing I know'}")
        return bool(new)


@dataclass
class Critic:
    """Judges how much of the question the sources speak about."""

    tracer: kl.Tracer
    index: Index
    words: list[str]

    async def missing(self, found: list[tuple[Passage, float]], round_: int) -> list[str]:
        """Name the question's words that no source has; none when enough are covered.

        A word that the documentation lacks altogether weighs as much as its rarest one.
        """
        rare = math.log(len(self.index.passages) + 1)
        weights = {word: self.index.weight(word) or rare for word in self.words}
        known = {word for passage, _ in found for word in terms(f"{passage.name} {passage.text}")}
        lacking = [word for word in weights if word not in known]
        coverage = 1 - sum(weights[word] for word in lacking) / sum(weights.values())
        await self.tracer.metric("coverage", coverage, step=round_)
        verdict = "enough" if coverage >= _COVERED else f"nothing on {', '.join(lacking)}"
        await self.tracer.markdown(f"Round {round_}: {coverage:.0%} of the question is covered, **{verdict}**.")
        return [] if coverage >= _COVERED else lacking


@dataclass
class Writer:
    """Writes the answer, with a language model where there is one."""

    tracer: kl.Tracer
    index: Index
    query: dict[str, float] = field(default_factory=dict)

    async def write(self, question: str, found: list[Passage]) -> str:
        """Compose the answer in Markdown, with its numbered sources."""
        async with self.tracer.span("write", sources=len(found)):
            body = await self._by_model(question, found) or self._by_extract(found)
        cited = "\n".join(f"{n}. `{p.name}{p.signature}`" for n, p in enumerate(found, 1))
        answer = f"### {question}\n\n{body}\n\n**Sources**\n\n{cited}" if found else f"### {question}\n\n{body}"
        await self.tracer.markdown(answer)
        return answer

    def _by_extract(self, found: list[Passage]) -> str:
        """Quote the sentences that say most about the question, at most two of each source."""
        ranked = []
        for number, passage in enumerate(found, 1):
            scored = sorted(((self._score(s, passage), s) for s in sentences(passage.text)), reverse=True)
            ranked += [(score, number, sentence) for score, sentence in scored[:2] if score > 0]
        best = sorted(ranked, key=lambda item: -item[0])[:_SENTENCES]
        lines = [f"- `{found[n - 1].name}`: {sentence} [{n}]" for _, n, sentence in sorted(best, key=lambda i: i[1])]
        return "\n".join(lines) or "The documentation on this machine says nothing about it."

    def _score(self, sentence: str, passage: Passage) -> float:
        words = terms(sentence)
        hits = {*words} | {*terms(passage.name)}
        told = sum(weight * self.index.weight(word) for word, weight in self.query.items() if word in hits)
        return told / math.sqrt(len(words) + 5)

    async def _by_model(self, question: str, found: list[Passage]) -> str | None:
        """Ask the language model, if one is set up and answers."""
        base = os.environ.get("OPENAI_BASE_URL")
        if not base:
            return None
        try:
            return await asyncio.to_thread(complete, base, prompt(question, found))
        except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError) as error:
            await self.tracer.warning(f"no answer from the language model at {base} ({error!r}); quoting instead")
            return None


def sentences(text: str) -> list[str]:
    """Cut a docstring into its sentences; examples and lists of parameters are left out."""
    prose = [re.sub(r"\s+", " ", part).strip() for part in re.split(r"\n\s*\n", text) if ">>>" not in part]
    cut = (sentence for part in prose for sentence in re.split(r"(?<=[.!?]) (?=[A-Z])", part))
    return [sentence for sentence in cut if 20 <= len(sentence) <= 300]


def prompt(question: str, found: list[Passage]) -> str:
    """Write the question and the sources down for a language model."""
    quoted = "\n\n".join(f"[{n}] {p.name}{p.signature}\n{p.text[:2000]}" for n, p in enumerate(found, 1))
    return (
        "Answer the question in a few sentences of Markdown, from these sources only. Cite each as [1], [2] … "
        f"Say so if they do not answer it.\n\nQuestion: {question}\n\nSources:\n\n{quoted}"
    )


def complete(base: str, text: str) -> str:
    """Ask an OpenAI-compatible endpoint; blocks.

    Raises
    ------
    OSError, http.client.HTTPException
        It cannot be reached, or refuses.
    ValueError, LookupError, TypeError
        What comes back is no answer.
    """
    if not base.startswith(("http://", "https://")):
        raise ValueError(f"OPENAI_BASE_URL is {base!r}; expected http:// or https://")
    model = os.environ.get("OPENAI_MODEL", "gpt-4o-mini")
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": text}]}).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {os.environ.get('OPENAI_API_KEY', '')}"}
    request = urllib.request.Request(f"{base.rstrip('/')}/chat/completions", body, headers)
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:
        said: Any = json.load(response)["choices"][0]["message"]["content"]
    if not isinstance(said, str) or not said.strip():
        raise ValueError("the model said nothing")
    return said.strip()


@kl.flow(summary="Answer a question from Python's documentation", tags=["example", "agents"])
async def research(
    question: Annotated[str, Field(min_length=3)], sources: Annotated[int, Field(ge=1, le=20)] = 5, *, tracer: kl.Tracer
) -> dict[str, Any]:
    """Answer a question from the standard library's docstrings.

    Parameters
    ----------
    question
        In English.
    sources
        How many passages to answer from.

    Returns
    -------
    dict
        ``answer`` in Markdown, ``sources`` with their ``name``, ``module`` and ``score``, and
        ``rounds`` that the search took.
    """
    words = list(dict.fromkeys(terms(question)))
    if not words:
        raise ValueError(f"question {question!r} has no words to search for; say what it is about")
    await tracer.progress(0, _ROUNDS + 1, "reading the documentation")
    async with tracer.span("index"):
        index = await asyncio.to_thread(standard_library)
    retriever = Retriever(tracer.agent("retriever", role="finds passages"), index, dict.fromkeys(words, 1.0))
    critic = Critic(tracer.agent("critic", role="judges what was found"), index, words)
    for round_ in range(1, _ROUNDS + 1):
        await tracer.progress(round_, _ROUNDS + 1, f"search, round {round_}")
        found = await retriever.search(sources, round_)
        missing = await critic.missing(found, round_)
        if not missing or round_ == _ROUNDS or not await retriever.widen(missing):
            break
    writer = Writer(tracer.agent("writer", role="answers and cites"), index, retriever.query)
    answer = await writer.write(question, [passage for passage, _ in found])
    await tracer.progress(1.0, label="answered")
    listed = [{"name": p.name, "module": p.module, "score": round(score, 3)} for p, score in found]
    return {"answer": answer, "sources": listed, "rounds": round_}
