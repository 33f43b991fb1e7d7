"""A question of each kind, in English and Japanese, and prompts that ask all of them."""

from __future__ import annotations

from runner.config.questions import read
from runner.config.schema import QuestionConf
from runner.records import PromptTemplate, Question

AGREE_EN = {1: "strongly disagree", 2: "disagree", 3: "neither", 4: "agree", 5: "strongly agree"}
AGREE_JA = {
    1: "全くそう思わない",
    2: "そう思わない",
    3: "どちらともいえない",
    4: "そう思う",
    5: "とてもそう思う",
}
BOTH = {number: {"en": AGREE_EN[number], "ja": AGREE_JA[number]} for number in AGREE_EN}
MOODS = {
    "calm": {"en": "calm", "ja": "穏やか"},
    "tense": {"en": "tense", "ja": "張りつめた"},
    "sad": {"en": "sad", "ja": "悲しい"},
}
PARTS = {
    "plot": {"en": "plot", "ja": "筋"},
    "style": {"en": "style", "ja": "文体"},
    "ending": {"en": "ending", "ja": "結末"},
}
LABELS = {
    "en": ("pace", "moved", "mood", "moods", "read again", "order", "impression", "chance", "guess"),
    "ja": ("速さ", "感動", "気分", "気分すべて", "再読", "順位付け", "印象", "見込み", "読者の気分"),
}


def asked(language: str) -> tuple[Question, ...]:
    """A question of each kind; two of distributions: over points, and over options."""
    confs = (
        ("pace", QuestionConf(wording="w", low=-10, high=10, step=5)),
        ("moved", QuestionConf(wording="w", kind="likert", points=BOTH)),
        ("mood", QuestionConf(wording="w", kind="choice", options=MOODS)),
        ("moods", QuestionConf(wording="w", kind="choices", options=MOODS, most=2)),
        ("again", QuestionConf(wording="w", kind="yes_no")),
        ("order", QuestionConf(wording="w", kind="rank", options=PARTS)),
        ("impression", QuestionConf(wording="w", kind="text", max_chars=60)),
        ("chance", QuestionConf(wording="w", kind="distribution", points={1: None, 2: None, 3: None})),
        ("guess", QuestionConf(wording="w", kind="distribution", options=MOODS)),
    )
    found = []
    for (name, conf), label in zip(confs, LABELS[language], strict=True):
        conf.label = label
        found.append(read(name, conf, language, "prompt/kinds.yaml"))
    return tuple(found)


def prompt(language: str = "en") -> PromptTemplate:
    """A prompt that asks all of them, and says nothing of their ranges itself."""
    return PromptTemplate("kinds", language, "{{ persona }}", "{{ text.content }}", asked(language))
