"""A language model that answers by script, behind the API that OpenAI's clients speak."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI

TEXT = "Bees dance to tell where the flowers are."


class ScriptedModel:
    """Counts the words of a text with the tool it is offered, then says so; whatever else is asked, it writes.

    Attributes
    ----------
    asked : list[dict]
        Bodies of the requests, in order.
    """

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.app = FastAPI()
        self.app.post("/v1/chat/completions")(self.complete)

    async def complete(self, body: dict[str, Any]) -> dict[str, Any]:
        """Answer one request."""
        self.asked.append(body)
        message, reason = self.answer(body["messages"], body.get("tools") or [])
        return {
            "id": f"chatcmpl-{len(self.asked)}", "object": "chat.completion", "created": int(time.time()),
            "model": body["model"], "usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12},
            "choices": [{"index": 0, "finish_reason": reason, "message": {"role": "assistant", **message}}],
        }  # fmt: skip

    def answer(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> tuple[dict[str, Any], str]:
        """The message, and why it ends there."""
        results = [message["content"] for message in messages if message["role"] == "tool"]
        if tools and not results:
            call = {"name": tools[0]["function"]["name"], "arguments": json.dumps({"text": TEXT})}
            return {
                "content": None,
                "tool_calls": [{"id": "call_1", "type": "function", "function": call}],
            }, "tool_calls"
        said = f"{TEXT} That is {results[-1]} words." if results else f"# A text\n\n{TEXT}"
        return {"content": f"Thought: I now can give a great answer\nFinal Answer: {said}"}, "stop"


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """Serve an application on a free port; gives its URL."""
    held = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [held]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{held.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        held.close()
