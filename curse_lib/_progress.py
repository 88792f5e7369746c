"""The one progress bar of the library."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading

from tqdm import tqdm


def progress(total: int, label: str, show: bool | None = None) -> tqdm:
    """A bar for ``total`` pieces of work: call ``update(n)`` on it, within a ``with``.

    By default it shows at a terminal and in a notebook that a Jupyter server (JupyterLab) has
    opened, which names the notebook in JPY_SESSION_NAME; never in a notebook that a build runs,
    nor in the workers of an executor, whose bars would overwrite one another. ``show`` overrules
    that. In a notebook it goes to stdout, since Jupyter paints stderr as an error; when it is full
    it clears its line.
    """
    terminal = sys.stderr.isatty()
    if show is None:
        worker = multiprocessing.parent_process() or (
            threading.current_thread() is not threading.main_thread()
        )
        show = not worker and (terminal or "JPY_SESSION_NAME" in os.environ)
    file = sys.stderr if terminal else sys.stdout
    return tqdm(total=total, desc=label, disable=not show, file=file, leave=False, mininterval=0.2)
