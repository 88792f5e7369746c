"""Take the picture of the README from the opening page: `python book/_tools/picture.py`.

The notebook is executed, and the figure of its cell `the-curse` becomes
`book/_assets/curse-of-memory.svg`. Run it whenever that figure changes.
"""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
from nbclient import NotebookClient

BOOK = Path(__file__).resolve().parents[1]
NOTEBOOK = BOOK / "intro.ipynb"
CELL = "the-curse"
PICTURE = BOOK / "_assets" / "curse-of-memory.svg"


def picture(notebook: Path = NOTEBOOK, cell: str = CELL) -> str:
    """Execute the notebook and return the SVG that the cell shows."""
    os.environ["OMP_NUM_THREADS"] = "1"  # the kernel inherits it: sums add up in one order
    nb = nbformat.read(notebook, as_version=4)
    NotebookClient(nb, timeout=300, resources={"metadata": {"path": notebook.parent}}).execute()
    for candidate in nb.cells:
        if candidate.id == cell:
            for output in candidate.outputs:
                if "image/svg+xml" in output.get("data", {}):
                    return output.data["image/svg+xml"].rstrip() + "\n"
    raise SystemExit(f"{notebook.name} has no cell {cell!r} with an SVG figure")


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
    print(f"wrote {PICTURE.relative_to(BOOK.parent)}")
