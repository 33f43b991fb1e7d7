"""The report in a real browser: headless Chromium, driven by Playwright, opened from the file as by a double click."""

from __future__ import annotations

import json
import re
import shutil
import sys
from dataclasses import dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal

import pytest
import report_runs as runs
from playwright.sync_api import expect, sync_playwright

from runner.records import Persona
from runner.reporting import html

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

    from runner.records import Row, Trial

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")

PHONE, DESK = (390, 844), (1440, 900)
HOSTILE = '"><img src=x onerror="window.hacked = 1"></script><script>window.hacked = 1</script>'


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


def answer(trial: Trial) -> Row:
    """A phrase that one trial alone has can be searched for."""
    one = (trial.cell.model.name, trial.cell.persona.name, trial.text.name, trial.repetition)
    if one == ("o1-mini", "poet", "rain", 2):
        return runs.row(trial, reasons={**runs.row(trial).reasons, "anger": "The CAROUSEL stood still."})
    return runs.mostly_scored(trial)


def hostile(trial: Trial) -> Row:
    return runs.row(trial, reply=HOSTILE, reasons=dict.fromkeys(runs.row(trial).scores, HOSTILE), model_version=HOSTILE)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Reports of several kinds, by name."""
    folder = tmp_path_factory.mktemp("reports")
    named = [runs.model(f"{HOSTILE}{number}") for number in range(2)]
    personas = [Persona(f"{HOSTILE}{number}", {"en": HOSTILE}) for number in range(2)]
    long = [runs.model("m" * 90), runs.model("long-name-" * 12), runs.model("long-name-" * 12 + "too")]
    nothing = runs.experiment(runs.MODELS[:1])
    line = {"files": 5, "valid": 4, "metadata": 5, "in_scale": 5, "reasons": 0, "intact": 5}
    notes = {
        "source": "x" * 90,
        "sha256": "0",
        "expected": 15,
        "check": [{"vendor": name, **line} for name in ("claude", HOSTILE, "v" * 60)],
        "unreadable": [{"place": HOSTILE, "reason": HOSTILE}],
    }
    jobs = {value: runs.experiment(runs.MODELS[:2], temperature=float(value)) for value in ("0.1", "0.9")}
    made = {
        "run": runs.write_run(folder / "run", runs.experiment(trials=2), answer),
        "sweep": runs.write_sweep(folder / "sweep", jobs),
        "hostile": runs.write_run(folder / "hostile", runs.experiment(named, personas), hostile, command=HOSTILE),
        "long": runs.write_run(folder / "long", runs.experiment(long), runs.mostly_scored, command="x" * 900),
        "import": runs.write_run(folder / "import", nothing, runs.mostly_scored, imported=notes),
        "failed": runs.write_run(
            folder / "failed", nothing, lambda trial: runs.without_score(trial, "failed", "refused", "no")
        ),
    }
    return {name: html.write(path) for name, path in made.items()}


@dataclass(slots=True)
class Opened:
    """A page with all that it said and asked for since it was opened."""

    page: Page
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


def opened(
    browser: Browser, path: Path, size: tuple[int, int] = DESK, scheme: Literal["light", "dark"] = "light"
) -> Opened:
    page = browser.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    found = Opened(page)
    page.on("console", lambda message: found.said.append(message.text))
    page.on("pageerror", lambda error: found.said.append(str(error)))
    page.on("request", lambda request: found.asked.append(request.url))
    page.goto(path.as_uri())
    return found


@pytest.fixture
def run(browser: Browser, pages: dict[str, Path]) -> Iterator[Page]:
    found = opened(browser, pages["run"])
    yield found.page
    assert found.said == []
    found.page.close()


def test_names_that_are_cut_stay_apart(browser: Browser, pages: dict[str, Path]) -> None:
    """On a phone's axes no two models have one label, though their names are long and begin alike."""
    found = opened(browser, pages["long"], PHONE)
    charts = found.page.locator("#distributions svg.drawn")
    charts.first.scroll_into_view_if_needed()
    cut = charts.first.locator("text", has_text="…").all_text_contents()
    assert len(cut) == len(set(cut)) == 3
    found.page.close()


# ---- how it opens ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Look:
    """A report on a screen."""

    page: str
    size: tuple[int, int]
    scheme: Literal["light", "dark"]

    def __str__(self) -> str:
        return f"{self.page}-{self.size[0]}-{self.scheme}"


LOOKS = (
    Look("run", DESK, "light"),
    Look("run", DESK, "dark"),
    Look("run", PHONE, "light"),
    Look("run", PHONE, "dark"),
    Look("sweep", PHONE, "light"),
    Look("sweep", DESK, "dark"),
    Look("hostile", PHONE, "dark"),
    Look("hostile", DESK, "light"),
    Look("long", PHONE, "light"),
    Look("import", PHONE, "dark"),
    Look("failed", PHONE, "light"),
)
SPILLED = """() => [...document.querySelectorAll('body *')].filter((one) => {
  const place = one.getBoundingClientRect();
  return place.width && place.right > innerWidth + 1 && !one.closest('.scroll, nav, svg, .skip, thead');
}).map((one) => one.outerHTML.slice(0, 90))"""


@pytest.mark.parametrize("look", LOOKS, ids=str)
def test_it_opens_whole_and_quietly(look: Look, browser: Browser, pages: dict[str, Path]) -> None:
    """No console message, no request but for the file, nothing wider than the screen, no serious fault by axe-core."""
    found = opened(browser, pages[look.page], look.size, look.scheme)
    page = found.page
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate(SPILLED) == []
    assert page.evaluate("document.querySelectorAll('.plot svg').length === document.querySelectorAll('.plot').length")
    page.add_style_tag(content="* { scroll-behavior: auto !important }")
    assert faults(page) == []
    assert found.said == []
    assert found.asked == [pages[look.page].as_uri()]
    page.close()


def faults(page: Page) -> list[str]:
    """Serious and critical violations that axe-core finds, each with the first element that has it."""
    page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8"))
    found: dict[str, Any] = page.evaluate("axe.run({resultTypes: ['violations']})")
    return [
        f"{each['id']}: {each['nodes'][0]['html'][:200]}"
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
    ]


def test_the_open_trial_is_accessible(run: Page) -> None:
    """The dialog of a trial has no serious fault by axe-core either, on a desk and on a phone."""
    run.locator("#list tbody button").first.click()
    expect(run.locator("#trial")).to_be_visible()
    assert faults(run) == []
    run.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    assert run.evaluate("document.getElementById('trial').getBoundingClientRect().right <= innerWidth")
    assert faults(run) == []


def test_light_and_dark_follow_the_system_and_the_button(browser: Browser, pages: dict[str, Path]) -> None:
    """The ground is light or dark as the system asks; the button overrules it."""
    ground = "getComputedStyle(document.body).backgroundColor"
    page = opened(browser, pages["run"], scheme="dark").page
    dark = page.evaluate(ground)
    page.locator("#theme").click()
    light = page.evaluate(ground)
    assert brightness(dark) < 150
    assert brightness(light) > 600
    page.emulate_media(color_scheme="light")
    page.locator("#theme").click()
    assert page.evaluate(ground) == dark
    page.close()


def brightness(colour: str) -> int:
    """Red, green and blue of rgb(r, g, b) together."""
    return sum(map(int, re.findall(r"\d+", colour)))


def test_it_prints(browser: Browser, pages: dict[str, Path]) -> None:
    """On paper the page is light, without what only a screen can use, and every part of it is there."""
    page = opened(browser, pages["run"], scheme="dark").page
    page.emulate_media(media="print")
    for word in (".top", "#filters", ".pages"):
        expect(page.locator(word)).to_be_hidden()
    for word in ("#scores", "#agreement", "#trouble", "#files"):
        expect(page.locator(word)).to_be_visible()
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "light"
    assert page.pdf().startswith(b"%PDF")
    page.close()


def test_without_javascript_the_tables_are_there(browser: Browser, pages: dict[str, Path]) -> None:
    """A reader that runs no script has the tables, and is told what is missing."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(pages["run"].as_uri())
    expect(page.locator("#scores table").first).to_contain_text("gpt-4o-mini")
    expect(page.locator("noscript p")).to_contain_text("need JavaScript")
    context.close()


# ---- what it does not let through ------------------------------------------------------------------------------------


def test_what_was_said_stays_text(browser: Browser, pages: dict[str, Path]) -> None:
    """A name or reply full of markup runs nothing, makes no element, and is shown as it was written."""
    found = opened(browser, pages["hostile"])
    page = found.page
    page.locator("#list tbody button").first.click()
    expect(page.locator("#trial-body pre").first).to_have_text(HOSTILE)
    expect(page.locator("#trial-title")).to_contain_text(HOSTILE)
    page.locator("#trial-close").click()
    page.locator("#filters [name=words]").fill("onerror")
    expect(page.locator("#list mark").first).to_have_text("onerror")
    expect(page.locator("img")).to_have_count(0)
    assert page.evaluate("window.hacked") is None
    assert found.said == []
    page.close()


def test_the_policy_holds_in_the_browser(browser: Browser, pages: dict[str, Path]) -> None:
    """Even a script that got in could load nothing and run no other script."""
    page = opened(browser, pages["run"]).page
    blocked = page.evaluate(
        """async () => {
          const blocked = [];
          document.addEventListener('securitypolicyviolation', (event) => blocked.push(event.effectiveDirective));
          const script = document.createElement('script');
          script.textContent = 'window.hacked = 1';
          const image = document.createElement('img');
          image.src = 'http://127.0.0.1:9/x.png';
          document.body.append(script, image);
          await fetch('http://127.0.0.1:9/').catch(() => {});
          await new Promise((done) => setTimeout(done, 50));
          return blocked.sort();
        }"""
    )
    assert blocked == ["connect-src", "img-src", "script-src-elem"]
    assert page.evaluate("window.hacked") is None
    page.close()


# ---- what it does ----------------------------------------------------------------------------------------------------


def shown(page: Page) -> int:
    """How many trials the filters leave."""
    text = page.locator("#found").inner_text()
    return int(text.split(" of ")[0].replace(",", ""))


@pytest.fixture(scope="module")
def rows(pages: dict[str, Path]) -> list[dict[str, Any]]:
    lines = (pages["run"].parent / "results.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize(
    ("name", "label"), [("model", "o1-mini"), ("persona", "poet"), ("text", "rain"), ("outcome", "unscorable")]
)
def test_each_filter_leaves_its_trials(name: str, label: str, run: Page, rows: list[dict[str, Any]]) -> None:
    """A filter leaves as many trials as results.jsonl has of that kind, and clearing it brings back all."""
    run.locator(f"#filters [name={name}]").select_option(label=label)
    assert shown(run) == sum(row[name] == label for row in rows) > 0
    run.get_by_role("button", name="Clear").click()
    expect(run.locator("#found")).to_have_text(f"{len(rows)} of {len(rows)} trials")


def test_filters_and_search_go_together(run: Page, rows: list[dict[str, Any]]) -> None:
    """Filters narrow each other, and the search, in whatever case, finds the one trial with a word and marks it."""
    run.locator("#filters [name=model]").select_option(label="o1-mini")
    run.locator("#filters [name=persona]").select_option(label="poet")
    assert shown(run) == sum((row["model"], row["persona"]) == ("o1-mini", "poet") for row in rows)
    run.locator("#filters [name=words]").fill("carousel")
    assert shown(run) == 1
    expect(run.locator("#list mark")).to_have_text("CAROUSEL")
    expect(run.locator("#list tbody tr")).to_contain_text("o1-mini poet · rain · № 2")
    run.locator("#filters [name=model]").select_option(label="gpt-4o-mini")
    assert shown(run) == 0


def test_a_trial_opens_by_keyboard_and_closes(run: Page, rows: list[dict[str, Any]]) -> None:
    """Enter opens a trial with scores, reply, prompt and metadata; the arrows go on, Escape goes back to the list."""
    button = run.locator("#list tbody button").first
    button.focus()
    run.keyboard.press("Enter")
    body = run.locator("#trial-body")
    expect(run.locator("#trial-title")).to_have_text("gpt-4o-mini · student · lighthouse · № 1")
    for word in (
        rows[0]["reply"],
        rows[0]["reasons"]["anger"],
        rows[0]["key"],
        rows[0]["model_id"],
        "Stay in this role.",
    ):
        expect(body).to_contain_text(word)
    run.keyboard.press("ArrowRight")
    expect(run.locator("#trial-title")).to_have_text("gpt-4o-mini · student · lighthouse · № 2")
    run.keyboard.press("Escape")
    expect(run.locator("#trial")).to_be_hidden()
    expect(button).to_be_focused()


def test_the_list_sorts_by_a_score(run: Page, rows: list[dict[str, Any]]) -> None:
    """A press on a question's head puts the highest first, a second the lowest; what has no score comes last."""
    scores = [row["scores"]["anger"] for row in rows if row["scores"]["anger"] is not None]
    head = run.locator("#list thead").get_by_role("button", name="anger")
    first = run.locator("#list tbody tr").first.locator("td.n").nth(3)
    head.click()
    expect(first).to_have_text(str(max(scores)))
    head.click()
    expect(first).to_have_text(str(min(scores)))
    expect(run.locator("#list th[aria-sort=ascending]")).to_have_count(1)
    while run.locator("#after").is_enabled():
        run.locator("#after").click()
    expect(run.locator("#list tbody tr").last.locator("td.n").nth(3)).to_have_text("–")


def test_a_field_of_the_heat_map_tells_more(run: Page) -> None:
    """Pointing at a field shows its interval, deviation and count; leaving it or Escape hides them."""
    cell = run.locator("#scores td.cell").first
    cell.scroll_into_view_if_needed()  # what is told is hidden where the page scrolls on
    run.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    cell.hover()
    expect(run.locator("#tip")).to_be_visible()
    expect(run.locator("#tip")).to_contain_text(re.compile(r"mean \S+ · 95% interval \S+ to \S+ · sd .* trials scored"))
    run.keyboard.press("Escape")
    expect(run.locator("#tip")).to_be_hidden()


def test_a_tap_tells_more_too(browser: Browser, pages: dict[str, Path]) -> None:
    """On a touch screen a tap shows a field's interval, inside the screen."""
    context = browser.new_context(viewport={"width": PHONE[0], "height": PHONE[1]}, has_touch=True)
    page = context.new_page()
    page.goto(pages["run"].as_uri())
    page.locator("#scores td.cell").nth(4).tap()
    expect(page.locator("#tip")).to_contain_text("95% interval")
    box = page.locator("#tip").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= PHONE[0]
    context.close()


def test_charts_have_names_and_fit_again(run: Page) -> None:
    """Every chart is a named image, and is drawn anew when the window changes."""
    names = run.locator(".plot svg[role=img]").evaluate_all("all => all.map(one => one.getAttribute('aria-label'))")
    assert len(names) == len(set(names)) == 3 * len(runs.QUESTIONS) + 2
    run.set_viewport_size({"width": 500, "height": 900})
    expect(run.locator(".plot svg").first).to_have_attribute("width", re.compile(r"^4\d\d$"))
    assert run.evaluate("document.documentElement.scrollWidth <= innerWidth")


TIMED = """(change) => new Promise((done) => {
  const started = performance.now();
  new Function(change)();
  requestAnimationFrame(() => setTimeout(() => done(performance.now() - started)));
})"""


def test_ten_thousand_trials_stay_fluid(browser: Browser, tmp_path: Path) -> None:
    """A page of 10,000 trials answers each action, the first search included, in under a second."""
    path = html.write(runs.write_large_run(tmp_path / "run", 10_000))
    context = browser.new_context(bypass_csp=True)  # the timing itself is a script from outside
    page = context.new_page()
    page.goto(path.as_uri())
    field_of = "const form = document.getElementById('filters'); const set = (name, value) => {"
    field_of += " form.elements[name].value = value; form.dispatchEvent(new Event('input')); };"
    actions = (
        "set('model', '1')",
        "set('words', 'lonelier')",
        "set('model', '')",
        "set('words', 'the')",
        "document.querySelectorAll('#list thead button')[3].click()",
        "document.getElementById('after').click()",
        "document.querySelector('#list tbody button').click()",
        "document.getElementById('trial-after').click()",
    )
    took = {action: page.evaluate(TIMED, f"{field_of} {action}") for action in actions}
    sys.stdout.write("".join(f"{milliseconds:6.0f} ms  {action}\n" for action, milliseconds in took.items()))
    assert max(took.values()) < 1000, took
    assert shown(page) > 1000
    context.close()
