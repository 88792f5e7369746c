"""Sphinx extension: mend what the HTML of a bibliography tells a screen reader.

Docutils marks a list of references as a list, and its entries with a role that is no list item
and that newer standards have dropped.
"""

from __future__ import annotations


def mend_roles(app, pagename, templatename, context, doctree) -> None:
    if "body" in context:
        context["body"] = context["body"].replace('role="doc-biblioentry"', 'role="listitem"')


def setup(app):
    app.connect("html-page-context", mend_roles)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
