"""EDSL: a free-text question whose text is a scenario's, one scenario for each prompt, run locally."""

from __future__ import annotations

from asked import BASE, IN_FLIGHT, PROMPTS, begin, end, is_score
from edsl import Cache, Model, QuestionFreeText, Scenario, ScenarioList

model = Model("m", service_name="openai_compatible", base_url=BASE, max_tokens=1024)
scenarios = ScenarioList(
    Scenario({"text": "\n\n".join(message["content"] for message in messages)}) for messages in PROMPTS
)
question = QuestionFreeText(question_name="scores", question_text="{{ scenario.text }}")
begin()
results = (
    question.by(scenarios)
    .by(model)
    .run(
        disable_remote_inference=True,
        disable_remote_cache=True,
        use_api_proxy=False,
        cache=Cache(),
        fresh=True,
        max_concurrency=IN_FLIGHT,
        progress_bar=False,
        verbose=False,
    )
)
end(sum(map(is_score, results.select("answer.scores").to_list())))
