"""A page as a browser sees it, and the checks that hold for every page."""

from __future__ import annotations

import re
from html.parser import HTMLParser

VOID = {"meta", "img", "br", "hr", "link", "path", "use", "circle", "rect", "line", "input"}


class Page(HTMLParser):
    """Collects what a browser would load, show and name; fails on tags that do not close."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open, self.ids, self.loads, self.links, self.words, self.alts = [], [], [], [], [], []
        self.tags: list[str] = []
        self.cells: list[list[str]] = []
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self._note(tag, dict(attrs))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.cells.append([])
        if tag in ("td", "th") and self.cells:
            self.cells[-1].append("")

    def handle_startendtag(self, tag, attrs):
        self._note(tag, dict(attrs))

    def _note(self, tag, attrs):
        self.tags.append(tag)
        if attrs.get("id"):
            self.ids.append(attrs["id"])
        if tag == "a":
            self.links.append(attrs.get("href", ""))
        else:
            self.loads += [v for k, v in attrs.items() if k in ("src", "href", "xlink:href", "srcset", "data")]
        if tag == "img":
            self.alts.append(attrs["alt"])

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open[-1:] == [tag], f"</{tag}> closes {self.open[-1:]}"
            self.open.pop()

    def handle_data(self, data):
        if set(self.open) & {"script", "style"}:
            return
        self.words.append(data)
        if set(self.open) & {"td", "th"}:
            self.cells[-1][-1] += data

    def rows(self) -> list[list[str]]:
        return [[" ".join(cell.split()) for cell in row] for row in self.cells]


def check(text: str) -> Page:
    """Return a page after the checks that hold for every page."""
    page = Page(text)
    assert all(load.startswith(("data:image/", "#")) for load in page.loads)
    assert "@import" not in text
    assert not re.search(r"url\(\s*['\"]?(?!#)", text)
    assert all(link.startswith("#") for link in page.links)
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links} <= set(page.ids)
    assert page.tags.count("h1") == 1
    assert not {"nan", "none", "inf"} & set(page.text.lower().split())
    return page
