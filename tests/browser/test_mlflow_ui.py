"""MLflow's own page, served by `runner ui` and looked at in headless Chromium."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from commandline import JOBS, SWEEP, by_temperature, configs, runner
from loopback import Provider

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SHOWN = ("sweep.sampling.temperature", "sweep.persona", "score/interesting/mean", "score/anger/mean")


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """`runner ui` on a free port, until the context ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "runner", "ui", "--port", str(port)],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, 15)
        process.wait(30)


def _wait(port: int) -> None:
    until = time.monotonic() + 90
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5):
                return
        except OSError:
            assert time.monotonic() < until, "MLflow did not start"
            time.sleep(0.3)


@pytest.mark.usefixtures("mlruns")
@pytest.mark.skipif(CHROMIUM is None and "CI" not in os.environ, reason="needs Debian's package chromium")
def test_the_page_lists_the_sweep_and_its_jobs(tmp_path: Path) -> None:
    """The page shows the parent and, below it, a run for each job, with swept values and scores as columns."""
    from playwright.sync_api import expect, sync_playwright

    with Provider(answer=by_temperature) as provider:
        runner(tmp_path, configs(tmp_path, provider), *SWEEP, "name=temperatures")
    with served(tmp_path) as url, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1600, "height": 760})
        page.goto(f"{url}/#/experiments/1/runs?compareRunsMode=TABLE")
        expect(page.get_by_text(f"{JOBS + 1} matching runs")).to_be_visible(timeout=60_000)
        page.get_by_role("button", name="Close").click()  # the assistant, which covers a quarter of the page
        page.get_by_role("button", name="Columns", exact=True).click()
        columns = page.get_by_test_id("column-selector-tree")
        for name in ("Dataset", "Source", "Models"):
            columns.get_by_title(name, exact=True).click()
        for name in SHOWN:
            page.get_by_placeholder("Search columns").fill(name)
            columns.get_by_text(name, exact=True).click()
        page.keyboard.press("Escape")
        page.locator(".ag-cell", has_text="temperatures").get_by_role("button").first.click()  # unfolds the sweep
        for name in SHOWN:
            expect(page.get_by_role("columnheader", name=name).first).to_be_visible()
        for cell in ("0/mini/poet", "7/thinker/robot"):
            expect(page.get_by_text(cell, exact=True)).to_be_visible()
        if picture := os.environ.get("RUNNER_SCREENSHOT"):
            page.mouse.move(0, 0)
            page.screenshot(path=picture)
        browser.close()
