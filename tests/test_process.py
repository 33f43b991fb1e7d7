"""Whether a process still lives: what decides if its claims may be taken over."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from runner import process

ASKED = "import sys; from runner import process; print(process.has_ended(process.parse(sys.argv[1])))"
CONTAINER = ("unshare", "--user", "--map-root-user", "--pid", "--fork")


def asked(*before: str, of: str) -> str:
    """What a process of its own says, started behind other words."""
    command = [*before, sys.executable, "-c", ASKED, of]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()


def can_contain() -> bool:
    """Whether this system lets us number processes anew."""
    try:
        return subprocess.run([*CONTAINER, "true"], capture_output=True, timeout=60, check=False).returncode == 0
    except FileNotFoundError:
        return False


def test_a_process_is_known_by_its_word() -> None:
    """Another process sees that this one lives, and that one of its number which started at another time has ended."""
    me = process.this()
    assert process.parse(str(me)) == me
    assert asked(of=str(me)) == "False"
    if me.started:
        assert asked(of=f"{me.host}|{os.getpid()}|then") == "True"


@pytest.mark.skipif(not can_contain(), reason="processes cannot be numbered anew here")
def test_a_container_on_its_hosts_network_takes_nobody_for_dead() -> None:
    """Containers that share name and address number their processes each for itself: a number says nothing there."""
    assert asked(*CONTAINER, of=str(process.this())) == "False"
