"""Templates are checked before anything is sent, and render the same strings for every model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import jsonschema
import pytest
import yaml

from runner import score
from runner.errors import ConfigError
from runner.plan.prompt import PromptManager
from runner.plan.reply_format import reply_format
from runner.records import Persona, PromptTemplate, Question, Reply, Scored, Text

CONF = Path(__file__).parents[2] / "conf"
FUN = Question("fun", "fun", "How funny is it?")
DREAD = Question("dread", "dread", "How frightening?", low=-1.0, high=1.5)
TEMPLATE = PromptTemplate(
    name="own", language="en", system="{{ persona }}", user="{{ text.content }}\n{{ reply_format }}", questions=(FUN,)
)
POET = Persona("poet", {"en": "You are a poet.", "ja": "あなたは詩人です。"}, 0.9)
TEXT = Text("sea", "The sea came in.", title="Tide", author="A. Nobody", language="en", origin="/secret/sea.txt")


def user_of(user: str, text: Text = TEXT, **changes: object) -> str:
    """What the user template gives, with reply_format named so that nothing is added."""
    manager = PromptManager(replace(TEMPLATE, user=user + "{% set _ = reply_format %}", **changes))  # type: ignore[arg-type]
    return manager.get_prompt(POET, text).user


def test_persona_goes_to_system_and_text_to_user() -> None:
    """The system string holds the persona alone, and the user string the text and the reply format."""
    prompt = PromptManager(TEMPLATE).get_prompt(POET, TEXT)
    assert prompt.system == "You are a poet."
    assert prompt.user == f"The sea came in.\n{reply_format(TEMPLATE)}"


@dataclass(frozen=True)
class Case:
    """A template that must be refused, and what the message must say."""

    name: str
    template: str
    says: tuple[str, ...]
    key: str = "user"


REFUSED = (
    Case("syntax", "one\n{% if text %}", ("line 2", "end of template")),
    Case("unclosed", "{{ persona", ("line 1", "end of print statement"), key="system"),
    Case("unknown variable", "{{ txt.content }}", ("unknown variable 'txt'", "did you mean 'text'?")),
    Case("in a branch not taken", "{% if not text.content %}{{ persoma }}{% endif %}", ("did you mean 'persona'?",)),
    Case("text's field", "a\n{{ text.contents }}", ("line 2", "'text' has no 'contents'", "did you mean 'content'?")),
    Case("text's field by key", '{{ text["titel"] }}', ("did you mean 'title'?",)),
    Case("text's field in a branch", "{% if false %}{{ text.auther }}{% endif %}", ("did you mean 'author'?",)),
    Case("text's path", "{{ text.origin }}", ("'text' has no 'origin'",)),
    Case("persona's field", "{{ persona.description }}", ("'persona' has no 'description'",), key="system"),
    Case("question's field", "{% for q in questions %}{{ q.wordng }}{% endfor %}", ("did you mean 'wording'?",)),
    Case("by index", "{{ questions[0].lable }}", ("cannot be rendered", "lable")),
    Case("by a set variable", "{% set t = text %}{{ t.boody }}", ("cannot be rendered", "boody")),
    Case("unknown filter", "{{ text.content | uper }}", ("line 1", "uper")),
    Case("type", "{{ text.content + 1 }}", ("cannot be rendered",)),
    Case("division", "{{ 1 // 0 }}", ("cannot be rendered",)),
    Case("another file", "{% include 'x' %}", ("cannot be rendered",)),
    Case("escape from the sandbox", "{{ ''['__class__'].__mro__ }}", ("cannot be rendered", "unsafe")),
    Case("chance", "{{ [1, 2] | random }}", ("random",)),
    Case("filler text", "{{ lipsum() }}", ("unknown variable 'lipsum'",)),
)


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_bad_template_is_refused(case: Case) -> None:
    """A template that cannot work is refused when the manager is made, naming file, key and the nearest valid name."""
    template = replace(TEMPLATE, **{case.key: case.template})  # type: ignore[arg-type]
    with pytest.raises(ConfigError) as caught:
        PromptManager(template)
    assert caught.value.where == "prompt/own.yaml"
    assert caught.value.key == case.key
    assert [part for part in case.says if part not in str(caught.value)] == []
    assert caught.value.advice == "runner --cfg job --package prompt.own"


def test_loop_variable_used_for_something_else_is_left_alone() -> None:
    """A name that a template also sets itself is not held to the fields of a question."""
    user = "{% for q in questions %}{{ q.name }}{% endfor %}{% for q in ['a b'] %} {{ q.split() | length }}{% endfor %}"
    assert user_of(user) == "fun 2"


@pytest.mark.parametrize("content", ["{{ persona }}", "{% for %}", "{# gone? #}", "<b>&amp;</b>", "{{", "\n a \n\n"])
def test_content_is_never_a_template(content: str) -> None:
    """Whatever a text holds reaches the model as it stands."""
    assert user_of("[{{ text.content }}]", replace(TEXT, content=content)) == f"[{content}]"


def test_persona_is_never_a_template() -> None:
    """Braces in a persona's description reach the model as they stand."""
    persona = Persona("odd", {"*": "You love {{ braces }}."})
    assert PromptManager(TEMPLATE).get_prompt(persona, TEXT).system == "You love {{ braces }}."


def test_reply_format_is_added_below_where_no_template_places_it() -> None:
    """A user template without reply_format gets it after an empty line; one in the system template is enough."""
    assert PromptManager(replace(TEMPLATE, user="Read.\n")).get_prompt(POET, TEXT).user == (
        f"Read.\n\n{reply_format(TEMPLATE)}"
    )
    placed = replace(TEMPLATE, user="Read.\n", system="{{ persona }} {{ reply_format }}")
    assert PromptManager(placed).get_prompt(POET, TEXT).user == "Read."


def test_questions_carry_number_range_and_words() -> None:
    """A question's number counts from 1, and the ends of its range are written without needless decimals."""
    user = "{% for q in questions %}{{ q.number }} {{ q.name }} {{ q.label }} {{ q.low }}..{{ q.high }};{% endfor %}"
    assert user_of(user, questions=(FUN, DREAD)) == "1 fun fun 0..100;2 dread dread -1..1.5;"


def test_description_is_in_the_prompts_language() -> None:
    """A Japanese prompt takes the Japanese description, and falls back to the one for every language."""
    japanese = PromptManager(replace(TEMPLATE, language="ja"))
    assert japanese.get_prompt(POET, TEXT).system == "あなたは詩人です。"
    assert japanese.get_prompt(Persona("any", {"en": "No.", "*": "Yes."}), TEXT).system == "Yes."


def test_missing_language_names_persona_and_language() -> None:
    """A persona without a description for the prompt's language is refused, never described in another one."""
    with pytest.raises(ConfigError) as caught:
        PromptManager(replace(TEMPLATE, language="fr")).get_prompt(POET, TEXT)
    assert caught.value.where == "persona/poet.yaml"
    assert caught.value.key == "description.fr"
    assert [part for part in ("'poet'", "'fr'", "'own'", "en, ja") if part not in str(caught.value)] == []


def test_each_persona_and_text_gets_its_own_strings() -> None:
    """Strings that are kept for later never reach another persona or text, whichever template names them."""
    manager = PromptManager(replace(TEMPLATE, system="{{ text.name }}", user="{{ persona }}{{ text.content }}"))
    personas = [Persona(name, {"*": name}) for name in "ab"]
    texts = [Text(f"t{at}", f"words {at}") for at in range(3)]
    for _ in range(2):
        prompts = {(p.name, t.name): manager.get_prompt(p, t) for p in personas for t in texts}
        assert [prompt.system for prompt in prompts.values()] == ["t0", "t1", "t2"] * 2
        assert [prompt.user.split("\n")[0] for prompt in prompts.values()] == [
            f"{p.name}{t.content}" for p in personas for t in texts
        ]


# ---- the reply asked for --------------------------------------------------------------------------------------------


def test_schema_is_strict_and_bounded() -> None:
    """Every question is an object of score and reason, in this order, with its range; nothing else is allowed."""
    schema = PromptManager(replace(TEMPLATE, questions=(FUN, DREAD), reason_max_chars=50)).reply_schema()
    reason = {"type": "string", "minLength": 1, "maxLength": 50}

    def answer(score: object) -> object:
        return {
            "type": "object",
            "properties": {"score": score, "reason": reason},
            "required": ["score", "reason"],
            "additionalProperties": False,
        }

    assert schema == {
        "type": "object",
        "properties": {
            "fun": answer({"type": "integer", "minimum": 0, "maximum": 100}),
            "dread": answer({"type": "number", "minimum": -1, "maximum": 1.5}),
        },
        "required": ["fun", "dread"],
        "additionalProperties": False,
    }
    jsonschema.Draft202012Validator.check_schema(schema)


def test_labelled_replies_have_no_schema() -> None:
    """Labelled lines are text, so there is no schema to send."""
    assert PromptManager(replace(TEMPLATE, reply="labelled")).reply_schema() is None


def test_json_format_tells_the_shape() -> None:
    """The JSON instruction names every key, and shows nothing that could be copied as an answer."""
    told = reply_format(replace(TEMPLATE, questions=(FUN, DREAD)))
    assert all(word in told for word in ("JSON", '"fun", "dread"', '"score"', '"reason"'))
    assert "<" not in told
    assert not any(character.isdigit() for character in told)


def test_labelled_format_is_the_studys() -> None:
    """Labelled lines number the questions and name value and reason, in the prompt's language."""
    japanese = replace(
        TEMPLATE, language="ja", reply="labelled", questions=(Question("fun", "面白さ", "面白いですか。"),)
    )
    assert reply_format(japanese).split("\n")[1:] == ["Q1. 面白さ(数値): <0-100>", "Q1. 面白さ(理由): <短い一文>"]
    english = replace(TEMPLATE, reply="labelled")
    assert reply_format(english).split("\n")[1:] == ["Q1. fun(value): <0-100>", "Q1. fun(reason): <one short sentence>"]


@pytest.mark.parametrize("language", ["en", "ja", "fr"])
def test_a_reply_in_the_shown_form_is_read(language: str) -> None:
    """A model that fills in the labelled lines exactly as they are shown is scored, in every language."""
    template = replace(TEMPLATE, language=language, reply="labelled", questions=(FUN, Question("awe", "畏れ", "?")))
    shown = reply_format(template).split("\n", 1)[1].replace("<0-100>", "42")
    reading = score.read(Reply(shown, "stop"), template.questions, template.reply)
    assert isinstance(reading, Scored)
    assert reading.scores == {"fun": 42, "awe": 42}
    assert None not in reading.reasons.values()


# ---- what is shipped ------------------------------------------------------------------------------------------------


def shipped(name: str) -> PromptTemplate:
    conf = yaml.safe_load((CONF / "prompt" / f"{name}.yaml").read_text("utf-8"))
    questions = tuple(
        Question(key, q["label"], q["wording"], q["low"], q["high"]) for key, q in conf.pop("questions").items()
    )
    return PromptTemplate(name=name, questions=questions, **conf)


def shipped_personas() -> list[Persona]:
    confs = {path.stem: yaml.safe_load(path.read_text("utf-8")) for path in (CONF / "persona").glob("*.yaml")}
    return [
        Persona(name, c["description"], c["temperature"]) for name, c in sorted(confs.items()) if "description" in c
    ]


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONF / "prompt").glob("*.yaml")))
def test_shipped_prompts_serve_every_shipped_persona(name: str) -> None:
    """Each shipped prompt renders for each shipped persona, with the text, every wording and the reply format in it."""
    template = shipped(name)
    manager = PromptManager(template)
    for persona in shipped_personas():
        prompt = manager.get_prompt(persona, TEXT)
        assert persona.description[template.language] in prompt.system
        expected = [TEXT.content, TEXT.title, manager.reply_format, *(q.wording for q in template.questions)]
        assert [part for part in expected if part not in prompt.user] == []


def test_shipped_personas_are_the_studys_four() -> None:
    """Four personas are shipped, in two languages, at the study's temperatures."""
    personas = {persona.name: persona for persona in shipped_personas()}
    temperatures = {name: persona.temperature for name, persona in personas.items()}
    assert temperatures == {"student": 0.7, "scholar": 0.4, "poet": 0.9, "robot": 0.1}
    assert {language for p in personas.values() for language in p.description} == {"en", "ja"}


def test_affect_asks_the_same_in_both_languages() -> None:
    """The Japanese prompt asks the English one's questions, in the same order and on the same scale."""
    english, japanese = shipped("affect").questions, shipped("affect_ja").questions
    assert [(q.name, q.low, q.high) for q in english] == [(q.name, q.low, q.high) for q in japanese]
    assert [q.name for q in english] == ["interesting", "surprise", "sadness", "anger"]
    assert [q.label for q in japanese] == ["面白さ", "驚き", "悲しみ", "怒り"]
