"""The study's own files: read into a run like any other, and written back.

    read(path) -> Imported            its CSV, its folders of TXT replies, or a table that `export` wrote of any run
    write_run(imported, parent) -> Written
    export(folder, format, target) -> Exported

N. Shirahama's study of literary texts (llm-literary-analysis, llm-emotional-individuality) is where this project's
design comes from; facts and formats of it are in `form`.
"""

from runner.results.study.check import VendorCheck
from runner.results.study.export import Exported, export
from runner.results.study.form import PROMPT, QUESTIONS
from runner.results.study.imported import Imported, Unreadable, read
from runner.results.study.written import Written, write_run

__all__ = [
    "PROMPT",
    "QUESTIONS",
    "Exported",
    "Imported",
    "Unreadable",
    "VendorCheck",
    "Written",
    "export",
    "read",
    "write_run",
]
