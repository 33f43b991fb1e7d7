r"""Texts and personas of the user's own. A path in, frozen records out; ConfigError for anything wrong.

    files     a folder of UTF-8 .txt files
    aozora    Aozora Bunko's .txt files: encoding, header, colophon, ruby, notes, characters outside the encoding
    table     csv, jsonl or parquet, one text or persona in each row

What is kept: every character as it stands, without normalisation. What is changed: line ends become "\n" (CRLF and a
lone CR too), a byte order mark at the start goes, and so do line ends at the very end of a text.
Whether names are unique across all sources of an experiment is config's to check.
"""

from runner.config.sources.aozora import texts_from_aozora
from runner.config.sources.files import texts_from_folder
from runner.config.sources.table import personas_from_table, texts_from_table

__all__ = ["personas_from_table", "texts_from_aozora", "texts_from_folder", "texts_from_table"]
