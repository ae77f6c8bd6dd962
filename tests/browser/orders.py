"""Flows whose forms have everything that a form can have."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, SecretStr, model_validator

import kodosumi_lab as kl
from kodosumi_lab import forms


class Address(BaseModel):
    street: str
    zip: Annotated[str, Field(pattern=r"^\d{5}$", description="Five digits")] = "12345"


@kl.flow(name="page_order", summary="Order something")
def order(
    what: Annotated[str, Field(description="As on the label", examples=["apples"], min_length=3)],
    to: Address | None = None,
    count: Annotated[int, Field(gt=0, le=10)] = 1,
    share: float = 0.5,
    limit: float | None = None,
    colour: Literal["red", "green"] = "red",
    sizes: list[Literal["S", "M", "L"]] = ["M"],
    tags: list[str] = ["a", "b"],
    days: list[datetime.date] = [],
    day: datetime.date | None = None,
    at: datetime.time = datetime.time(9, 30),
    when: datetime.datetime = datetime.datetime(2026, 1, 31, 13, 45, 0, 123456),
    gift: bool = False,
    insured: bool = True,
    note: str = "one\ntwo",
    key: SecretStr = SecretStr("preset"),
    about: dict[str, int] = {"a": 1},
    scan: Path | None = None,
    pages: list[Path] = [],
) -> str:
    return what


class Range(BaseModel):
    start: int = 0
    end: int = 10

    @model_validator(mode="after")
    def _in_order(self) -> Range:
        if self.start >= self.end:
            raise ValueError("the end has to be after the start")
        return self


@kl.flow(name="page_counted", summary="Count from here to there")
def counted(inputs: Range) -> int:
    return inputs.end - inputs.start


FORM = forms.Model(
    forms.Markdown("## A trip\n\nSee [the map](https://example.org)."),
    forms.HTML("<p>Prices are <b>net</b>.<script>globalThis.hit = 1</script></p>"),
    forms.Errors(),
    forms.InputText("who", label="Who", required=True, pattern="[A-Z][a-z]+", placeholder="Ada"),
    forms.InputNumber("nights", label="Nights", value="2", min_value=1, max_value=30, step=1),
    forms.InputDate("day", label="First day", min_date="2026-01-01"),
    forms.HR(),
    forms.InputFiles("passport", label="Passport", accept=[".pdf", ".png"], help="A scan of it"),
    forms.InputFiles("photos", label="Photos", multiple=True),
    forms.Break(),
    forms.Submit("Book"),
    forms.Cancel("Never mind"),
)


@kl.flow(name="page_trip", form=FORM, summary="Book a trip")
async def trip(inputs: dict, *, tracer: kl.Tracer) -> dict:  # type: ignore[type-arg]
    async with tracer.fs() as fs:
        files = {info["path"]: info["size"] for info in await fs.ls("in")}
    return {"who": inputs["who"], "nights": inputs["nights"], "files": files}


@kl.flow(name="page_review", summary="Ask somebody")
async def review(title: str, *, tracer: kl.Tracer) -> dict:  # type: ignore[type-arg]
    form = forms.Model(
        forms.Select("verdict", ["accept", "reject"], label="Verdict", required=True),
        forms.InputPassword("pin", label="PIN"),
        forms.InputFiles("proof", label="Proof"),
        forms.Submit("Decide"),
    )
    said = await tracer.lock("approval", data={"title": title}, form=form)
    sure = await tracer.lock("sure?")
    async with tracer.fs() as fs:
        files = [info["path"] for info in await fs.ls("in")]
    return {
        "verdict": said["verdict"],
        "pin": len(said["pin"] or ""),
        "proof": said["proof"],
        "sure": sure,
        "files": files,
    }
