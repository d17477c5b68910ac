"""The documentation: the README, and the pages beside the code they explain."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parent.parent
PATHS = (
    "README.md",
    "accelsim/arithmetic/README.md",
    "accelsim/cost/README.md",
    "accelsim/mapping/README.md",
    "accelsim/mapping/segments/README.md",
    "accelsim/sweeps/README.md",
    "accelsim/timing/README.md",
    "accelsim/timing/sizing/README.md",
    "accelsim/validation/README.md",
    "tests/benchmarks/README.md",
    "workloads/README.md",
    "workloads/studies/README.md",
)


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


README = read("README.md")
#: All pages one after the other.
TEXT = "\n## Next page\n".join(map(read, PATHS))
PROSE = " ".join(TEXT.split())


def section(title: str) -> str:
    """A section of some page, without its heading."""
    begin = TEXT.index(f"\n## {title}\n")
    end = TEXT.find("\n## ", begin + 1)
    return TEXT[begin:end]


def cells(*begins: str) -> list[str]:
    """The cells of the table row that begins with these."""
    start = "| " + " | ".join(begins) + " |"
    row = next(row for row in TEXT.splitlines() if row.startswith(start))
    return [cell.strip() for cell in row.split("|")[1 + len(begins) : -1]]
