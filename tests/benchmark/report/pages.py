"""A page read as a browser reads it, for the tests of it, and the runs that they make one of."""

import shutil
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

RUNS = Path(__file__).parents[3] / "results" / "reference" / "shapes3d" / "runs"
METHODS = {"betavae", "annealedvae", "factorvae", "betatcvae", "dipvae_i", "dipvae_ii", "adagvae", "adamlvae"}
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}


def copy_runs(out: Path, worlds: bool) -> None:
    """Copy the reference's runs of ten configurations on Shapes3D, and of two of them in worlds that are not ideal."""
    for run in RUNS.iterdir():
        if run.name.partition("-")[0] in METHODS and (worlds or "-shapes3d-quick-" in run.name):
            shutil.copytree(run, out / "runs" / run.name)


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    parent: "Element | None" = None
    children: list["Element"] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All that is written in it, its own texts first."""
        return " ".join(" ".join([*self.texts, *(child.text for child in self.children)]).split())

    def all(self, *tags: str) -> list["Element"]:
        """Every element of those tags within it, in order; without tags every one."""
        found = [self] if self.tag in tags or not tags else []
        return found + [element for child in self.children for element in child.all(*tags)]

    def having(self, tag: str, **attributes: str) -> list["Element"]:
        """Every element of the tag with those attributes."""
        return [each for each in self.all(tag) if attributes.items() <= each.attributes.items()]


class Reader(HTMLParser):
    """Builds the tree, and asserts that every element that begins ends, in order, and no attribute stands twice."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = self.here = Element("#document", {})

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, names)
        element = Element(tag, {name: value or "" for name, value in attrs}, self.here)
        self.here.children.append(element)
        if tag not in VOID:
            self.here = element

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.here.tag == tag, f"</{tag}> ends <{self.here.tag}>: {self.getpos()}"
        self.here = self.here.parent

    def handle_data(self, data):
        self.here.texts.append(data)


def read_page(text: str) -> Element:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.here is reader.root, f"<{reader.here.tag}> does not end"
    return reader.root
