"""`runner models`: the table of conf/model, and what providers' own lists say of it."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import pytest
from aiohttp import web

from runner.cli.main import main
from runner.cli.verbs import models
from runner.config.compose import conf_dir
from runner.providers.listing import ListingResult, check, source_of
from runner.records import Model

if TYPE_CHECKING:
    from pathlib import Path

IDS = [f"model-{number}" for number in range(5)]
REFUSALS = {
    "openai": (401, {"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}}),
    "anthropic": (401, {"type": "error", "error": {"type": "authentication_error", "message": "invalid x-api-key"}}),
    "gemini": (
        400,
        {
            "error": {
                "code": 400,
                "message": "API key not valid.",
                "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}],
            }
        },
    ),
}
KEYS = {"openai": "Authorization", "anthropic": "x-api-key", "gemini": "x-goog-api-key"}


@dataclass
class Lists:
    """Three formats of model lists on loopback, two models a page where the format has pages."""

    asked: list[str] = field(default_factory=list)
    url: str = ""

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _serve(self) -> None:
        app = web.Application()
        app.router.add_get("/{format}/v1/models", self._list)
        app.router.add_get("/{format}/v1beta/models", self._list)
        app.router.add_get("/{format}/{version}/models/{name}", self._one)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = "http://{}:{}".format(*self._runner.addresses[0][:2])

    def _refused(self, request: web.Request) -> web.Response | None:
        self.asked.append(request.path_qs)
        form = request.match_info["format"]
        if "good" in request.headers.get(KEYS[form], ""):
            return None
        status, body = REFUSALS[form]
        return web.json_response(body, status=status)

    async def _list(self, request: web.Request) -> web.Response:
        if (refused := self._refused(request)) is not None:
            return refused
        return web.json_response(PAGES[request.match_info["format"]](dict(request.query)))

    async def _one(self, request: web.Request) -> web.Response:
        if (refused := self._refused(request)) is not None:
            return refused
        name = request.match_info["name"]
        if name == "newest-model":
            return web.json_response({"id": IDS[0]})
        return web.json_response({"error": {"message": f"no model {name}"}}, status=404)


def _openai(_query: dict[str, str]) -> dict[str, Any]:
    entries = [
        {"id": name, "object": "model", "owned_by": "someone", "aliases": [f"{name}-latest"], "shutdown_date": ends}
        for name, ends in zip(IDS, [None, None, "2027-01-14", None, None], strict=True)
    ]
    return {"object": "list", "data": entries}


def _anthropic(query: dict[str, str]) -> dict[str, Any]:
    assert query["limit"] == "1000"
    first = IDS.index(query["after_id"]) + 1 if "after_id" in query else 0
    page = IDS[first : first + 2]
    data = [{"id": name, "type": "model", "display_name": name} for name in page]
    return {"data": data, "has_more": first + 2 < len(IDS), "first_id": page[0], "last_id": page[-1]}


def _gemini(query: dict[str, str]) -> dict[str, Any]:
    assert query["pageSize"] == "1000"
    first = int(query.get("pageToken", "0"))
    page: dict[str, Any] = {"models": [{"name": f"models/{name}"} for name in IDS[first : first + 2]]}
    return page | ({"nextPageToken": str(first + 2)} if first + 2 < len(IDS) else {})


PAGES = {"openai": _openai, "anthropic": _anthropic, "gemini": _gemini}
BASES = {"openai": "/openai/v1", "anthropic": "/anthropic", "gemini": "/gemini"}


def model(provider: str, name: str, base: str | None = None, key_env: str | None = "KEY") -> Model:
    return Model(name=name, id=name, provider=provider, vendor="test", key_env=key_env, api_base=base)


@pytest.mark.parametrize("form", PAGES)
def test_every_page_of_a_list_is_read_once(form: str) -> None:
    """All models that share a key are looked up in one reading of the list; one that is not in it is asked by name."""
    with Lists() as lists:
        asked = [
            model(form, name, lists.url + BASES[form]) for name in ("model-0", "model-4", "newest-model", "model4")
        ]
        found = check(asked, {"KEY": "good"})
    assert [one.state for one in found] == ["listed", "listed", "alias", "not listed"]
    assert found[3].nearest[0] == "model-4"
    pages = [path for path in lists.asked if "/models/" not in path]
    assert len(pages) == (1 if form == "openai" else 3)
    assert len(lists.asked) == len(pages) + 2


@pytest.mark.parametrize("form", PAGES)
def test_a_refused_key_is_told_from_a_missing_model(form: str) -> None:
    """A key that the provider does not take says so in the provider's words."""
    with Lists() as lists:
        (found,) = check([model(form, "model-0", lists.url + BASES[form])], {"KEY": "wrong"})
    assert found.state == "key refused"
    assert "key" in found.message


def test_an_alias_in_the_list_is_listed() -> None:
    """Names that a list gives beside an id, as Mistral's does, are names of the model."""
    with Lists() as lists:
        (found,) = check([model("mistral", "model-1-latest", lists.url + "/openai/v1")], {"KEY": "good"})
    assert found == ListingResult("listed")


def test_a_list_says_when_a_model_ends() -> None:
    """A last day that a list gives is of the model and of its aliases, and of no other."""
    with Lists() as lists:
        base = lists.url + "/openai/v1"
        asked = [model("openai", name, base) for name in ("model-2", "model-2-latest", "model-1")]
        found = check(asked, {"KEY": "good"})
    assert [one.shutdown for one in found] == ["2027-01-14", "2027-01-14", None]


@pytest.mark.parametrize(("stated", "status"), [("2027-01-14", 0), ("2026-12-11", 3), (None, 3)])
def test_a_file_that_says_another_day_than_the_list_is_told(
    stated: str | None, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`models --check` ends with 3 where the provider's list and the file differ, and says what to write."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("KEY", "good")
    with Lists() as lists:
        mine = own(tmp_path / "mine", lists.url + "/openai/v1")
        file = tmp_path / "mine" / "model" / "present.yaml"
        text = file.read_text(encoding="utf-8").replace("id: model-0", "id: model-2")
        file.write_text(text + (f"retirement: {{date: {stated}}}\n" if stated else ""), encoding="utf-8")
        assert main(["models", "present", "--check", "--config-dir", mine]) == status
    assert ("put retirement.date: 2027-01-14 into it" in capsys.readouterr().out) is (status == 3)


def test_what_cannot_be_asked_is_said() -> None:
    """No key, no list and no answer are three different things, and none of them is a missing model."""
    closed = "http://127.0.0.1:9/v1"
    asked = [
        model("openai", "a", closed),
        model("embedded", "b", key_env=None),
        model("vertex_ai", "c"),
        model("strange", "d"),
        model("openai", "e", closed, key_env="ABSENT"),
    ]
    states = [found.state for found in check(asked, {"KEY": "good"})]
    assert states == ["not reachable", "cannot be asked", "cannot be asked", "cannot be asked", "key not set"]


@pytest.mark.parametrize(
    ("provider", "url"),
    [
        ("openai", "https://api.openai.com/v1/models"),
        ("groq", "https://api.groq.com/openai/v1/models"),
        ("xai", "https://api.x.ai/v1/models"),
        ("mistral", "https://api.mistral.ai/v1/models"),
        ("deepseek", "https://api.deepseek.com/models"),
        ("openrouter", "https://openrouter.ai/api/v1/models"),
        ("anthropic", "https://api.anthropic.com/v1/models"),
        ("gemini", "https://generativelanguage.googleapis.com/v1beta/models"),
    ],
)
def test_where_a_list_is(provider: str, url: str) -> None:
    """Each provider's list is where its API reference says."""
    source = source_of(model(provider, "a"), {"KEY": "k"})
    assert not isinstance(source, ListingResult)
    assert source.url == url


def own(folder: Path, base: str) -> str:
    """A config folder with two models of one's own, one of them withdrawn, and none in the list."""
    (folder / "model").mkdir(parents=True)
    for name, rest in (("present", ""), ("gone", "retired: withdrawn; use present\n")):
        (folder / "model" / f"{name}.yaml").write_text(
            f"# @package model.{name}\nid: {'model-0' if name == 'present' else 'model-99'}\nprovider: openai\n"
            f"key_env: KEY\napi_base: {base}\nprices: {{input_usd_per_mtok: 1.0, output_usd_per_mtok: 2.5}}\n{rest}",
            encoding="utf-8",
        )
    return str(folder)


UNFOLDED = (
    "openai_compatible is complete with model.openai_compatible.id=... model.openai_compatible.api_base=...",
    " developer ",
    " max_compl ",
    " json_object ",
    " anthropic",
)
"""Words that 80 columns have room for."""


def test_the_table_of_all_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each file of conf and of one's own folder has a line in 80 columns, and an entry for machines."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    names = sorted(path.stem for path in (conf_dir() / "model").glob("*.yaml"))
    mine = own(tmp_path / "mine", "http://127.0.0.1:9/v1")
    assert main(["models", "--config-dir", mine]) == 0
    said = capsys.readouterr().out
    for name in [*names, "present", "gone"]:
        assert f"\n{name} " in said
    for words in (
        "gone †",
        "†  gone: withdrawn; use present",
        "1/2.5",
        "any is complete with model.any.id=...",
        *UNFOLDED,
    ):
        assert words in said
    assert main(["models", "gpt-4o-mini", "o1-mini", "any", "--json"]) == 0
    found = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert found["gpt-4o-mini"]["prices"]["batch"] == {"input_usd_per_mtok": 0.075, "output_usd_per_mtok": 0.3}
    assert found["gpt-4o-mini"]["key_set"] is True
    assert found["o1-mini"]["capability"]["system"] == "merge"
    assert found["any"] == {"name": "any", "needs": "model.any.id=..."}


def test_check_ends_with_3_where_something_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A withdrawn model that is not listed is as it should be; one that is served, under a wrong name, is not."""
    monkeypatch.setenv("KEY", "good")
    with Lists() as lists:
        words = [
            "models",
            "present",
            "gone",
            "--check",
            "--config-dir",
            own(tmp_path / "mine", f"{lists.url}/openai/v1"),
        ]
        assert main(words) == 0
        assert "listed" in capsys.readouterr().out
        assert main([*words, "model.present.id=model-O", "--json"]) == models.EXIT_WRONG
        checked = {one["name"]: one["check"] for one in json.loads(capsys.readouterr().out)}
    assert checked["present"]["state"] == "not listed"
    assert set(checked["present"]["nearest"]) < set(IDS)


def test_a_file_is_written_from_the_providers_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`models add` asks the list once, takes the day that it gives, and tells names that are near what it lacks."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KEY", "good")
    with Lists() as lists:
        where = [f"api_base={lists.url}/openai/v1", "key_env=KEY"]
        assert main(["models", "add", "openai/model-2", *where]) == 0
        assert main(["models", "add", "openai/model-22", *where]) == 2
        assert [path for path in lists.asked if "/models/" not in path] == ["/openai/v1/models"] * 2
    said = capsys.readouterr()
    assert "next:    runner plan --config-dir=mine model=model-2" in said.out
    assert "lists no model 'model-22'; near: model-2" in said.err
    written = (tmp_path / "mine" / "model" / "model-2.yaml").read_text(encoding="utf-8")
    assert "date: 2027-01-14" in written
    assert f"listed by {lists.url}/openai/v1" in written
    assert "key_env: KEY" in written
    assert main(["plan", "--config-dir=mine", "model=model-2", "text=[rain]", "persona=[poet]"]) == 0
