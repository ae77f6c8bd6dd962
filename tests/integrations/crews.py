"""A crew of two, as an object and as a class, and the service that offers them."""

from __future__ import annotations

import os
from typing import Any, ClassVar

from crewai import LLM, Agent, Crew, Process, Task
from crewai.project import CrewBase, agent, task
from crewai.project import crew as crew_of
from crewai.tools import tool
from fastapi import Request

from kodosumi_lab import forms
from kodosumi_lab.api.launching import Launch
from kodosumi_lab.api.service import ServeAPI


@tool("count_words")
def count_words(text: str) -> str:
    """Count the words of a text."""
    print("counting", len(text), "characters")
    return str(len(text.split()))


def model() -> LLM:
    return LLM(model="openai/scripted", base_url=os.environ["SCRIPTED_MODEL"] + "/v1", api_key="none")


researcher = Agent(
    role="Researcher", goal="Know how long a text is", backstory="Counts everything.", tools=[count_words], llm=model()
)
writer = Agent(role="Writer", goal="Write well", backstory="Likes short texts.", llm=model())
counting = Task(
    name="counting", description="Count words about {topic}.", expected_output="A number.", agent=researcher
)
writing = Task(name="writing", description="Write about {topic}.", expected_output="A short text.", agent=writer)
crew = Crew(agents=[researcher, writer], tasks=[counting, writing], process=Process.sequential)


@CrewBase
class Newsroom:
    """The same as CrewAI's projects write it."""

    agents_config: ClassVar[dict[str, Any]] = {}
    tasks_config: ClassVar[dict[str, Any]] = {}

    @agent
    def author(self) -> Agent:
        return Agent(role="Author", goal="Write well", backstory="Likes short texts.", llm=model())

    @task
    def column(self) -> Task:
        return Task(description="Write about {topic}.", expected_output="A short text.", agent=self.author())

    @crew_of
    def crew(self) -> Crew:
        return Crew(agents=self.agents, tasks=self.tasks)


app = ServeAPI(title="Crews")
form = forms.Model(forms.InputText("topic", label="Topic", required=True), forms.Submit("Write"))


@app.enter("/crew", form, summary="Write with a crew")
async def enter(inputs: dict[str, Any], request: Request) -> Any:
    return Launch(request, "integrations.crews:crew", inputs=inputs)


@app.enter("/class", form, summary="Write with a class of a crew")
async def enter_class(inputs: dict[str, Any], request: Request) -> Any:
    return Launch(request, "integrations.crews:Newsroom", inputs=inputs)
