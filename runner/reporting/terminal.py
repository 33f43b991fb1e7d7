"""What every table on a terminal shares: one look, for 80 columns or more."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console
    from rich.table import Table


def console() -> Console:
    """Where results are shown: standard output as it is now, without colours of rich's own guessing."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=False)


def empty_table(title: str, names: Iterable[str] = (), figures: Iterable[str] = ()) -> Table:
    """An empty table: columns of names on the left, columns of figures on the right; long ones fold.

    Headers are plain text, never markup; a line break in one is kept. A caller may narrow or widen a column after.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    made.min_width = len(title)  # or rich folds the title over a narrow table
    for header in names:
        made.add_column(Text(header), vertical="bottom", overflow="fold")
    for header in figures:
        made.add_column(Text(header), vertical="bottom", overflow="fold", justify="right")
    return made
