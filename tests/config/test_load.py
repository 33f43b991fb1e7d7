"""What a user can get wrong, and what they are told; and what a right config becomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hydra import compose, initialize_config_dir

from runner.config import schema
from runner.config.compose import conf_dir
from runner.config.hydra_errors import FOREIGN, translate
from runner.config.load import load
from runner.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from runner.records import Experiment


def experiment(*overrides: str) -> Experiment:
    """What the overrides become, with Hydra's complaints said as the command line says them."""
    schema.register()
    try:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            return load(compose("config", overrides=list(overrides)))
    except FOREIGN as error:
        raise translate(error, conf_dir()) from error


def test_the_default() -> None:
    """A plain run is the embedded model, four personas at their own temperatures, three texts, one repetition."""
    plain = experiment()
    assert [model.name for model in plain.models] == ["smollm2"]
    temperatures = {persona.name: persona.temperature for persona in plain.personas}
    assert temperatures == {"student": 0.7, "scholar": 0.4, "poet": 0.9, "robot": 0.1}
    assert [text.name for text in plain.texts] == ["lighthouse", "parcel", "rain"]
    assert plain.sampling.trials == 1
    assert [question.name for question in plain.prompt.questions] == ["interesting", "surprise", "sadness", "anger"]


def test_lists_select_several_in_their_order() -> None:
    """persona=[poet,robot] and model=[a,b] select these, in this order."""
    chosen = experiment("persona=[robot,poet]", "model=[o3-mini,gpt-4o-mini]")
    assert [persona.name for persona in chosen.personas] == ["robot", "poet"]
    assert [model.name for model in chosen.models] == ["o3-mini", "gpt-4o-mini"]


def test_an_override_reaches_one_model() -> None:
    """model.NAME.api_base points one model elsewhere; a trailing slash is no other address."""
    model = experiment("model=o1-mini", "model.o1-mini.api_base=http://127.0.0.1:9/v1/").models[0]
    assert model.api_base == "http://127.0.0.1:9/v1"


def test_any_model_takes_its_provider_from_its_id() -> None:
    """model=any splits PROVIDER/MODEL at the first slash only."""
    model = experiment("model=any", "model.any.id=openrouter/qwen/qwen3-32b").models[0]
    assert (model.provider, model.id) == ("openrouter", "qwen/qwen3-32b")


def test_an_experiment_is_a_set_of_deltas() -> None:
    """experiment=NAME changes what its file names and leaves the rest."""
    japanese = experiment("experiment=japanese")
    assert (japanese.name, japanese.prompt.name, japanese.prompt.language) == ("japanese", "affect_ja", "ja")
    assert [text.name for text in japanese.texts] == ["rain"]
    assert [model.name for model in japanese.models] == ["smollm2"]


@pytest.mark.parametrize(
    ("address", "first_s"),
    [("http://127.0.0.1:9/v1", 0.05), ("http://localhost:9/v1", 0.05), ("http://192.0.2.1/v1", 5.0), ("null", 5.0)],
)
def test_batches_on_this_machine_are_looked_at_at_once(address: str, first_s: float) -> None:
    """Only where every model with a batch API answers from here; one that has none, as DeepSeek, does not count."""
    words = ("batch=native", "model=[gpt-4o-mini,deepseek-v4-flash]", f"model.gpt-4o-mini.api_base={address}")
    assert experiment(*words).batch.first_poll_s == first_s


@dataclass(frozen=True)
class Wrong:
    """An input and the words that its error must hold."""

    id: str
    overrides: tuple[str, ...]
    says: tuple[str, ...]


WRONG = (
    Wrong("a key that is gone", ("batch.first_poll_s=1",), ("command line", "batch.first_poll_s", "this key is gone")),
    Wrong(
        "one of the same kind", ("batch=native", "+batch.find_s=5"), ("batch.find_s", "this key is gone", "a minute")
    ),
    Wrong("one of a model", ("model.smollm2.limits.connect_timeout_s=3",), ("connect_timeout_s", "this key is gone")),
    Wrong("misspelt key", ("sampling.temprature=1",), ("sampling.temprature", "did you mean 'temperature'")),
    Wrong("misspelt key, appended", ("+sampling.temprature=1",), ("sampling.temprature", "did you mean 'temperature'")),
    Wrong("unknown key at the root, appended", ("+nme=x",), ("'nme'", "did you mean 'name'")),
    Wrong("misspelt group", ("personna=[poet]",), ("personna", "did you mean 'persona'")),
    Wrong("wrong type", ("sampling.temperature=hot",), ("sampling.temperature", "hot", "no number")),
    Wrong("unknown persona", ("persona=[poett]",), ("persona", "poett", "did you mean 'poet'")),
    Wrong("unknown model", ("model=[gpt-4o-mni]",), ("gpt-4o-mni", "did you mean 'gpt-4o-mini'")),
    Wrong("unknown experiment", ("experiment=nope",), ("experiment", "nope")),
    Wrong("no persona", ("persona=[]",), ("persona",)),
    Wrong("empty text", ("text.rain.content=' '",), ("text/rain.yaml", "content", "empty")),
    Wrong("empty name", ("name=''",), ("name", "empty")),
    Wrong("temperature out of range", ("sampling.temperature=3",), ("sampling", "temperature", "0 to 2")),
    Wrong("persona too hot", ("persona.poet.temperature=-1",), ("persona/poet.yaml", "temperature")),
    Wrong("no repetition", ("sampling.trials=0",), ("sampling", "trials", "at least 1")),
    Wrong("no tokens", ("sampling.max_tokens=0",), ("sampling", "max_tokens")),
    Wrong("negative seed", ("sampling.seed=-1",), ("sampling", "seed")),
    Wrong(
        "range upside down",
        ("prompt.affect.questions.anger.low=100",),
        ("prompt/affect.yaml", "questions.anger.low", "upside down"),
    ),
    Wrong("two labels alike", ("prompt.affect.questions.anger.label=sadness",), ("prompt/affect.yaml", "sadness")),
    Wrong("unknown reply format", ("prompt.affect.reply=yaml",), ("prompt/affect.yaml", "reply", "labelled")),
    Wrong("unknown rung", ("model.smollm2.capability.structure=shema",), ("model/smollm2.yaml", "mean 'schema'")),
    Wrong("no requests", ("model.smollm2.limits.concurrency=0",), ("model/smollm2.yaml", "limits.concurrency")),
    Wrong("no address", ("model.smollm2.api_base=localhost",), ("model/smollm2.yaml", "api_base", "http://")),
    Wrong("a value left out", ("model=any",), ("model/any.yaml", "'id'")),
    Wrong(
        "a server of one's own without its address",
        ("model=openai_compatible", "model.openai_compatible.id=local"),
        ("model/openai_compatible.yaml", "'api_base'", "your server"),
    ),
    *(
        Wrong(f"no chat: {name}", ("model=any", f"model.any.id={name}"), ("model/any.yaml", "'id'", name, does))
        for name, does in (
            ("openai/text-embedding-3-small", "makes embeddings"),
            ("gemini/gemini-embedding-001", "makes embeddings"),
            ("openai/gpt-3.5-turbo-instruct", "continues a text and takes no chat"),
            ("azure/gpt-35-turbo-instruct", "continues a text and takes no chat"),
            ("openai/gpt-image-1", "makes images"),
            ("openai/whisper-1", "writes down speech"),
            ("openai/gpt-4o-mini-tts", "speaks"),
            ("cohere/rerank-v3.5", "ranks documents"),
        )
    ),
    Wrong("no provider", ("model=any", "model.any.id=gpt-4o"), ("model/any.yaml", "PROVIDER/MODEL")),
    Wrong("a path left out", ("text=folder",), ("text/folder.yaml", "path")),
    Wrong("no such folder", ("text=folder", "text.folder.path=nowhere"), ("text/folder.yaml", "nowhere")),
    Wrong("unknown batch mode", ("batch.mode=nativ",), ("batch", "mode", "did you mean 'native'")),
    Wrong("no batches", ("batch.size=0",), ("group batch", "size", "whole number from 1 nor auto")),
    Wrong("unknown way", ("design.question_order=balance",), ("group design", "question_order", "mean 'balanced'")),
    Wrong("misspelt nuisance", ("design.questions=balanced",), ("design.questions", "did you mean 'question_order'")),
    Wrong("negative design seed", ("design.seed=-1",), ("group design", "seed", "at least 0")),
    Wrong("no window", ("batch.window=soon",), ("group batch", "window", "such as 24h")),
    Wrong("no room", ("model.smollm2.limits.enqueued_tokens=0",), ("model/smollm2.yaml", "limits.enqueued_tokens")),
    Wrong("a batch above the price", ("model.smollm2.prices.batch_share=2",), ("model/smollm2.yaml", "batch_share")),
)


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.id)
def test_wrong_input_is_one_clear_error(wrong: Wrong) -> None:
    """A wrong input is a ConfigError naming file and key, with the nearest valid name where there is one."""
    with pytest.raises(ConfigError) as caught:
        experiment(*wrong.overrides)
    for words in wrong.says:
        assert words in str(caught.value)


def test_two_texts_of_one_name(tmp_path: Path) -> None:
    """A text in a folder may not bear the name of another that is selected."""
    (tmp_path / "rain.txt").write_text("another rain", encoding="utf-8")
    with pytest.raises(ConfigError, match="two texts are named 'rain'"):
        experiment("text=[rain,folder]", f"text.folder.path={tmp_path}")


def test_several_prompts_are_selected_as_models_are() -> None:
    """An experiment asks each prompt that it selects, in order, and every question once."""
    asked = experiment("prompt=[affect,interest]")
    assert [prompt.name for prompt in asked.prompts] == ["affect", "interest"]
    assert [question.name for question in asked.questions] == ["interesting", "surprise", "sadness", "anger"]
