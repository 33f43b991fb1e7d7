"""Requests a second of other runners, beside this one's, against the same provider with the same prompts.

Each peer is installed in an environment of its own below a folder that git does not see, and driven through its
ordinary public API (benchmarks/peer/): 2,000 requests, 200 in flight, 50 ms; caching off, retries off, telemetry off,
every address beyond loopback behind a proxy that is not there. Each is asked with 50 in flight too, and counts with the
better. Slow ones get fewer requests; the one that a goal is about gets three rounds. The rate is the provider's own
count, from a peer's first request to its last reply, so that nobody's start is held against it; the runner's is
measured alike, without MLflow and report, before each round.

    python benchmarks/peers.py [--install-only] [--only curator] [--folder build/peers] [--quick]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import goals
from launch import launch, openai_words
from slow_provider import Provider, serve

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parent / "build" / "peers"
LATENCY_S = 0.05
TRIALS, IN_FLIGHT, FEWER_IN_FLIGHT = 2000, 200, 50
PERSONAS_X_TEXTS = 8
"""Trials of one repetition."""
RUN_S, INSTALL_S = 120, 900
"""Most seconds for one run of a peer, and for installing one."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Another runner: what to install, and how many requests it gets."""

    name: str
    packages: tuple[str, ...]
    script: str
    trials: int = TRIALS
    rounds: int = 1

    @property
    def is_node(self) -> bool:
        """Whether it is installed by npm."""
        return self.script.endswith(".mjs")


PEERS = (
    Peer("curator", ("bespokelabs-curator==0.1.31",), "with_curator.py", rounds=3),
    Peer("litellm.acompletion", ("litellm==1.106.2",), "with_litellm.py"),
    Peer("inspect_ai", ("inspect_ai==0.3.285", "openai==3.4.0"), "with_inspect.py", 300),
    Peer("edsl", ("edsl==1.0.9", "openai[aiohttp]==2.54.0", "sqlalchemy==2.0.51"), "with_edsl.py", 300),
    Peer("promptfoo", ("promptfoo@0.120.8",), "with_promptfoo.mjs", 1000),
)
LLMOCK = Peer("llmock", ("llmock==0.2.2",), "")
"""No runner but a server: benchmarks/quota.py measures against it."""
NOWHERE = "http://127.0.0.1:9"
"""A proxy that is not there: what would leave this machine fails at once."""
QUIET = {
    "HTTP_PROXY": NOWHERE, "HTTPS_PROXY": NOWHERE, "http_proxy": NOWHERE, "https_proxy": NOWHERE,
    "NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost",
    "DO_NOT_TRACK": "1", "CI": "1", "TERM": "dumb",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "CURATOR_DISABLE_CACHE": "true", "CURATOR_DISABLE_RICH_DISPLAY": "1", "TELEMETRY_ENABLED": "false",
    "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1",
    "LOCAL_API_KEY": "a-key-of-no-account", "OPENAI_COMPATIBLE_API_KEY": "a-key-of-no-account",
    "EDSL_FETCH_TOKEN_PRICES": "False",
    "PROMPTFOO_DISABLE_TELEMETRY": "1", "PROMPTFOO_DISABLE_UPDATE": "1", "PROMPTFOO_DISABLE_REMOTE_GENERATION": "1",
    "PROMPTFOO_DISABLE_SHARING": "1", "PROMPTFOO_SELF_HOSTED": "1",
}  # fmt: skip


class NoPeerError(Exception):
    """A peer that cannot be installed or run, and why."""


def install(peer: Peer, folder: Path) -> Path:
    """A peer's own environment, made where there is none yet. NoPeerError where it cannot be."""
    place = folder / peer.name
    ready = place / ".ready"
    wanted = "\n".join(peer.packages)
    if ready.exists() and ready.read_text() == wanted:
        return place
    print(f"installing {' '.join(peer.packages)}", flush=True)
    if peer.is_node:
        place.mkdir(parents=True, exist_ok=True)
        _step(["npm", "install", "--no-audit", "--no-fund", "--omit=optional", "--prefix", ".", *peer.packages], place)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        _step([sys.executable, "-m", "venv", str(place)], folder)
        _step([str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", *peer.packages], place)
    ready.write_text(wanted)
    return place


def _step(command: list[str], place: Path) -> None:
    """One command of an installation; its words go to a file."""
    log = place / "install.log"
    if shutil.which(command[0]) is None:
        raise NoPeerError(f"{command[0]} is not installed")
    with log.open("a") as out:
        try:
            status = subprocess.run(command, cwd=place, stdout=out, stderr=out, timeout=INSTALL_S, check=False)
        except subprocess.TimeoutExpired as error:
            raise NoPeerError(f"its installation took more than {INSTALL_S} s, see {_shown(log)}") from error
    if status.returncode:
        raise NoPeerError(f"its installation failed, see {_shown(log)}")


def _shown(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def rate(peer: Peer, place: Path, provider: Provider, prompts: Path, in_flight: int) -> float:
    """Requests a second of a peer. NoPeerError where it does not answer them all."""
    program = shutil.which("node") if peer.is_node else str(place / "bin" / "python")
    if program is None:
        raise NoPeerError("node is not installed")
    with tempfile.TemporaryDirectory() as name:
        home = {"HOME": name, "XDG_CACHE_HOME": f"{name}/cache", "PROMPTFOO_CONFIG_DIR": f"{name}/promptfoo"}
        command = [program, str(HERE / "peer" / peer.script), provider.root, str(prompts), str(in_flight)]
        shipped = next(place.glob("lib/python*/site-packages/litellm/litellm_core_utils/tokenizers"), None)
        tokens = {} if shipped is None else {"TIKTOKEN_CACHE_DIR": str(shipped)}
        environment = {**_clean(), **QUIET, **home, **tokens, "PEER_FOLDER": str(place)}
        log = place / "run.log"
        try:
            done = subprocess.run(
                command, cwd=name, env=environment, timeout=RUN_S, check=False, capture_output=True, text=True
            )
        except subprocess.TimeoutExpired as error:
            raise NoPeerError(f"took more than {RUN_S} s") from error
        log.write_text(done.stdout + done.stderr)
    last = done.stdout.strip().rpartition("\n")[2]
    seen, asked = provider.stamps(), len(json.loads(prompts.read_text()))
    if done.returncode or not last.startswith('{"answered"') or json.loads(last)["answered"] != asked:
        raise NoPeerError(f"did not answer its {asked} requests, see {_shown(log)}")
    return asked / (seen.last_s - seen.first_s)


def _clean() -> dict[str, str]:
    """The environment without this project's own Python."""
    return {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}


def beside(peer: Peer, folder: Path, provider: Provider, every: list[object]) -> float:
    """How many times a peer's rate is the runner's, both medians of rounds taken in turns; prints them."""
    place = install(peer, folder)
    ours: list[float] = []
    theirs: dict[int, list[float]] = {IN_FLIGHT: [], FEWER_IN_FLIGHT: []}
    with tempfile.TemporaryDirectory() as name:
        prompts = Path(name) / "prompts.json"
        prompts.write_text(json.dumps(every[: peer.trials]), encoding="utf-8")
        for _ in range(peer.rounds):
            ours.append(runner(provider, TRIALS))
            for in_flight, found in theirs.items():
                found.append(rate(peer, place, provider, prompts, in_flight))
    medians = {in_flight: median(found) for in_flight, found in theirs.items()}
    ratio = median(ours) / max(medians.values())
    how = ", ".join(f"{value:.0f}/s at {in_flight} in flight" for in_flight, value in medians.items())
    facts = f"{how}; {peer.trials} requests; {' '.join(peer.packages)}"
    print(
        f"{peer.name:20} {max(medians.values()):5.0f}/s; runner {median(ours):5.0f}/s, {ratio:5.1f} x   {facts}",
        flush=True,
    )
    return ratio


def prompts_of_the_runner(provider: Provider, count: int) -> list[object]:
    """The messages that the runner sends, numbered, so that no peer can answer one with another's reply."""
    runner(provider, PERSONAS_X_TEXTS)
    asked = [body["messages"] for body in provider.bodies()]
    return [_numbered(asked[number % len(asked)], number) for number in range(count)]


def _numbered(messages: list[dict[str, str]], number: int) -> object:
    *before, last = messages
    return [*before, {**last, "content": f"{last['content']}\n\nText {number}."}]


def runner(provider: Provider, trials: int) -> float:
    """This runner's rate, counted by the provider as the peers' are."""
    provider.stamps(forget=True)
    repeated = f"sampling.trials={trials // PERSONAS_X_TEXTS}"
    asked = ("text=[lighthouse,parcel]", repeated, "tracking.enabled=false", "report=false")
    with tempfile.TemporaryDirectory() as folder:
        launch(Path(folder), *openai_words(provider.base, IN_FLIGHT), *asked)
    return provider.stamps().rate


def main() -> None:
    """Install what is missing, measure everyone, print rates and the goal."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--only", choices=[peer.name for peer in PEERS])
    parser.add_argument("--install-only", action="store_true")
    parser.add_argument("--quick", action="store_true", help="curator alone")
    words = parser.parse_args()
    wanted = words.only or ("curator" if words.quick else None)
    peers = [peer for peer in PEERS if wanted in {None, peer.name}]
    if words.install_only:
        for peer in (*peers, LLMOCK):
            try:
                install(peer, words.folder.resolve())
            except NoPeerError as error:
                print(f"{peer.name}: not installed: {error}")
        return
    with serve(LATENCY_S) as provider:
        every = prompts_of_the_runner(provider, TRIALS)
        for peer in peers:
            ratio, why = None, ""
            try:
                ratio = beside(peer, words.folder.resolve(), provider, every)
            except NoPeerError as error:
                why = str(error)
                print(f"{peer.name:20} not measured: {error}", flush=True)
            if peer.name == "curator":
                of_curator, why_not = ratio, why
    if wanted in {None, "curator"}:
        goals.at_least("throughput, of curator", 3, of_curator, " x", why=why_not)


if __name__ == "__main__":
    main()
