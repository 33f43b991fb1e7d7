"""Print the requirements of the first lock that the second does not hold: subtract.py ALL HAVE."""

import re
import sys
from pathlib import Path


def blocks(path: str) -> dict[str, str]:
    """Requirement line -> it and its hash lines."""
    parts = re.split(r"^(?=[A-Za-z0-9])", Path(path).read_text(), flags=re.MULTILINE)
    return {part.split("\\")[0].strip(): part for part in parts if part and part[0] != "#"}


have = blocks(sys.argv[2])
sys.stdout.writelines(part for line, part in blocks(sys.argv[1]).items() if line not in have)
