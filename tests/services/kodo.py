"""A service as people write them for kodosumi 1.1: it knows nothing of this package."""

from typing import Optional

import fastapi
import kodosumi.core as core
import ray
from kodosumi import dtypes
from kodosumi.core import InputsError, Launch, ServeAPI, Tracer
from kodosumi.core import forms as F
from kodosumi.response import Markdown
from pydantic import BaseModel
from ray import serve

app = ServeAPI(title="Kodo")

form = F.Model(
    F.Markdown("# Everything"),
    F.HTML("<b>all</b>"),
    F.Errors(),
    F.Break(),
    F.InputText(label="Text", name="text", required=True, placeholder="say something"),
    F.InputNumber(label="Number", name="number", min_value=0, max_value=10, step=0.5),
    F.InputPassword(label="Password", name="password", min_length=4),
    F.InputArea(label="Area", name="area", rows=3),
    F.InputDate(label="Date", name="date", min_date="2025-01-01"),
    F.InputTime(label="Time", name="time"),
    F.InputDateTime(label="When", name="when"),
    F.Checkbox(label="Check", name="check", option="do it", value=True),
    F.Select(
        label="Select",
        name="select",
        option=[F.InputOption(name="one", label="One"), F.InputOption(name="two", label="Two")],
        value="two",
    ),
    F.InputFiles(label="Files", name="files", multiple=True),
    F.HR(),
    F.Action(text="Other", value="other", name="action"),
    F.Submit("Submit"),
    F.Cancel("Cancel"),
)


@app.enter(
    path="/",
    model=form,
    summary="Everything",
    description="Every element there is.",
    tags=["Test"],
    version="1.0.0",
    author="me@example.com",
    organization="Example",
)
async def enter(request: fastapi.Request, inputs: dict):
    inputs.pop("_global_")
    if inputs["text"] == "crash":
        raise RuntimeError("kaboom")
    if inputs["text"] == "nothing":
        return {"no": "launch"}
    error = InputsError()
    if inputs["text"].strip() == "no":
        error = InputsError("Something is wrong")
        error.add(text="you must not say no")
    if error.has_errors():
        raise error
    return Launch(request, "services.kodo:everything", inputs=inputs)


async def everything(inputs: dict, tracer: Tracer):
    print("seen", sorted(inputs))
    await tracer.markdown("# One", "Two")
    await tracer.debug("a", "b")
    await tracer.result({"pw": len(inputs["password"] or "")}, "second")
    await tracer.action("acted")
    await tracer.html("<i>x</i>")
    await tracer.text("plain")
    await tracer.warning("careful")
    fs = await tracer.fs()
    print([file["path"] for file in await fs.ls("in")])
    await fs.close()
    return {key: sorted(value) if isinstance(value, set) else value for key, value in inputs.items()}


# -- locks


@app.enter("/ask", model=F.Model(F.InputText(name="topic"), F.Submit("Go")), summary="Ask")
def ask(inputs: dict, request: fastapi.Request):
    return Launch(request, "services.kodo.asking", inputs)


async def asking(inputs: dict, tracer: Tracer):
    one = await tracer.lock("judged", {"topic": inputs["topic"]})
    two = await tracer.lock("plain", data={"topic": inputs["topic"]}, timeout=600)
    return {"judged": one, "plain": two}


@app.lock("judged")
async def judged_lock(data: dict):
    return F.Model(F.Markdown(data["topic"]), F.Errors(), F.InputText(name="answer"), F.Checkbox(name="sure"))


@app.lease("judged")
async def judged_lease(inputs: dict, data: dict):
    if inputs["answer"].strip() == "maybe":
        raise InputsError(answer="decide")
    if inputs["answer"] == "none":
        return None
    return {"said": inputs["answer"].upper(), "about": data["topic"], "sure": inputs["sure"]}


plain_form = F.Model(F.InputText(name="comment"), F.Checkbox(name="ok", option="fine"), F.Submit("Send"))


@app.lock(name="plain")
async def plain_lock(request: fastapi.Request, inputs: Optional[dict] = None):  # noqa: UP045
    return plain_form


# -- entrypoints of every sort


class Order(BaseModel):
    name: str
    count: int


def count(inputs: Order, tracer: core.Tracer):
    tracer.markdown_sync(f"**{inputs.name}**")
    return Markdown(f"{type(inputs).__name__} {inputs.count}")


def nothing():
    return dtypes.HTML(body="<p>done</p>")


@ray.remote
def square(n: int, tracer: core.Tracer):
    print(f"squaring {n}")
    tracer.debug_sync(f"task {n}")
    return n * n


async def spread(inputs: list, tracer: core.Tracer):
    return sum(await core_gather([square.remote(n, tracer) for n in inputs]))


async def core_gather(refs):
    import asyncio

    return await asyncio.gather(*refs)


class Tool:
    name, description = "search", "finds"


class Agent:
    role, goal, backstory, tools = "Writer", "write", "born", [Tool()]


class Task:
    name, description, expected_output, agent, tools = "draft", "about {topic}", "text", Agent(), []


class Crew:
    """Shaped like CrewAI's."""

    def __init__(self):
        self.agents, self.tasks = [Agent()], [Task()]
        self.step_callback = self.task_callback = None

    async def kickoff_async(self, inputs=None):
        self.step_callback({"thought": inputs["topic"]})
        self.task_callback({"raw": "drafted"})
        return {"raw": f"text about {inputs['topic']}"}


class Crewed:
    is_crew_class = True

    def crew(self):
        return Crew()


crew = Crew()
KINDS = {
    "model": (count, Order(name="a", count=3)),
    "nothing": ("services.kodo:nothing", None),
    "spread": (spread, [1, 2, 3]),
    "crew": ("services.kodo:crew", {"topic": "bees"}),
    "crew-class": (Crewed, {"topic": "ants"}),
}


@app.post("/kinds/{kind}", entry=True, summary="Kinds", author="me@example.com", version="2")
async def kinds(kind: str, request: fastapi.Request) -> dict:
    entry, inputs = KINDS[kind]
    return Launch(request, entry, inputs, reference=enter if kind == "nothing" else None, description="overridden")


@serve.deployment
@serve.ingress(app)
class Kodo:
    pass


fast_app = Kodo.bind()
