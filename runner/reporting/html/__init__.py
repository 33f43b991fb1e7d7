"""A run's or a sweep's folder -> report.html: one page that needs no network, for people.

    write(folder) -> path of the page

gather reads the folder, figures computes tables and charts (by reporting.stats), explorer holds the trials, page
puts all of it together. Everything is made from the folder's files alone, so a report can be made again at any time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

NAME = "report.html"


def write(folder: Path) -> Path:
    """Write the report of a run, a sweep or one job of a sweep into its folder, in place of an earlier one.

    ConfigError where the folder is none of them; RunnerError where its results cannot be read.
    """
    from runner.reporting.html.figures import figures
    from runner.reporting.html.gather import gather
    from runner.reporting.html.page import page

    found = gather(folder)
    content = page(found, figures(found))
    path, beside = folder / NAME, folder / f"{NAME}.part"
    # Half a surrogate pair, which a reply may hold and UTF-8 cannot, is shown as its escape.
    beside.write_bytes(content.encode("utf-8", "backslashreplace"))
    beside.replace(path)
    return path
