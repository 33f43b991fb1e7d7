"""The values that pass between the stages: frozen, without behaviour beyond what their fields imply.

In the order in which a run makes them: Experiment (what is asked for), Cell, Prompt, Request and Adapted (what one
model is sent), Trial (one request and its key), Answer (a paid reply, as the ledger keeps it), Reply (it decoded),
Scored or Unscorable (the reply read), Row (a trial's line in results.jsonl).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

RECORD_VERSION = 1
"""Version of results.jsonl and run.json. Additive changes keep it; a changed meaning raises it."""

STATISTICS_VERSION = 2
"""Version of what a statistic means: a number of another version is not to be set beside one of this.

2: a score counts wherever it was read, not only in a complete reply; a mean gives each text alike; shares are of the
design; in_range is of replies without a score outside its scale, and complete of those with every score.
"""

READING_VERSION = 3
"""Version of how a reply is read and priced; `runner rescore RUN` reads the stored replies of an older one anew.

2: a score on another scale, a bound, a draft, one of several readers' and a number that was cut off are none any more.
3: tokens counted beside others or in the total alone are counted, a provider's own figure is the price, and cached
tokens in a batch have their own price there. Rows that an older version wrote keep what they say.
"""

Json = Any
"""A value that JSON can hold. Any: a recursive alias costs more readers than it helps."""
SystemRole = Literal["system", "developer", "merge"]
TemperatureRule = Literal["free", "fixed", "none"]
Api = Literal["chat", "responses"]
Rung = Literal["schema", "tool", "json_object", "prompt"]
ReplyFormat = Literal["json", "labelled"]
QuestionKind = Literal["number", "likert", "choice", "choices", "yes_no", "rank", "text", "distribution"]
Asking = Literal["together", "separately"]
ReasonPlace = Literal["after", "before", "none"]
Route = Literal["live", "batch"]
Source = Literal["bought", "ledger"]
Identity = Literal["record", "strict"]
Outcome = Literal["scored", "unscorable", "failed"]
Varied = Literal["fixed", "balanced", "crossed"]


# ---- what is asked for -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Option:
    """One of the answers that a question offers, or a point of its scale."""

    name: str
    """As results have it. A point's is its number, as in "-2"."""
    label: str
    """As the model reads it, in the prompt's language; "" for a point that is told by its number alone."""
    also: tuple[str, ...] = ()
    """What else it is called, as in another language: a reply that says so is read as well."""

    @property
    def point(self) -> float:
        """The number of a point."""
        return float(self.name)


@dataclass(frozen=True, slots=True)
class Question:
    """One thing that a reply answers. `low` and `high` are the inclusive ends of its scale, if its kind has one.

    Kinds: number; likert, one of some labelled points; choice, one of some options; choices, several of them; yes_no;
    rank, all options in order; text, words of the model's own; distribution, a probability for each point or option.
    """

    name: str
    """Key in the JSON reply, in `scores` and in MLflow metric names: an identifier."""
    label: str
    """Short word shown to people and written in labelled replies, in the prompt's language."""
    wording: str
    """The question as the model reads it."""
    low: float = 0.0
    high: float = 100.0
    kind: QuestionKind = "number"
    step: float | None = None
    """Distance of the numbers that may be given, from `low` on; None: any number."""
    options: tuple[Option, ...] = ()
    """The options, or the points of a scale in rising order."""
    least: int = 1
    """Fewest options that may be chosen, of the kind `choices`."""
    most: int | None = None
    """Most of them; None: all."""
    max_chars: int = 400
    """Longest answer in the reply's JSON schema, of the kind `text`, in characters."""
    reverse: bool = False
    """Whether a score is turned round its scale: what is stated x counts as low + high - x."""

    @property
    def is_numeric(self) -> bool:
        """Whether its answer is a score: a number that means are taken of."""
        return self.kind in ("number", "likert", "yes_no") or self.has_points

    @property
    def is_given(self) -> bool:
        """Whether its answer is kept beside its score, if it has one: it is no plain number, or turned round."""
        return self.kind != "number" or self.reverse

    @property
    def has_points(self) -> bool:
        """Whether it is a distribution over the points of a scale, which has a mean."""
        return self.kind == "distribution" and all(_is_number(option.name) for option in self.options)

    @property
    def has_reason(self) -> bool:
        """Whether a reason is asked beside the answer, where reasons are asked: words are their own."""
        return self.kind != "text"

    def turned(self, score: float) -> float:
        """A stated score as it counts."""
        return self.low + self.high - score if self.reverse else score


def _is_number(written: str) -> bool:
    return written.removeprefix("-").isdecimal()


@dataclass(frozen=True, slots=True)
class ItemScale:
    """A scale whose score is the mean of the scores of its items; a trial that lacks one of them has none."""

    name: str
    items: tuple[str, ...]
    """Names of questions, each on one range with the others."""


@dataclass(frozen=True, slots=True)
class Persona:
    """Who the model is asked to be."""

    name: str
    description: Mapping[str, str]
    """Language code -> how the persona is described to the model. The key "*" serves every language."""
    temperature: float | None = None
    """The persona's own temperature, used where the experiment sets none."""
    covariates: Mapping[str, Json] = field(default_factory=dict)
    """Further columns of the table that it is from, such as age: what is known of it, and not sent. Not part of a key,
    nor of what an experiment is."""
    weight: float | None = None
    """How many of a population it stands for, in any unit, above 0; None: as many as any other. Likewise."""


@dataclass(frozen=True, slots=True)
class Text:
    """What the model reads."""

    name: str
    content: str
    title: str = ""
    author: str = ""
    language: str = ""
    temperature_shift: float = 0.0
    """Added to the persona's own temperature for this text."""
    origin: str = ""
    """Where the text came from: a path, or the config file's name."""
    covariates: Mapping[str, Json] = field(default_factory=dict)
    """As a persona's."""
    weight: float | None = None
    """As a persona's."""


@dataclass(frozen=True, slots=True)
class PromptTemplate:
    """System and user templates (Jinja) with the questions they ask."""

    name: str
    language: str
    system: str
    user: str
    questions: tuple[Question, ...]
    reply: ReplyFormat = "json"
    reason_max_chars: int = 400
    """Upper bound for a reason in the reply's JSON schema, in characters."""
    rescale: bool = False
    """Whether a score on another scale that the reply declares is converted to the question's. Not part of a key."""
    ask: Asking = "together"
    """All questions in one request, or each in a request of its own."""
    reasons: ReasonPlace = "after"
    """Whether a reason is asked for, and whether it comes before the answer or behind it."""
    scales: tuple[ItemScale, ...] = ()
    """Scores that are made of several questions'. Not part of a key."""


@dataclass(frozen=True, slots=True)
class Capability:
    """What a model takes. Data from its YAML, completed from LiteLLM's map; nothing is guessed from a name."""

    system: SystemRole = "system"
    """How the persona is carried: a system message, a developer message, or merged into the user message."""
    temperature: TemperatureRule = "free"
    """free: sent as asked, up to `temperature_max`; fixed: the API has one value and none is sent; none: refused."""
    temperature_max: float = 2.0
    max_tokens: str = "max_tokens"
    """Name of the parameter that bounds the reply's length."""
    structure: Rung = "prompt"
    """Best rung of structured output that the model's API offers."""
    schema_bounds: bool = False
    """True where the API accepts minimum, maximum, minLength and maxLength in a JSON schema. Gemini's documents the
    first two alone, and Anthropic's none."""
    seed: bool = False
    """True where the API takes a seed."""
    batch: str | None = None
    """Name of the batch API that serves this model, or None."""
    api: Api = "chat"
    """responses: OpenAI's Responses API, in place of chat completions or of the provider's own chat."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How hard one model may be driven. None of it is part of a key."""

    concurrency: int = 8
    attempts: int = 24
    """Most attempts a request, the first included."""
    total_s: float = 900.0
    """Most seconds that one request may take over all its attempts and waits."""
    timeout_s: float = 600.0
    """Most seconds for one attempt, from sending to the last byte."""
    first_byte_timeout_s: float = 180.0
    """Most seconds without a byte: from sending to the first one, and between any two."""
    max_reply_bytes: int = 16 * 2**20
    """Largest reply that is taken, unpacked; a larger one fails by itself as soon as it is."""
    requests_per_minute: float | None = None
    """What the provider allows the account; models of one account share it. None: its headers tell, or it has none."""
    tokens_per_minute: float | None = None
    """Likewise, counted as input and the most that a reply may have."""
    enqueued_tokens: int | None = None
    """Input tokens that this model's unfinished batches may hold together, by the account's limits; None: unknown."""


@dataclass(frozen=True, slots=True)
class PriceTier:
    """US dollars per million tokens of a request whose input is longer than `above_tokens`: of all its tokens.

    None: the model's flat price for output, the tier's own input for what is cached, unknown for what is written.
    """

    above_tokens: int
    """Input tokens, cached ones among them, that are still charged at the prices below."""
    input_usd_per_mtok: float
    output_usd_per_mtok: float | None = None
    cached_usd_per_mtok: float | None = None
    cache_write_usd_per_mtok: float | None = None
    cache_write_1h_usd_per_mtok: float | None = None


@dataclass(frozen=True, slots=True)
class Prices:
    """US dollars per million tokens; None where unknown (never a zero that means unknown)."""

    input_usd_per_mtok: float | None = None
    output_usd_per_mtok: float | None = None
    cached_usd_per_mtok: float | None = None
    source: str = ""
    """Where the figures are from, and when they were read."""
    batch_share: float | None = None
    """What a batch costs of these: 0.5 is half. None: as LiteLLM's map says, or else the batch API's documentation."""
    cache_write_usd_per_mtok: float | None = None
    """Input that is put into the provider's cache, for as long as it keeps it by default."""
    cache_write_1h_usd_per_mtok: float | None = None
    """Likewise, to be kept for an hour."""
    reasoning_usd_per_mtok: float | None = None
    """Reasoning within the output; None: as any output."""
    request_usd: float | None = None
    """US dollars of each request whatever its length, such as a search's fee; None: there is none."""
    tiers: tuple[PriceTier, ...] = ()
    """Prices of long requests, by rising length; these fields and those from cache_write_usd_per_mtok on are no part
    of what an experiment is."""


@dataclass(frozen=True, slots=True)
class Retirement:
    """The end of a model at its provider. Not part of a key, nor of what an experiment is."""

    date: str | None = None
    """First day on which it is served no more, as YEAR-MONTH-DAY; None where no end is known."""
    replacement: str | None = None
    """The file of conf/model that takes its place."""
    source: str = ""
    """Who says so: an address, or a page's name, and when it was read."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model as an experiment selects it."""

    name: str
    """Its name in conf/model."""
    id: str
    """The provider's own name for it, without LiteLLM's provider prefix."""
    provider: str
    """LiteLLM's provider name ("openai", "anthropic", "gemini", ...) or "embedded"."""
    vendor: str
    """Folder below replies/, and the group of the verification table: the study's vendors."""
    key_env: str | None = None
    """Environment variable that holds the API key; None where none is needed."""
    api_base: str | None = None
    """Another address than the provider's own."""
    capability: Capability = field(default_factory=Capability)
    limits: Limits = field(default_factory=Limits)
    prices: Prices = field(default_factory=Prices)
    temperature: float | None = None
    """The model's own default temperature, used where neither experiment nor persona sets one."""
    extra: Mapping[str, Json] = field(default_factory=dict)
    """Further parameters, sent as they are (reasoning_effort, top_k, ...). Part of the key."""
    batch_bucket: str | None = None
    """Where batches of Vertex AI are put in Google Cloud Storage: BUCKET or BUCKET/FOLDER. Not part of a key."""
    retired: str | None = None
    """When and why the provider withdrew it, in words; None while it is served."""
    retirement: Retirement = field(default_factory=Retirement)
    served_as: tuple[str, ...] = ()
    """Further names under which it may answer, beside its id and that with a date; see providers.identity."""
    identity: Identity = "record"
    """The experiment's."""
    simulation: str | None = None
    """Which simulated providers answer in a rehearsal, by their fault plan: their address, in `api_base`, is another
    one each time. None: real ones."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """Values asked for every trial. None leaves the choice to persona, text and model file, in this order."""

    temperature: float | None = None
    max_tokens: int = 1024
    seed: int | None = None
    """First repetition's seed; repetition n is asked with seed + n - 1."""
    trials: int = 1
    """Repetitions of each cell x text."""


@dataclass(frozen=True, slots=True)
class Batch:
    """How requests are grouped for a provider's batch API. Not part of a key."""

    mode: Literal["off", "native"] = "off"
    size: int | Literal["auto"] = 12
    """Requests in one batch; auto: as many as the API takes."""
    window: str = "24h"
    """Completion window asked for: number and unit (s, m, h, d). An API without it gets its next longer one."""
    wait: bool = True
    """False: send, fetch what has ended already, and leave the rest to a later run or `runner collect`."""
    fallback: Literal["none", "live"] = "none"
    """Where a request goes that a batch did not answer: into the next batch, or out live."""
    missing: Literal["fail", "buy"] = "fail"
    """What becomes of a request that its provider ran and whose result cannot be had, now or in a batch that it no
    longer knows: `fail` names it, `buy` buys it again."""
    cleanup: bool = True
    """Delete what was uploaded and what it made at the provider, once the answers are in the ledger."""
    first_poll_s: float = 5.0
    """Seconds from sending to the first look; twice as much after some looks, from there on doubled each time.

    Set in Python alone, as the next one and `find_s`: no key of the config.
    """
    max_poll_s: float = 300.0
    """Most seconds between two looks."""
    attempts: int = 24
    """Most batches that one request may go into."""
    grace: str = "72h"
    """How long after its window a batch may still end, before it is given up as lost. Vertex AI queues up to 72h."""
    find_s: float = 60.0
    """Seconds for which a batch whose sending got no answer is looked for, before it counts as never sent."""

    @property
    def window_s(self) -> float:
        """`window` in seconds; ValueError where it is no duration."""
        return duration_s(self.window)

    @property
    def grace_s(self) -> float:
        """`grace` in seconds; ValueError where it is no duration."""
        return duration_s(self.grace)


def duration_s(text: str) -> float:
    """Seconds of a number and its unit (s, m, h, d), such as 24h or 0.5s; ValueError where it is none."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
    unit = units.get(text[-1:])
    if unit is None or not text[:-1].replace(".", "", 1).isdecimal():
        raise ValueError(f"'{text}' is no duration: a number and s, m, h or d, such as 24h")
    return float(text[:-1]) * unit


UNSCORABLE = (
    "empty", "refused", "truncated", "no_score", "missing_question", "not_a_number", "out_of_range", "other_scale",
    "ambiguous", "malformed", "not_an_option", "not_a_ranking", "wrong_sum",
)  # fmt: skip
"""Kinds of replies that cannot be read as a score for every question; see Unscorable."""
REFUSED = "refused"
"""Kind of a text that a model, a filter or a policy turned away. As an error it counts as it does in a reply, so that
refusal rates compare: which of the two a provider sends is its own choice. So does a model's text that its provider
refused."""
UNREAD = ("empty", "truncated", "malformed", "no_score", "missing_question", "not_a_number", "not_an_option")
"""Kinds of replies that say nothing of what was asked, and are asked again where a run asks again at all."""


@dataclass(frozen=True, slots=True)
class AskAgain:
    """Which trials are asked more than once. A first attempt is what it is without: its key never changes.

    Each further attempt has a key of its own (plan.trials.attempt_key), so that all are kept, and none is bought twice.
    """

    unscorable: int = 0
    """Most further attempts for a reply of one of `kinds`."""
    kinds: tuple[str, ...] = UNREAD
    """Kinds of unscorable replies; see Unscorable. A refusal is data: whoever adds it here reports both numbers."""
    keys: tuple[str, ...] = ()
    """Keys of trials, or their first eight digits or more, that are asked once more whatever they said; one that stands
    here twice is asked twice more. What was said last counts."""

    @property
    def is_on(self) -> bool:
        """Whether anything is asked again at all."""
        return bool(self.unscorable or self.keys)

    def named(self, key: str) -> int:
        """How many more attempts a trial is given by name."""
        return sum(key.startswith(name) for name in self.keys)


@dataclass(frozen=True, slots=True)
class Design:
    """What moves scores beside what is studied, and whether it is held, spread over the trials, or asked in full.

    fixed: as written. balanced: levels are spread over the texts and repetitions that are asked anyhow. crossed: every
    trial is asked at each level. What a trial is given is one of its factors; see plan.nuisance.
    """

    question_order: Varied = "fixed"
    """In which order the questions of one request stand."""
    placement: Varied = "fixed"
    """Whether what the prompt has as its system message, the persona, stands there or opens the user message. A model
    without a system role has it there in any case."""
    seed: int = 1
    """Which balanced assignment it is. Without effect where nothing is balanced."""


@dataclass(frozen=True, slots=True)
class Tracking:
    """Where MLflow runs go. Not part of a key."""

    enabled: bool = True
    uri: str = "sqlite:///mlruns/mlflow.db"
    artifacts: str = "mlruns"
    """Artifact root for a store that this program creates."""
    experiment: str = "persona-runner"
    traces: Literal["off", "failed", "sample", "all"] = "off"
    """Which trials also become traces, so that prompt and reply can be read in MLflow."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """What one composed config asks for, checked and complete."""

    name: str
    models: tuple[Model, ...]
    personas: tuple[Persona, ...]
    texts: tuple[Text, ...]
    prompt: PromptTemplate
    sampling: Sampling
    batch: Batch
    tracking: Tracking
    ledger_url: str
    ledger_missing: Literal["refuse", "buy"] = "refuse"
    """What becomes of answers that earlier runs had from the ledger, and that it does not hold any more: refuse says so
    and sends nothing, buy buys them again. Not part of a key."""
    ask_again: AskAgain = field(default_factory=AskAgain)
    strict: bool = False
    identity: Identity = "record"
    """What becomes of a reply of a model that its file does not declare: record keeps it in a cell of its own, strict
    refuses it. Not part of a key."""
    budget_usd: float | None = None
    """Most that one launch may spend; None: no limit. Not part of a key, as `objective`."""
    report: bool = True
    """Whether report.html is written. Not part of a key."""
    objective: str | None = None
    """The metric that a sweeper is given as the job's result."""
    design: Design = field(default_factory=Design)
    further_prompts: tuple[PromptTemplate, ...] = ()
    """Where several prompts are asked: those after `prompt`, each with a name of its own."""

    @property
    def prompts(self) -> tuple[PromptTemplate, ...]:
        """Every prompt that is asked, in order."""
        return (self.prompt, *self.further_prompts)

    def prompt_named(self, name: Json) -> PromptTemplate:
        """The prompt of a name; the first one where none bears it, as in rows that do not say theirs."""
        return next((one for one in self.further_prompts if one.name == name), self.prompt)

    @property
    def scales(self) -> tuple[ItemScale, ...]:
        """Every scale that is made of some prompt's questions."""
        return tuple(dict.fromkeys(scale for one in self.prompts for scale in one.scales))

    @property
    def questions(self) -> tuple[Question, ...]:
        """Every question of every prompt, once, as the first prompt asks it."""
        asked: dict[str, Question] = {}
        for question in (question for one in self.prompts for question in one.questions):
            asked.setdefault(question.name, question)
        return tuple(asked.values())


# ---- what is sent ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Prompt:
    """The same two strings for every model."""

    system: str
    user: str


@dataclass(frozen=True, slots=True)
class Request:
    """A request as the model will take it, in OpenAI's vocabulary whatever the provider.

    `messages` holds {"role", "content"} objects; `params` everything else that shapes the reply (temperature,
    max_tokens or max_completion_tokens, seed, response_format, tools, tool_choice, and the model's `extra`).
    """

    model_id: str
    messages: tuple[Mapping[str, str], ...]
    params: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Dropped:
    """A parameter or role that was left out, moved or changed for a model."""

    parameter: str
    value: Json
    """What had been asked for."""
    reason: str
    """Why, with what was done instead."""


@dataclass(frozen=True, slots=True)
class Adapted:
    """A prompt and its sampling, fitted to one model."""

    request: Request
    rung: Rung
    requested: Mapping[str, Json]
    """Parameters asked for: temperature, max_tokens, seed, system (the role), structure."""
    sent: Mapping[str, Json]
    """The same names with what is really sent; a name that is absent was not sent."""
    dropped: tuple[Dropped, ...] = ()


@dataclass(frozen=True, slots=True)
class Cell:
    """Model x persona x prompt x sampling: the unit that is compared, and one MLflow child run."""

    name: str
    """Unique in its job: `model/persona` as in conf, and `model/persona/prompt` where several prompts are asked."""
    model: Model
    persona: Persona
    sampling: Sampling
    prompt: str = ""
    """The name of the prompt that it is asked with; "" for the first one of its experiment."""


@dataclass(frozen=True, slots=True)
class Trial:
    """Cell x text x repetition: one request. Trials of one cell and text share `adapted` but for the seed.

    Where each question has a request of its own, so has each a trial.
    """

    cell: Cell
    text: Text
    repetition: int
    """From 1."""
    adapted: Adapted
    key: str
    """64 hexadecimal digits; see plan.key_of."""
    factors: Mapping[str, Json] = field(default_factory=dict)
    """What the plan gave it beyond its cell's model and persona, its text and repetition: name -> plain value, such as
    `prompt`. Its row has each as a column, and everything that reads rows knows them as factors."""
    question: str | None = None
    """The one that is asked, where each has a request of its own."""


# ---- what comes back -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answer:
    """A paid reply as it was received, before anyone looked at it. The ledger's unit."""

    key: str
    raw: bytes
    """The provider's response body, byte for byte; without the API key, should it repeat that."""
    route: Route
    model_id: str
    endpoint: str
    """Identity of the endpoint that answered; see plan.endpoint_of."""
    attempts: int
    latency_s: float
    """Seconds from sending to the last byte, of the attempt that succeeded."""
    time: str
    """When it was received: UTC, ISO 8601 with milliseconds."""
    redacted: bool = False
    """Whether the API key stood in `raw`, and was taken out: it is then not as it came."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a trial has no score. `kind` is a short stable name; `message` is for people."""

    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that ended without a paid reply."""

    key: str
    problem: Problem
    attempts: int
    route: Route = "live"
    """How it was asked for."""
    reply: str | None = None
    """What the model wrote, where its own provider refused that text."""
    time: str | None = None
    """When the provider judged the text, as in an Answer; None where it did not come so far."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """Token counts as the provider reports them; None where it does not, or where its counts contradict each other."""

    input: int | None = None
    """All of it: `cached` and `cache_write` are within."""
    output: int | None = None
    """All of it: `reasoning` is within."""
    cached: int | None = None
    """Read from the provider's cache."""
    reasoning: int | None = None
    cache_write: int | None = None
    """Put into the provider's cache; `cache_write_1h` is within."""
    cache_write_1h: int | None = None
    """Put there to be kept for an hour."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer decoded from its provider's format."""

    text: str | None
    """What the model wrote; None where the provider returned no text."""
    finish: str | None
    """OpenAI's vocabulary: stop, length, content_filter, tool_calls; None where not given."""
    refusal: str | None = None
    """The provider's own words where it marks the reply as refused."""
    tokens: Tokens = field(default_factory=Tokens)
    model_version: str | None = None
    fingerprint: str | None = None
    cost_usd: float | None = None
    """What it cost by the provider's own word, in US dollars."""
    billed_as: str | None = None
    """How it was served, where that has prices of its own (priority, flex, web_search); None for the ordinary way."""
    aside: str | None = None
    """What stands in another place than the answer's (a reasoning field, a part of another kind) where no text came."""


@dataclass(frozen=True, slots=True)
class Stated:
    """A score that the reply states on another scale than its question's, and what it was converted to."""

    score: float
    """As it stands in the reply."""
    low: float
    high: float
    """The inclusive ends of the scale that the reply declares."""
    rescaled: float
    """The same on the question's scale."""


@dataclass(frozen=True, slots=True)
class Given:
    """The answer to a question that is not a plain number."""

    value: Json
    """likert: the point's number as stated; choice, yes_no: an option's name; choices: names in the order of the
    options; rank: names, first place first; text: the words; distribution: {name: probability}, which add up to 1."""
    label: str | None = None
    """What the value is called in the prompt; None for words, and for more than one option."""
    raw: Json = None
    """As it stands in the reply, before it was read."""
    moments: Mapping[str, float] | None = None
    """Of a distribution its entropy in bits, and over points its mean and sd; else None."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A reply that answers every question within its range.

    `reasons` has a None for each question whose reason is missing: the score still stands. `scores` has the questions
    whose kind has scores, `answers` those that are no plain numbers: likert and yes_no questions are in both.
    """

    scores: Mapping[str, float]
    reasons: Mapping[str, str | None]
    stated: Mapping[str, Stated] = field(default_factory=dict)
    """Question -> what the reply states, for those whose score was converted from another scale."""
    answers: Mapping[str, Given | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unscorable:
    """A reply that cannot be read as answers to all questions. What could be read is kept, the rest is None.

    Kinds: empty, refused, truncated, no_score, missing_question, not_a_number, out_of_range, other_scale, ambiguous,
    malformed, not_an_option, not_a_ranking, wrong_sum.
    """

    problem: Problem
    scores: Mapping[str, float | None]
    reasons: Mapping[str, str | None]
    stated: Mapping[str, Stated] = field(default_factory=dict)
    """As of a reply that is scored."""
    answers: Mapping[str, Given | None] = field(default_factory=dict)
    """Likewise."""


Reading = Scored | Unscorable


@dataclass(frozen=True, slots=True)
class Row:
    """One trial's line in results.jsonl; the field order is the order in the file."""

    run: str
    job: int
    cell: str
    key: str
    model: str
    model_id: str
    provider: str
    vendor: str
    persona: str
    text: str
    repetition: int
    route: Route
    outcome: Outcome
    scores: Mapping[str, float | None]
    reasons: Mapping[str, str | None]
    reply: str | None
    problem: Problem | None
    requested: Mapping[str, Json]
    sent: Mapping[str, Json]
    dropped: tuple[Dropped, ...]
    rung: Rung
    attempts: int
    latency_s: float | None
    tokens: Tokens
    price_usd: float | None
    """What the answer cost when it was bought; None where the price is unknown or nothing was bought."""
    saved_usd: float | None = field(default=None, kw_only=True)
    """What it would have cost more live: 0 for a live answer; None as for the price, and in an older version's rows."""
    stated: Mapping[str, Stated] = field(default_factory=dict, kw_only=True)
    """Question -> the score as the reply states it, where it was converted from another scale."""
    model_version: str | None
    fingerprint: str | None
    time: str | None
    source: Source | None
    """bought in this run, or taken from the ledger; None for a failed trial."""
    asked: int = field(default=1, kw_only=True)
    """How many replies the trial was given: more than one where it was asked again. Tokens and price are of all."""
    taken: int = field(default=1, kw_only=True)
    """Which of these the row holds: the first that could be read, else the first."""
    earlier_usd: float = field(default=0.0, kw_only=True)
    """Of the price of a row that was bought, what an earlier launch had paid for the trial's earlier attempts."""
    redacted: bool = field(default=False, kw_only=True)
    """Whether the reply repeated the API key, which was taken out before anything was kept."""
    served: str | None = field(default=None, kw_only=True)
    """The model that answered, where its name is none that the model's file declares; else None."""
    answers: Mapping[str, Given | None] = field(default_factory=dict, kw_only=True)
    """Question -> its answer, of those that are no plain number or turned round; None where it could not be read."""
    question: str | None = field(default=None, kw_only=True)
    """The one that the request asked, where each has a request of its own; else None."""
    factors: Mapping[str, Json] = field(default_factory=dict, kw_only=True)
    """What tells the row apart beyond the fields above, and what is known of its persona and text: name -> text,
    number, true, false or null. The trial's (`prompt`), the settings of a sweep's job under their names on the command
    line (`sampling.temperature`), and covariates (`persona.age`). A line of results.jsonl has each as a key of its own.
    {} in rows of earlier versions."""

    @property
    def answered_by(self) -> str:
        """The model's name, and the one that answered in its stead."""
        return self.model if self.served is None else f"{self.model} as {self.served}"

    @property
    def compared_in(self) -> str:
        """The cell that the trial is compared in: its own, or one apart where another model answered."""
        if self.served is None:
            return self.cell
        return f"{self.answered_by}{self.cell.removeprefix(self.model)}"


def whole_pairs(text: str) -> str:
    """Text without halves of surrogate pairs, which no table can hold: they are written as their escapes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def is_factor(name: str) -> bool:
    """Whether a name is a factor's by itself: a setting's, a covariate's, or that of the prompt.

    No field of Row has such a name. Factors of other names are listed where they stand.
    """
    return "." in name or name == "prompt" or "/" in name
