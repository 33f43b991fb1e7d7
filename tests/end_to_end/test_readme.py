"""Every command of the README, typed as printed, in a folder that holds what it speaks of."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commandline import configs, runner
from loopback import Provider

from runner.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
ELSEWHERE = ("runner ui", "runner simulate", "runner rehearse")
"""Commands that serve until they are ended, or take long: each has a test of its own."""
SAID = {
    "compare": "Scores against",
    "reproduce": "equal",
    "stats": "95% interval",
    "plan": "to buy",
    "status": "no batches",
    "collect": "no batches",
    "models": "What models take",
}
"""Verbs, and what each says when it has done its work."""


def commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.partition("   #")[0].strip() for line in lines if line.startswith("runner ")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Texts, personas and configs as the README names them, and two runs against a provider that stays."""
    here = tmp_path_factory.mktemp("readme")
    (here / "my_texts").mkdir()
    (here / "my_texts" / "one.txt").write_text("The sea came in.", encoding="utf-8")
    (here / "aozora").mkdir()
    (here / "aozora" / "one.txt").write_bytes("題\r\n作者\r\n\r\n海が来た。\r\n\r\n底本：「本」\r\n".encode("cp932"))
    (here / "texts.csv").write_text("name,content\none,The sea came in.\n", encoding="utf-8")
    (here / "personas.csv").write_text("name,description,temperature\nsailor,You sail.,0.5\n", encoding="utf-8")
    (here / "mine" / "persona").mkdir(parents=True)
    example = re.search(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert example is not None
    (here / "mine" / "persona" / "critic.yaml").write_text(example[1], encoding="utf-8")
    with Provider() as provider:
        mine = configs(here, provider)
        for name, temperature in (("TIME", 0), ("OTHER", 1)):
            words = ("model=mini", "persona=[poet,robot]", f"sampling.temperature={temperature}")
            runner(here, mine, *words, f"hydra.run.dir=outputs/DAY/{name}", "tracking.enabled=false")
        yield here


# In one process Hydra leaves its log files to the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("command", [line for line in commands() if not line.startswith(ELSEWHERE)])
def test_command(
    folder: Path, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It does what it says: a verb runs, and a run's overrides give a plan, so that nothing is bought."""
    monkeypatch.chdir(folder)
    words = shlex.split(command)[1:]
    shown = SAID | ({"models": "written: mine/model/"} if "add" in words else {})
    verb = words[0] if words[0] in SAID else "" if "--cfg" in words else "plan"
    assert main([verb, *words] if verb and words[0] not in SAID else words) == 0
    assert {**shown, "": "model:"}[verb] in capsys.readouterr().out


def test_import_and_export(folder: Path) -> None:
    """A run goes out in the study's format and comes in again as a run with the same scores."""
    runner(folder, "export", "outputs/DAY/TIME", "--format", "study", "--out", "out")
    done = runner(folder, "import", "out", "tracking.enabled=false")
    assert "6 trials imported" in done.stdout
    again = runner(folder, "import", "out", "tracking.enabled=false")
    assert "6 trials are there already" in again.stdout


@pytest.mark.parametrize("words", [(), ("batch=native",)])
def test_the_study_is_rehearsed_whole(words: tuple[str, ...], tmp_path: Path) -> None:
    """`runner rehearse experiment=affect_study` asks six vendors for the study's number of replies and scores them.

    So it does by batch: DeepSeek, which has no batch API, is asked live in the same run.
    """
    done = runner(tmp_path, "rehearse", "experiment=affect_study", "tracking.enabled=false", *words)
    assert ("batches saved" in done.stdout) == bool(words)
    assert ("live, as they have no batch API: deepseek" in done.stdout) == bool(words)
    for vendor, trials in {"openai": 48, "claude": 60, "gemini": 84, "grok": 12, "deepseek": 24, "llama": 36}.items():
        assert re.search(rf"^{vendor} +{trials}/{trials} *$", done.stdout, re.MULTILINE), done.stdout
    assert "264 of 264 scored" in done.stdout


def test_make_lists_the_readmes_targets() -> None:
    """The two commands that the README opens with are targets of the Makefile."""
    assert shutil.which("make")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
