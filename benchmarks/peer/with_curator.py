"""Curator: an `LLM` over the prompts, by its OpenAI backend, its rate limits out of the way."""

from __future__ import annotations

from asked import BASE, IN_FLIGHT, KEY, PROMPTS, begin, end, is_score
from bespokelabs import curator

PLENTY = 10**9
"""A limit that is never reached."""


class Scorer(curator.LLM):
    """Sends a row's messages and keeps the reply."""

    def prompt(self, row: dict) -> list[dict[str, str]]:
        """The row's messages."""
        return [{"role": message["role"], "content": message["content"]} for message in row["messages"]]

    def parse(self, row: dict, response: str) -> dict:  # noqa: ARG002
        """The reply, read."""
        return {"scored": is_score(response)}


scorer = Scorer(
    model_name="gpt-4o-mini",
    backend="openai",
    generation_params={"max_tokens": 1024},
    backend_params={
        "base_url": BASE,
        "api_key": KEY,
        "max_concurrent_requests": IN_FLIGHT,
        "max_requests_per_minute": PLENTY,
        "max_tokens_per_minute": PLENTY,
        "max_retries": 1,
    },
)
begin()
replies = scorer([{"messages": messages} for messages in PROMPTS])
end(sum(row["scored"] for row in replies.dataset))
