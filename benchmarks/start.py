"""How fast the command line answers, beside an import of Hydra alone and a Hydra application that does nothing.

Goal: `runner --help` and `runner --cfg job` in under a second. Medians of several runs, taken in turns so that a slow
moment of the machine meets all of them.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = 7
HELLO = """\
import hydra
@hydra.main(version_base="1.3", config_path=None)
def main(cfg):
    pass
main()
"""


def seconds(command: list[str], folder: str) -> float:
    """Wall-clock seconds of one run."""
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    """Time every command and print medians with their ratio to the import of Hydra."""
    runner = str(Path(sys.executable).parent / "runner")
    with tempfile.TemporaryDirectory() as folder:
        hello = Path(folder) / "hello.py"
        hello.write_text(HELLO)
        commands = {
            "python -c 'import hydra'": [sys.executable, "-c", "import hydra"],
            "hello-world Hydra app, --help": [sys.executable, str(hello), "--help"],
            "runner --help": [runner, "--help"],
            "runner --cfg job": [runner, "--cfg", "job"],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(RUNS):
            for name, command in commands.items():
                times[name].append(seconds(command, folder))
    medians = {name: statistics.median(values) for name, values in times.items()}
    base = medians["python -c 'import hydra'"]
    for name, median in medians.items():
        print(f"{name:32} {median:6.2f} s   {median / base:5.2f} x import hydra")
    slow = [name for name in commands if name.startswith("runner") and medians[name] >= 1]
    print(f"goal, under 1 s: {'missed by ' + ', '.join(slow) if slow else 'met'}")


if __name__ == "__main__":
    main()
