"""`make lab` keeps a reader's copy up to date and loses nothing of it."""

from __future__ import annotations

import json

import lab
import pytest


def notebook(code, outputs=()):
    cell = {"cell_type": "code", "id": "cell", "metadata": {}, "source": [code]}
    cell |= {"execution_count": 1 if outputs else None, "outputs": list(outputs)}
    return json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def ran(code):
    return notebook(code, [{"output_type": "stream", "name": "stdout", "text": ["1\n"]}])


@pytest.fixture
def folders(tmp_path):
    book, copy = tmp_path / "book", tmp_path / "lab"
    for name, text in {
        "intro.ipynb": notebook("1"),
        "part/chapter.ipynb": notebook("2"),
        "data/values.csv": "1\n",
        "_tools/tool.py": "pass\n",
        "coursework/source/sheet/sheet.ipynb": notebook("solution"),
        "part/.ipynb_checkpoints/chapter-checkpoint.ipynb": notebook("0"),
    }.items():
        (book / name).parent.mkdir(parents=True, exist_ok=True)
        (book / name).write_text(text, "utf-8")
    return book, copy


def files(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


CHAPTER = "part/chapter.ipynb"
COPIED = [lab.RECORD, "data/values.csv", "intro.ipynb", CHAPTER]


def test_first_call_copies_what_a_reader_needs(folders):
    book, copy = folders
    assert lab.update_copy(book, copy) == []
    assert files(copy) == sorted(COPIED)


def test_numbers_in_sentences_become_their_names(folders):
    book, copy = folders
    cell = {"cell_type": "markdown", "id": "words", "metadata": {}}
    cell["source"] = ["It is {glue:text}`chapter-gap:.1e` wide,\n", "or {glue:text}`other`."]
    text = json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    (book / CHAPTER).write_text(text, "utf-8")
    lab.update_copy(book, copy)
    (words,) = json.loads((copy / CHAPTER).read_text("utf-8"))["cells"]
    assert "".join(words["source"]) == "It is `chapter-gap` wide,\nor `other`."
    (book / CHAPTER).write_text(text.replace("wide", "broad"), "utf-8")
    assert lab.update_copy(book, copy) == []  # the copy counts as not changed
    assert "broad" in (copy / CHAPTER).read_text("utf-8")


def test_second_call_changes_nothing(folders):
    book, copy = folders
    lab.update_copy(book, copy)
    before = {name: (copy / name).read_bytes() for name in files(copy)}
    assert lab.update_copy(book, copy) == []
    assert before == {name: (copy / name).read_bytes() for name in files(copy)}


def test_new_chapters_are_added(folders):
    book, copy = folders
    lab.update_copy(book, copy)
    (book / "part" / "next.ipynb").write_text(notebook("3"), "utf-8")
    lab.update_copy(book, copy)
    assert (copy / "part" / "next.ipynb").exists()


@pytest.mark.parametrize("as_left", [notebook("2"), ran("2")], ids=["untouched", "only run"])
def test_unchanged_chapters_are_updated(folders, as_left):
    book, copy = folders
    lab.update_copy(book, copy)
    (copy / CHAPTER).write_text(as_left, "utf-8")
    (book / CHAPTER).write_text(notebook("2 + 2"), "utf-8")
    assert lab.update_copy(book, copy) == []
    assert (copy / CHAPTER).read_text("utf-8") == notebook("2 + 2")


def test_outputs_stay_while_the_book_stays(folders):
    book, copy = folders
    lab.update_copy(book, copy)
    (copy / CHAPTER).write_text(ran("2"), "utf-8")
    lab.update_copy(book, copy)
    assert (copy / CHAPTER).read_text("utf-8") == ran("2")


def test_changed_chapters_stay_and_the_new_version_is_put_beside(folders):
    book, copy = folders
    lab.update_copy(book, copy)
    (copy / CHAPTER).write_text(ran("mine"), "utf-8")
    assert lab.update_copy(book, copy) == []  # nothing new in the book: nothing to say
    (book / CHAPTER).write_text(notebook("2 + 2"), "utf-8")
    (message,) = lab.update_copy(book, copy)
    assert "part/chapter.new.ipynb" in message
    assert (copy / CHAPTER).read_text("utf-8") == ran("mine")
    assert (copy / "part/chapter.new.ipynb").read_text("utf-8") == notebook("2 + 2")
    assert lab.update_copy(book, copy) == []  # said once


def test_a_later_version_does_not_overwrite_the_one_beside(folders):
    book, copy = folders
    lab.update_copy(book, copy)
    (copy / CHAPTER).write_text(notebook("mine"), "utf-8")
    for version in ("2 + 2", "2 + 3"):
        (book / CHAPTER).write_text(notebook(version), "utf-8")
        lab.update_copy(book, copy)
    assert (copy / "part/chapter.new.ipynb").read_text("utf-8") == notebook("2 + 2")
    assert (copy / "part/chapter.new2.ipynb").read_text("utf-8") == notebook("2 + 3")
    assert (copy / CHAPTER).read_text("utf-8") == notebook("mine")


def test_files_of_the_reader_and_of_an_older_book_stay(folders):
    book, copy = folders
    lab.update_copy(book, copy)
    (copy / "my-notes.ipynb").write_text(notebook("mine"), "utf-8")
    (book / "intro.ipynb").unlink()
    lab.update_copy(book, copy)
    assert {"my-notes.ipynb", "intro.ipynb"} <= set(files(copy))


def test_a_chapter_that_appears_under_the_name_of_a_readers_file_does_not_overwrite_it(folders):
    book, copy = folders
    lab.update_copy(book, copy)
    (copy / "part" / "next.ipynb").write_text(notebook("mine"), "utf-8")
    (book / "part" / "next.ipynb").write_text(notebook("3"), "utf-8")
    assert len(lab.update_copy(book, copy)) == 1
    assert (copy / "part" / "next.ipynb").read_text("utf-8") == notebook("mine")


def test_data_changed_by_the_reader_stay_too(folders):
    book, copy = folders
    lab.update_copy(book, copy)
    (copy / "data/values.csv").write_text("mine\n", "utf-8")
    (book / "data/values.csv").write_text("2\n", "utf-8")
    (message,) = lab.update_copy(book, copy)
    assert "values.new.csv" in message
    assert (copy / "data/values.csv").read_text("utf-8") == "mine\n"


def test_a_file_that_is_no_notebook_is_compared_by_its_bytes(folders):
    book, copy = folders
    lab.update_copy(book, copy)
    (copy / CHAPTER).write_text("{ broken", "utf-8")
    (book / CHAPTER).write_text(notebook("2 + 2"), "utf-8")
    assert len(lab.update_copy(book, copy)) == 1
    assert (copy / CHAPTER).read_text("utf-8") == "{ broken"
