"""Sphinx extension: execute the book's notebooks, two at a time, whenever they need it.

MyST-NB shows a notebook from a cache of executions, and that cache looks at the source of the
notebook alone. A page would therefore stay as it is when `curse_lib`, a data file or a library
changes. This extension stands before that cache:

1. It takes a fingerprint of everything else that an execution depends on. When the fingerprint
   differs from the one kept beside the cache, every cached execution is dropped.
2. It executes the notebooks that have no cached execution, and puts the results into the cache.
   MyST-NB then finds everything there and executes nothing itself.
3. It tells Sphinx which pages must be read again: those whose outputs changed, and those that
   are assembled from other pages' outputs (the claims ledger). Change the settings, the assets
   or the extensions, and every page is read again.

A build that stopped half way, or that had warnings, reads every page again the next time. So a
warning cannot vanish by building twice, and no page is left half written.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import platform
import re
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib import metadata
from pathlib import Path

import nbformat
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from jupyter_cache.cache.db import NbCacheRecord
from nbclient import NotebookClient
from nbclient.exceptions import CellControlSignal, CellTimeoutError, DeadKernelError
from sphinx.errors import ExtensionError
from sphinx.util import logging

logger = logging.getLogger(__name__)

AT_A_TIME = 2
ROOT = Path(__file__).resolve().parents[2]
STATE = "fresh-notebooks.json"  # beside the cache: its fingerprint, and the last run times
UNFINISHED = "unfinished-build"  # in the doctree folder while a build is under way
# One thread for each kernel: two kernels share the machine, and sums add up in the same order.
THREADS = "OMP_NUM_THREADS OPENBLAS_NUM_THREADS MKL_NUM_THREADS VECLIB_MAXIMUM_THREADS"
KERNEL_ENVIRONMENT = dict.fromkeys(THREADS.split(), "1")
ANSI = re.compile(r"\x1b\[[0-9;]*m")


# ------------------------------------------------------------------------------- fingerprints


def hash_files(paths) -> str:
    """Hash the names and the contents of files, and of all files below folders."""
    digest = hashlib.sha256()
    for path in paths:
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for file in files:
            hidden = any(part.startswith(".") for part in file.relative_to(path).parts)
            if hidden or "__pycache__" in file.parts or not file.is_file():
                continue
            digest.update(f"{file.relative_to(path.parent)}\0{file.stat().st_size}\0".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()


def library_folder() -> Path:
    """Return the folder of the `curse_lib` that the notebooks will import."""
    spec = importlib.util.find_spec("curse_lib")
    if spec is None or spec.origin is None:
        raise ExtensionError(
            "curse_lib is not installed in this environment. Run `make book`, or "
            "`python -m pip install -c constraints.txt -e '.[book]'` in the folder of the book."
        )
    folder = Path(spec.origin).resolve().parent
    if folder != ROOT / "curse_lib":
        raise ExtensionError(
            f"The notebooks would import curse_lib from {folder}, not from this book. Install "
            "this one: `python -m pip install -c constraints.txt -e '.[book]'`."
        )
    return folder


def execution_fingerprint() -> str:
    """Hash everything that an execution depends on besides the notebook itself.

    That is the library, the data, the locked versions, Python, and every installed package.
    """
    packages = sorted(
        f"{dist.metadata['Name']}=={dist.version}"
        for dist in metadata.distributions()
        if dist.metadata["Name"]
    )
    parts = [
        hash_files([library_folder(), ROOT / "book" / "data", ROOT / "constraints.txt"]),
        platform.python_version(),
        platform.machine(),
        *packages,
        *sorted(f"{name}={value}" for name, value in KERNEL_ENVIRONMENT.items()),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def site_fingerprint() -> str:
    """Hash what every page may depend on: settings, contents, assets, extensions, library."""
    book = ROOT / "book"
    files = [ROOT / "_config.yml", ROOT / "_toc.yml", ROOT / "constraints.txt"]
    folders = [book / "_assets", book / "_tools", book / "data", ROOT / "curse_lib"]
    return hash_files(files + folders + sorted(book.rglob("*.bib")))


# ------------------------------------------------------------------------------- the cache


def open_cache(app):
    """Return the execution cache that MyST-NB uses in this build."""
    return get_cache(app.env.mystnb_config.execution_cache_path)


def read_notebook(app, docname):
    return nbformat.read(app.env.doc2path(docname), as_version=4)


def notebook_docnames(app) -> list[str]:
    """Return the notebooks of the book, in the order of its contents."""
    found = {name for name in app.env.found_docs if app.env.doc2path(name).endswith(".ipynb")}
    site_map = getattr(app.config, "external_site_map", None) or ()
    ordered = [name for name in site_map if name in found]
    return ordered + sorted(found.difference(ordered))


def find_execution(cache, notebook):
    """Return the record of a usable cached execution, or None."""
    _, key = cache.create_hashed_notebook(notebook)
    try:
        record = NbCacheRecord.record_from_hashkey(key, cache.db)
    except KeyError:
        return None
    try:
        cache.get_cache_bundle(record.pk)
    except Exception:  # the record of an interrupted write: its file is missing or cut short
        NbCacheRecord.remove_record(record.pk, cache.db)
        return None
    return record


def identity(record) -> str:
    return f"{record.hashkey} {record.created.isoformat()}"


def executed_notebooks(app) -> dict:
    """Return {docname: executed notebook} for the whole book, in the order of its contents.

    Call it from a directive: at that time every notebook is in the cache. A page that calls it
    must also call `note_assembled_page`, so that it is read again when a notebook changes.
    """
    cache = open_cache(app)
    return {
        name: cache.merge_match_into_notebook(read_notebook(app, name))[1]
        for name in notebook_docnames(app)
    }


def note_assembled_page(env) -> None:
    """Note that the page being read is assembled from the notebooks' outputs."""
    if not hasattr(env, "assembled_pages"):
        env.assembled_pages = set()
    env.assembled_pages.add(env.docname)


# ------------------------------------------------------------------------------- execution


class Run:
    """The execution of one notebook in a kernel of its own."""

    start_lock = threading.Lock()  # kernels that start one by one never pick the same port

    def __init__(self, docname: str, path: Path, notebook, timeout: int):
        self.docname = docname
        self.path = path
        self.notebook = notebook
        self.timeout = timeout
        self.seconds = 0.0
        self.failure: str | None = None
        self.client: NotebookClient | None = None

    def __call__(self) -> Run:
        begin = time.perf_counter()
        folder = str(self.path.parent)
        self.client = NotebookClient(
            self.notebook,
            timeout=self.timeout,
            kernel_name=self.notebook.metadata.get("kernelspec", {}).get("name", "python3"),
            resources={"metadata": {"path": folder}},
            record_timing=False,  # it would write into the metadata that the cache looks at
            extra_arguments=["--IPKernelApp.log_level=ERROR"],
        )
        try:
            with self.start_lock:
                self.client.create_kernel_manager()
                environment = {**os.environ, **KERNEL_ENVIRONMENT}
                self.client.start_new_kernel(cwd=folder, env=environment)
            self.client.execute()
        except (CellControlSignal, CellTimeoutError, DeadKernelError, RuntimeError) as error:
            self.failure = describe_failure(self.notebook, error)
        self.seconds = time.perf_counter() - begin
        return self

    def stop(self) -> None:
        """Kill the kernel; the thread that waits for it then ends."""
        manager = self.client and self.client.km
        process = manager and getattr(manager.provisioner, "process", None)
        if process:
            process.kill()


def describe_failure(notebook, error) -> str:
    """Say in a few lines which cell failed, and how."""
    started = [
        (position, cell)
        for position, cell in enumerate(notebook.cells, 1)
        if cell.cell_type == "code" and (cell.execution_count or cell.outputs)
    ]
    for position, cell in started:
        for output in cell.outputs:
            if output.output_type == "error":
                trace = ANSI.sub("", "\n".join(output.traceback)).splitlines()
                shown = "\n".join(f"      {line}" for line in trace[-25:])
                name, value = output.ename, ANSI.sub("", output.evalue)
                return f'cell {position} (id "{cell.id}"): {name}: {value}\n{shown}'
    where = "before its first cell"
    if started:
        position, cell = started[-1]
        where = f'in or after cell {position} (id "{cell.id}")'
    return f"{where}: {type(error).__name__}: {ANSI.sub('', str(error)).strip()[-1500:]}"


def execute_all(app, cache, todo: dict, earlier_seconds: dict) -> dict:
    """Execute notebooks {docname: notebook}, two at a time, and return their run times."""
    runs, shared = {}, set()
    timeout = app.env.mystnb_config.execution_timeout
    for name, notebook in todo.items():
        key = cache.create_hashed_notebook(notebook)[1]
        if key not in shared:  # the same code twice needs one execution
            shared.add(key)
            runs[name] = Run(name, Path(app.env.doc2path(name)), notebook, timeout)
    # The longest first, so that none starts late and is waited for alone.
    order = sorted(
        runs, key=lambda n: earlier_seconds.get(n, os.path.getsize(runs[n].path)), reverse=True
    )
    count = len(order)
    noun = "notebook" if count == 1 else "notebooks"
    logger.info("executing %d %s, %d at a time", count, noun, min(AT_A_TIME, count))
    seconds, failures = {}, {}
    pool = ThreadPoolExecutor(AT_A_TIME)
    futures = [pool.submit(runs[name]) for name in order]
    try:
        for done, future in enumerate(as_completed(futures), 1):
            run = future.result()
            verdict = "FAILED after " if run.failure else ""
            logger.info("  [%d/%d] %s: %s%.1f s", done, count, run.docname, verdict, run.seconds)
            if run.failure:
                failures[run.docname] = run.failure
                continue
            seconds[run.docname] = run.seconds
            cache.cache_notebook_bundle(
                CacheBundleIn(run.notebook, str(run.path), data={"execution_seconds": run.seconds}),
                check_validity=False,
                overwrite=True,
            )
    finally:  # also on Ctrl-C: start nothing more, and let no kernel live on
        pool.shutdown(wait=False, cancel_futures=True)
        for run in runs.values():
            run.stop()
        pool.shutdown(wait=True)
    if failures:
        listing = "\n".join(
            f"  {Path(app.env.doc2path(name)).relative_to(app.srcdir)}, {text}"
            for name, text in sorted(failures.items())
        )
        # The message says it all; Jupyter Book would bury it under a traceback of its own.
        sys.tracebacklimit = 0
        count = len(failures)
        subject = "1 notebook fails" if count == 1 else f"{count} notebooks fail"
        raise ExtensionError(f"{subject}; nothing of the book was changed.\n{listing}")
    return seconds


# ------------------------------------------------------------------------------- Sphinx events


def begin_build(app) -> None:
    """Note that a build is under way; remember whether the one before ended well."""
    marker = Path(app.doctreedir) / UNFINISHED
    app.fresh_interrupted = marker.exists()
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.touch()


def bring_up_to_date(app, env, added, changed, removed):
    """Execute what needs it; return the pages that must be read again."""
    app.fresh_executions = {}
    app.fresh_removed = set(removed)
    names = notebook_docnames(app)
    if env.mystnb_config.execution_mode == "cache":
        app.fresh_executions = freshen_cache(app, names)
    fingerprint = site_fingerprint()
    everything = app.fresh_interrupted or getattr(env, "site_fingerprint", "") != fingerprint
    env.site_fingerprint = fingerprint
    if everything:
        return set(env.found_docs)
    read_with = getattr(env, "read_with_execution", {})
    outdated = {n for n in names if read_with.get(n) != app.fresh_executions.get(n)}
    if outdated or (added | changed).intersection(names) or removed:
        outdated |= getattr(env, "assembled_pages", set())
    return outdated


def freshen_cache(app, names) -> dict:
    """Bring the cache of executions up to date; return {docname: identity of its execution}."""
    cache = open_cache(app)
    state_file = cache.path / STATE
    state = json.loads(state_file.read_text("utf-8")) if state_file.exists() else {}
    seconds = state.get("seconds", {})
    fingerprint = execution_fingerprint()
    if state.get("fingerprint") != fingerprint:
        if state:
            logger.info("the library, the data or the installed versions changed: run all again")
        cache.clear_cache()
        cache = open_cache(app)
        write_state(state_file, fingerprint, seconds)
    notebooks = {name: read_notebook(app, name) for name in names}
    todo = {n: nb for n, nb in notebooks.items() if find_execution(cache, nb) is None}
    if todo:
        seconds |= execute_all(app, cache, todo, seconds)
        write_state(state_file, fingerprint, seconds)
    records = {name: find_execution(cache, read_notebook(app, name)) for name in names}
    changed = [name for name, record in records.items() if record is None]
    if changed:
        raise ExtensionError(f"{', '.join(changed)} changed during the build; build again.")
    return {name: identity(record) for name, record in records.items()}


def write_state(path: Path, fingerprint: str, seconds: dict) -> None:
    """Write the state in one step, so that an interruption leaves the old or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps({"fingerprint": fingerprint, "seconds": seconds}), "utf-8")
    draft.replace(path)


def note_reading(app, env, docnames) -> None:
    app.fresh_reading = bool(docnames)


def note_read(app, doctree) -> None:
    """Remember which execution the page was read with."""
    env = app.env
    if not hasattr(env, "read_with_execution"):
        env.read_with_execution = {}
    env.read_with_execution[env.docname] = app.fresh_executions.get(env.docname)


def forget_page(app, env, docname) -> None:
    getattr(env, "read_with_execution", {}).pop(docname, None)
    getattr(env, "assembled_pages", set()).discard(docname)


def write_all_pages(app, env):
    """After any change write every page: they share titles, numbers and the table of contents."""
    return set(env.found_docs) if app.fresh_reading or app.fresh_removed else set()


def end_build(app, exception) -> None:
    if exception is not None:
        return
    if app.builder.format == "html":
        for docname in app.fresh_removed:
            Path(app.builder.get_outfilename(docname)).unlink(missing_ok=True)
    if not app._warncount:
        (Path(app.doctreedir) / UNFINISHED).unlink(missing_ok=True)


def setup(app):
    app.connect("builder-inited", begin_build)
    app.connect("env-get-outdated", bring_up_to_date)
    app.connect("env-before-read-docs", note_reading)
    app.connect("env-purge-doc", forget_page)
    app.connect("doctree-read", note_read)
    app.connect("env-updated", write_all_pages)
    app.connect("build-finished", end_build)
    return {"version": "1", "env_version": 1, "parallel_read_safe": False}
