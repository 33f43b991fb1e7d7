"""The schema that Hydra composes against: keys, types and defaults of every config file.

A misspelt key or a wrong type in any file or override fails at composition. What a type cannot say (ranges, choices,
names, files) is checked by runner.config.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Optional, Self, cast

from hydra.core.config_store import ConfigStore
from hydra.core.singleton import Singleton
from omegaconf import MISSING, DictConfig

from runner.records import UNREAD

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# OmegaConf reads these annotations at run time and knows Optional[X], not X | None.


@dataclass
class CapabilityConf:
    """What a model takes; see records.Capability. null: LiteLLM's map decides, else the safe choice.

    A model's file states what the map may decide, so that another version of the map changes no key.
    """

    system: Optional[str] = None
    temperature: Optional[str] = None
    temperature_max: Optional[float] = 2.0
    max_tokens: Optional[str] = None
    structure: Optional[str] = None
    schema_bounds: Optional[bool] = False
    seed: Optional[bool] = False
    batch: Optional[str] = None
    api: Optional[str] = None


@dataclass
class LimitsConf:
    """How hard a model may be driven; see records.Limits."""

    concurrency: int = 8
    attempts: int = 24
    total_s: float = 900.0
    timeout_s: float = 600.0
    first_byte_timeout_s: float = 180.0
    max_reply_bytes: int = 16 * 2**20
    requests_per_minute: Optional[float] = None
    tokens_per_minute: Optional[float] = None
    enqueued_tokens: Optional[int] = None


@dataclass
class PriceTierConf:
    """Prices of requests longer than `above_tokens`; see records.PriceTier."""

    above_tokens: int = MISSING
    input_usd_per_mtok: float = MISSING
    output_usd_per_mtok: Optional[float] = None
    cached_usd_per_mtok: Optional[float] = None
    cache_write_usd_per_mtok: Optional[float] = None
    cache_write_1h_usd_per_mtok: Optional[float] = None


@dataclass
class PricesConf:
    """US dollars per million tokens, only where LiteLLM's map lacks them, and a batch's share; see records.Prices.

    `tiers: []` takes those of the map, in proportion to the prices that are stated.
    """

    input_usd_per_mtok: Optional[float] = None
    output_usd_per_mtok: Optional[float] = None
    cached_usd_per_mtok: Optional[float] = None
    source: str = ""
    batch_share: Optional[float] = None
    cache_write_usd_per_mtok: Optional[float] = None
    cache_write_1h_usd_per_mtok: Optional[float] = None
    reasoning_usd_per_mtok: Optional[float] = None
    request_usd: Optional[float] = None
    tiers: list[PriceTierConf] = field(default_factory=list)


@dataclass
class RetirementConf:
    """When a model ends; see records.Retirement."""

    date: Optional[str] = None
    replacement: Optional[str] = None
    source: str = ""


@dataclass
class ModelConf:
    """One model; see records.Model. `provider: null` takes the part of `id` before its first slash."""

    id: str = MISSING
    provider: Optional[str] = None
    vendor: Optional[str] = None
    key_env: Optional[str] = None
    api_base: Optional[str] = None
    capability: CapabilityConf = field(default_factory=CapabilityConf)
    limits: LimitsConf = field(default_factory=LimitsConf)
    prices: PricesConf = field(default_factory=PricesConf)
    temperature: Optional[float] = None
    extra: dict[str, Any] = field(default_factory=dict)
    batch_bucket: Optional[str] = None
    retired: Optional[str] = None
    retirement: RetirementConf = field(default_factory=RetirementConf)
    served_as: list[str] = field(default_factory=list)


@dataclass
class PersonaConf:
    """One persona, or (`source: table`) a table with one in each row.

    `description` is a mapping from language to text, or one text for every language; of a table a template over its
    columns, where they hold none.
    """

    source: str = "inline"
    description: Any = None
    temperature: Optional[float] = None
    path: Optional[str] = None
    columns: dict[str, str] = field(default_factory=dict)
    delimiter: Optional[str] = None
    skip_empty: bool = False
    limit: Optional[int] = None


@dataclass
class TextConf:
    """One text, or (`source: folder, aozora, table`) a place that holds many."""

    source: str = "inline"
    content: Optional[str] = None
    title: str = ""
    author: str = ""
    language: str = ""
    temperature_shift: float = 0.0
    path: Optional[str] = None
    columns: dict[str, str] = field(default_factory=dict)
    delimiter: Optional[str] = None
    skip_empty: bool = False
    limit: Optional[int] = None


@dataclass
class QuestionConf:
    """One question; its name is its key under `questions`.

    `points` maps each number of a likert scale to its label; `options` are a list of labels, or map a name to each. A
    label is a text, or maps each language to one.
    """

    label: str = ""
    wording: str = MISSING
    low: float = 0.0
    high: float = 100.0
    kind: str = "number"
    step: Optional[float] = None
    points: dict[int, Any] = field(default_factory=dict)
    options: Any = None
    least: int = 1
    most: Optional[int] = None
    max_chars: int = 400
    reverse: bool = False


@dataclass
class PromptConf:
    """Templates and questions; see records.PromptTemplate."""

    language: str = "en"
    system: str = MISSING
    user: str = MISSING
    questions: dict[str, QuestionConf] = field(default_factory=dict)
    reply: str = "json"
    reason_max_chars: int = 400
    rescale: bool = False
    ask: str = "together"
    reasons: str = "after"
    scales: dict[str, list[str]] = field(default_factory=dict)


@dataclass
class SamplingConf:
    """Values for every trial; see records.Sampling."""

    temperature: Optional[float] = None
    max_tokens: int = 1024
    seed: Optional[int] = None
    trials: int = 1


@dataclass
class BatchConf:
    """How requests are grouped for batch APIs; see records.Batch."""

    mode: str = "off"
    size: Any = 12
    window: str = "24h"
    wait: bool = True
    fallback: str = "none"
    missing: str = "fail"
    cleanup: bool = True
    attempts: int = 24
    grace: str = "72h"


@dataclass
class TrackingConf:
    """Where MLflow runs go; see records.Tracking."""

    enabled: bool = True
    uri: str = "sqlite:///mlruns/mlflow.db"
    artifacts: str = "mlruns"
    experiment: str = "persona-runner"
    traces: str = "off"


@dataclass
class LedgerConf:
    """Where paid answers are kept: an SQLAlchemy URL. `missing`: what to do where those are gone that runs have had."""

    url: str = "sqlite:///outputs/ledger.db"
    missing: str = "refuse"


@dataclass
class BudgetConf:
    """The most that a launch may cost, in US dollars."""

    max_usd: Optional[float] = None


@dataclass
class AskAgainConf:
    """Which trials are asked more than once; see records.AskAgain."""

    unscorable: int = 0
    kinds: list[str] = field(default_factory=lambda: list(UNREAD))
    keys: list[str] = field(default_factory=list)


@dataclass
class DesignConf:
    """What is held, spread over the trials, or asked in full; see records.Design."""

    question_order: str = "fixed"
    placement: str = "fixed"
    seed: int = 1


@dataclass
class RunnerConf:
    """The whole config. `model`, `persona`, `text` and `prompt` map the name of each selected file to what it holds."""

    name: str = "demo"
    strict: bool = False
    identity: str = "record"
    model: dict[str, ModelConf] = field(default_factory=dict)
    persona: dict[str, PersonaConf] = field(default_factory=dict)
    text: dict[str, TextConf] = field(default_factory=dict)
    prompt: dict[str, PromptConf] = field(default_factory=dict)
    sampling: SamplingConf = field(default_factory=SamplingConf)
    batch: BatchConf = field(default_factory=BatchConf)
    tracking: TrackingConf = field(default_factory=TrackingConf)
    ledger: LedgerConf = field(default_factory=LedgerConf)
    budget: BudgetConf = field(default_factory=BudgetConf)
    ask_again: AskAgainConf = field(default_factory=AskAgainConf)
    design: DesignConf = field(default_factory=DesignConf)
    report: bool = True
    objective: Optional[str] = None


GONE: Mapping[str, str] = {
    "limits.connect_timeout_s": "a connection has 10 s",
    "batch.first_poll_s": "looks at a batch start after 5 s, at one on this machine at once",
    "batch.max_poll_s": "looks at a batch are at most 5 minutes apart",
    "batch.find_s": "a batch whose sending got no answer is looked for during a minute",
}
"""Keys of earlier versions, by the end of their path: what holds now that they cannot be set."""


def gone(key: str) -> str | None:
    """What to say of a key that earlier versions had, such as model.gpt-4o.limits.connect_timeout_s; else None."""
    now = next((now for end, now in GONE.items() if key.lstrip("+~") == end or key.endswith(f".{end}")), None)
    return None if now is None else f"this key is gone: {now}"


def without_gone_words(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """A command line's words without those that set a key that is gone, and a sentence about each of these."""
    about = {word: gone(word.partition("=")[0]) for word in words if "=" in word and not word.startswith("-")}
    kept = [word for word in words if about.get(word) is None]
    return kept, [f"{word.partition('=')[0].lstrip('+')}: {said}" for word, said in about.items() if said is not None]


def without_gone(saved: DictConfig) -> DictConfig:
    """A config that an earlier version composed, without the keys that are gone. `saved` itself is changed."""
    for place in (saved.get("batch"), *(model.get("limits") for model in (saved.get("model") or {}).values())):
        for name in [name for name in place or () if f"batch.{name}" in GONE or f"limits.{name}" in GONE]:
            del place[name]
    return saved


class SharedStore(ConfigStore):
    """Hydra's store of configs, which does not let itself be copied.

    Hydra copies it, with every plug-in's config in it, before each look at a group and each composition of a job, and
    changes none of the copies: what it loads from it is a copy too. `runner --help` took most of its time for that.
    """

    def __deepcopy__(self, _memo: object) -> Self:
        return self


def register() -> None:
    """Give Hydra the schema under the name that conf/config.yaml's defaults list uses."""
    store = ConfigStore.instance()
    if not isinstance(store, SharedStore):
        shared = SharedStore()
        shared.repo = store.repo
        Singleton._instances[ConfigStore] = cast("Singleton", shared)  # noqa: SLF001  no public way to choose its class
        store = shared
    store.store(name="runner_schema", node=RunnerConf)
