"""Every command and snippet of docs/, in the order of its page, in a folder that holds what the page speaks of."""

from __future__ import annotations

import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commandline import configs, runner
from loopback import Provider

from runner.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = sorted(DOCS.glob("*.md"))
ELSEWHERE = ("runner ui", "runner rehearse --plan study")
"""Commands that serve until they are ended, or take long: each has a test of its own."""
LOGGED = ("compare.md",)
"""Pages whose runs go to MLflow, which takes seconds; elsewhere they are left out of it."""
STUDY = """timestamp,text,developer,model,persona,temperature,trial,Q1value,Q2value,Q3value,Q4value
2025/5/1 14:20,t1,OpenAI,gpt-4o,p1,0.7,1,85.0,20.0,10.0,0.0
2025/5/1 14:21,t2,OpenAI,gpt-4o,p1,0.7,1,65.0,40.0,30.0,5.0
2025/5/1 14:22,t1,OpenAI,o3-mini,p1,,1,75.0,35.0,20.0,
"""
REPLY = """timestamp: 2025-05-01 14:20:03
text: t1
model: gpt-4o
persona: p1
temperature: 0.7
trial: 1

Q1. 面白さ(数値): 75
Q1. 面白さ(理由): 時計が話すから。
Q2. 驚き(数値): 60
Q3. 悲しみ(数値): 20
Q4. 怒り(数値): 0
"""
# In one process Hydra leaves its log files to the garbage collector, and MLflow its connections.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
    # MLflow 3.17 uses a loader option that SQLAlchemy 2.1 deprecates; it says so when MLflow first maps its tables.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated"),
]


@dataclass(frozen=True)
class Step:
    """A command of a page, and the exit statuses that the page gives it."""

    command: str
    statuses: frozenset[int]

    def words(self, *, logged: bool) -> list[str]:
        """What a shell would hand to the program; a run leaves out what takes seconds and has tests of its own."""
        found = [of_an_import(word) for word in shlex.split(self.command)[1:]]
        if found[0] == "rehearse":
            found.append("report=false")
        if not logged and found[0] in ("rehearse", "import"):
            found.append("tracking.enabled=false")
        return found


def of_an_import(word: str) -> str:
    """A word with an import's ID in the place of the letters."""
    return str(next(Path().glob(word.replace("/ID", "/*")))) if word.endswith("/ID") else word


def steps(page: Path) -> list[Step]:
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines() if line.strip()]
    return [step(line) for line in lines]


def step(line: str) -> Step:
    command, _, comment = line.partition(" # ")
    said = re.search(r"(may end with )?exit status (\d)", comment)
    statuses = {0} if said is None or said[1] else set()
    return Step(command.strip(), frozenset(statuses | ({int(said[2])} if said else set())))


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider() as found:
        yield found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, provider: Provider, new_store: Path) -> Path:
    """A run against a provider that stays, and the files that the pages name."""
    here = tmp_path_factory.mktemp("docs")
    (here / "mlruns").mkdir()
    shutil.copy(new_store, here / "mlruns" / "mlflow.db")
    (here / "study.csv").write_text(STUDY, encoding="utf-8")
    reply = here / "replies" / "openai" / "t1_gpt-4o_p1_temp70_01.txt"
    reply.parent.mkdir(parents=True)
    reply.write_text(REPLY, encoding="utf-8")
    (here / "aozora").mkdir()
    (here / "aozora" / "one.txt").write_bytes("題\r\n作者\r\n\r\n海が来た。\r\n\r\n底本：「本」\r\n".encode("cp932"))
    mine = configs(here, provider)
    made = ("model=mini", "persona=[poet,robot]", "hydra.run.dir=outputs/DAY/TIME", "tracking.enabled=false")
    runner(here, mine, *made)
    return here


def write_examples(page: Path, folder: Path) -> None:
    """Files that a page shows, under the name that it gives them."""
    shown = re.findall(
        r"`(mine/[\w/]+\.(?:yaml|csv))`:\n\n```(?:yaml|csv)\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL
    )
    for name, content in shown:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_can_be_followed(
    page: Path,
    folder: Path,
    provider: Provider,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Typed one after another, its commands end as it says, and its Python runs on what they left."""
    monkeypatch.chdir(folder)
    write_examples(page, folder)
    followed = steps(page)
    assert followed
    assert all(each.command.startswith("runner ") for each in followed)
    for each in (each for each in followed if not each.command.startswith(ELSEWHERE)):
        status = main(each.words(logged=page.name in LOGGED))
        assert status in each.statuses, f"{each.command}: {status}\n{capsys.readouterr()}"
    names: dict[str, object] = {}
    for snippet in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        capsys.readouterr()
        # The embedded model's answers take seconds: here a server in its place gives them.
        snippet = snippet.replace('"text=[rain]"', f'"text=[rain]", "model.smollm2.api_base={provider.url}"')  # noqa: PLW2901
        exec(compile(snippet, page.name, "exec"), names)  # noqa: S102  the page's own code
        assert capsys.readouterr().out


def test_pages_link_to_what_is_there() -> None:
    """Every relative link and picture of README and docs exists."""
    for page in (*PAGES, DOCS.parent / "README.md"):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
