"""`litellm.acompletion` bare: as many workers as may be in flight, each reply read as JSON, nothing kept."""

from __future__ import annotations

import asyncio
import itertools

import litellm
from asked import BASE, IN_FLIGHT, KEY, PROMPTS, begin, end, is_score


async def main() -> None:
    """Ask every prompt."""
    left = itertools.chain(PROMPTS)
    answered = 0

    async def work() -> None:
        nonlocal answered
        for messages in left:
            reply = await litellm.acompletion(
                model="openai/m", api_base=BASE, api_key=KEY, messages=messages, max_tokens=1024, max_retries=0
            )
            answered += is_score(reply.choices[0].message.content)

    begin()
    await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))
    end(answered)


asyncio.run(main())
