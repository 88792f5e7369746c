"""Sphinx extension: claim cards in the chapters, and the page that lists all claims.

A claim (`curse_lib.ledger.claim`) leaves its fields as JSON in the output of the cell that
checked it. On the chapter's page this output becomes a card with the address `#claim-<key>`. The
directive `{claims-ledger}` lists the claims of all executed notebooks, one table a part, each
with a link to its card. No file is written beside the notebooks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from docutils import nodes
from myst_nb.core.render import MimeData, NbElementRenderer, load_mime_renders
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from curse_lib.ledger import CLAIM_MIME, VERDICTS, Claim
from fresh_notebooks import executed_notebooks, note_assembled_page

logger = logging.getLogger(__name__)

# The columns of the table, each with the parts of a claim that stand in it.
COLUMNS = {
    "Claim": ["Key", "Source"],
    "What it says": ["Says", "Hypotheses"],
    "Measured": ["Measured", "Allowed", "Our choice"],
    "Verdict": ["Verdict", "Reason"],
}
# Parts that need no name of their own below their column's heading.
UNNAMED = {"Key", "Source", "Says", "Measured", "Verdict"}

Parse = Callable[[str], list[nodes.Node]]


class ClaimRenderer:
    """How myst-nb shows a claim: as a card, in preference to the Markdown meant for Jupyter."""

    mime_priority_overrides = [("*", CLAIM_MIME, 1)]

    @staticmethod
    def handle_mime(
        renderer: NbElementRenderer, data: MimeData, inline: bool
    ) -> list[nodes.Element] | None:
        """Turn an output into a card; return None for any other kind of output."""
        if data.mime_type != CLAIM_MIME or inline:
            return None
        parser = renderer.renderer

        def parse(text: str) -> list[nodes.Node]:
            holder = nodes.Element()
            with parser.current_node_context(holder):
                parser.nested_render_text(text, data.line, inline=True)
            return holder.children

        claim = Claim(**data.content)
        shown = paragraphs(claim, parse)
        card = nodes.container(classes=["claim"], ids=[f"claim-{claim.key}"])
        card += nodes.container("", shown.pop("Key"), shown.pop("Verdict"), classes=["claim-head"])
        card += nodes.field_list(
            "",
            *(
                nodes.field("", nodes.field_name(text=name), nodes.field_body("", paragraph))
                for name, paragraph in shown.items()
            ),
        )
        return [card]


class ClaimsLedger(SphinxDirective):
    """The directive `{claims-ledger}`: what the verdicts mean, a count, one table a part."""

    def run(self) -> list[nodes.Node]:
        note_assembled_page(self.env)
        claims = {
            docname: list(claims_of(notebook))
            for docname, notebook in executed_notebooks(self.env.app).items()
        }
        self.check_keys(claims)

        every = [claim for found in claims.values() for claim in found]
        counts = Counter(claim.verdict for claim in every)
        meanings = nodes.field_list(classes=["verdicts"])
        for verdict, meaning in VERDICTS.items():
            text = nodes.paragraph(text=f"{meaning} ({counts[verdict]} of {len(every)})")
            name = nodes.field_name("", "", badge(verdict))
            meanings += nodes.field("", name, nodes.field_body("", text))

        result: list[nodes.Node] = [meanings]
        for part, docnames in parts(self.env.app):
            rows = [self.row(name, claim) for name in docnames for claim in claims.get(name, [])]
            if rows:
                section = nodes.section("", nodes.title(text=part), table(rows), names=[part])
                self.state.document.note_implicit_target(section, section)
                result.append(section)
        return result

    def check_keys(self, claims: dict[str, list[Claim]]) -> None:
        """Warn of a key that is used twice: a link to it would be ambiguous."""
        places: dict[str, list[str]] = {}
        for docname, found in claims.items():
            for claim in found:
                places.setdefault(claim.key, []).append(docname)
        for key, docnames in places.items():
            if len(docnames) > 1:
                where = ", ".join(docnames)
                message = f"claim {key!r} is made more than once: {where}"
                logger.warning(message, location=self.get_location())

    def row(self, docname: str, claim: Claim) -> nodes.row:
        shown = paragraphs(claim, lambda text: self.parse_inline(text)[0])
        page = self.env.app.builder.get_relative_uri(self.env.docname, docname)
        link = nodes.reference(internal=True, refuri=f"{page}#claim-{claim.key}")
        link += shown["Key"].children
        shown["Key"] = nodes.paragraph("", "", link)
        row = nodes.row()
        for names in COLUMNS.values():
            entry = nodes.entry()
            for name in names:
                if name in shown:
                    if name not in UNNAMED:
                        shown[name].insert(0, [nodes.emphasis(text=f"{name}:"), nodes.Text(" ")])
                    entry += shown[name]
            row += entry
        return row


def paragraphs(claim: Claim, parse: Parse) -> dict[str, nodes.paragraph]:
    """Each part of a claim that a reader sees, as a paragraph."""
    shown = {name: nodes.paragraph("", "", *parse(text)) for name, text in claim.shown().items()}
    key = nodes.paragraph("", "", nodes.literal(text=claim.key))
    return {"Key": key, "Verdict": nodes.paragraph("", "", badge(claim.verdict)), **shown}


def badge(verdict: str) -> nodes.inline:
    """The verdict, with a class by which the stylesheet colours it."""
    return nodes.inline(text=verdict, classes=["verdict", f"verdict-{nodes.make_id(verdict)}"])


def claims_of(notebook) -> Iterator[Claim]:
    """The claims in a notebook's outputs, in order."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if CLAIM_MIME in output.get("data", {}):
                yield Claim(**output["data"][CLAIM_MIME])


def table(rows: list[nodes.row]) -> nodes.table:
    """A table of the ledger's columns."""
    head = nodes.row("", *(nodes.entry("", nodes.paragraph(text=name)) for name in COLUMNS))
    columns = [nodes.colspec(colwidth=width) for width in (22, 36, 24, 18)]
    group = nodes.tgroup("", *columns, nodes.thead("", head), nodes.tbody("", *rows))
    group["cols"] = len(columns)
    return nodes.table("", group, classes=["claims"])


def parts(app: Sphinx) -> Iterator[tuple[str, list[str]]]:
    """The name and the pages of each part, in the order of the table of contents."""
    site_map = app.config.external_site_map

    def below(docname: str) -> Iterator[str]:
        yield docname
        for subtree in site_map[docname].subtrees:
            for child in subtree.files():
                yield from below(child)

    yield "Opening", [site_map.root.docname]
    for subtree in site_map.root.subtrees:
        pages = [page for child in subtree.files() for page in below(child)]
        yield subtree.caption or "Chapters", pages


def setup(app: Sphinx) -> dict[str, bool]:
    # myst-nb looks its renderers up in this cached list. The regular way in is an entry point of
    # an installed package, which would make Sphinx a matter of curse_lib.
    if ClaimRenderer not in load_mime_renders():
        load_mime_renders().append(ClaimRenderer)
    app.add_directive("claims-ledger", ClaimsLedger)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
