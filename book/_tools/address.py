"""Sphinx extension: show the repository and Binder buttons once the book has an address.

The one setting is `repository: url:` in _config.yml. While it is empty, all of them are off.
"""

from __future__ import annotations

BUTTONS = ("use_repository_button", "use_issues_button", "use_edit_page_button")


def set_buttons(app, config) -> None:
    """Derive the theme's options from the address of the repository."""
    options = config.html_theme_options
    known = bool(options.get("repository_url"))
    for button in BUTTONS:
        options[button] = known
    launch = {"notebook_interface": "jupyterlab", "binderhub_url": "https://mybinder.org"}
    options["launch_buttons"] = launch if known else {}


def setup(app):
    app.connect("config-inited", set_buttons)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
