"""Figures that stand in the page as SVG: they take its colours, and every mark tells its values when pointed at."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import isfinite, isnan, log2, log10, nan
from xml.etree.ElementTree import Element, SubElement, tostring

from markupsafe import Markup
from matplotlib.ticker import LogLocator, MaxNLocator

WIDTH, HEIGHT = 320.0, 230.0  # CSS pixels of a plot
LEFT, RIGHT, TOP, BOTTOM = 46.0, 10.0, 10.0, 40.0  # around its axes
LETTER = 6.8  # pixels of a letter of a label, about
LONGEST = 30  # letters of a label
TICKS = 5
TICK_ROOM = 4.0  # pixels between the labels of two ticks
CELL = 34.0, 24.0  # pixels of a cell of a matrix
BAR = 20.0  # pixels of a row of bars
COLOURS = 8  # that the style sheet has; further series take other marks
MARKS = ("M-3,0a3,3 0 1,0 6,0a3,3 0 1,0 -6,0z", "M-3,-3h6v6h-6z", "M0,-4l4,4l-4,4l-4,-4z", "M0,-4l4,7h-8z")
NAME_ROOM = 13  # pixels between the names of points
Attribute = str | float


def place(value: float) -> str:
    """A number as SVG has it, to a hundredth of a pixel."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def shorten(text: str) -> str:
    """A label that fits beside a row."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


class Drawing:
    """An SVG image of a kind and of so many CSS pixels, with what a screen reader says of it."""

    def __init__(self, kind: str, width: float, height: float, title: str, description: str) -> None:
        size = {"width": place(width), "height": place(height), "viewBox": f"0 0 {place(width)} {place(height)}"}
        self.root = Element("svg", {"role": "img", "class": kind, **size})
        SubElement(self.root, "title").text = title
        SubElement(self.root, "desc").text = description

    def add(self, tag: str, text: str = "", told: str = "", tone: str = "", **attributes: Attribute) -> Element:
        """A shape, with a text in it, what is told when it is pointed at, and a class of the style sheet."""
        given = {name.replace("_", "-"): value for name, value in attributes.items()}
        texts = {name: value if isinstance(value, str) else place(value) for name, value in given.items()}
        element = SubElement(self.root, tag, {**({"class": tone} if tone else {}), **texts})
        element.text = text or None
        if told:
            SubElement(element, "title").text = told
        return element

    def line(self, x1: float, y1: float, x2: float, y2: float, tone: str, told: str = "") -> None:
        self.add("line", told=told, tone=tone, x1=x1, y1=y1, x2=x2, y2=y2)

    def text(self, x: float, y: float, text: str, tone: str = "", anchor: str = "start", told: str = "") -> Element:
        aligned: dict[str, Attribute] = {} if anchor == "start" else {"text_anchor": anchor}
        return self.add("text", text, told, tone, x=x, y=y, **aligned)

    def markup(self) -> Markup:
        """The image as a part of a page; whatever texts hold is text there."""
        return Markup(tostring(self.root, encoding="unicode"))


# --- points and lines on two axes ----------------------------------------------------------------------


@dataclass(frozen=True)
class Axis:
    """What an axis shows: its ends, and ticks as places with their labels."""

    label: str
    low: float
    high: float
    ticks: Sequence[tuple[float, str]]

    def __call__(self, value: float, start: float, end: float) -> float:
        """Where the value lies between two ends in pixels."""
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return start + min(max(share, 0.0), 1.0) * (end - start)


@dataclass(frozen=True)
class Point:
    """A value, what is told of it, its interval where there is one, and a name beside it where it has room."""

    x: float
    y: float
    told: str
    low: float = nan
    high: float = nan
    name: str = ""


@dataclass(frozen=True)
class Series:
    """Means that a line joins, and a dot a run."""

    tone: int
    means: Sequence[Point] = ()
    dots: Sequence[Point] = ()
    label: str = ""

    @property
    def colour(self) -> str:
        """The class of its colour."""
        return f"c{self.tone % COLOURS}"

    @property
    def mark(self) -> str:
        """The outline of its marks."""
        return MARKS[self.tone // COLOURS % len(MARKS)]


def linear_axis(label: str, values: Iterable[float], least: float | None = None, most: float | None = None) -> Axis:
    """An axis over all the values that are numbers, and over those bounds."""
    known = [value for value in (*values, least, most) if value is not None and isfinite(value)] or [0.0, 1.0]
    low, high = min(known), max(known)
    low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
    ticks = [float(tick) for tick in MaxNLocator(TICKS, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)]
    room = (high - low) / 50
    return Axis(label, low - room, high + room, [(tick, f"{tick:.10g}") for tick in ticks if low <= tick <= high])


def logarithmic_axis(label: str, values: Iterable[float]) -> Axis:
    """An axis of the logarithms of values above 0."""
    known = [value for value in values if value > 0]
    low, high = min(known), max(known)
    ticks = [float(tick) for tick in LogLocator(subs=(1, 2, 5)).tick_values(low, high) if low <= tick <= high]
    return Axis(label, log10(low), log10(high), [(log10(tick), f"{tick:g}") for tick in ticks])


def beta_places(betas: Iterable[float]) -> dict[float, float]:
    """Where each beta stands on an axis of its logarithm; 0 a doubling below the least of the others."""
    known = sorted({*betas})
    least = min((beta for beta in known if beta > 0), default=1.0)
    return {beta: log2(beta) if beta > 0 else log2(least) - 1 for beta in known}


def beta_axis(places: Mapping[float, float]) -> Axis:
    """An axis with a tick at each beta."""
    low, high = min(places.values()), max(places.values())
    return Axis("beta", low - 0.25, high + 0.25, [(x, f"{beta:.3g}") for beta, x in places.items()])


def draw_plot(
    title: str, description: str, series: Sequence[Series], x: Axis, y: Axis, levels: Mapping[str, float] | None = None
) -> Markup:
    """Points and lines on two axes.

    Args:
        levels: heights at which a line is drawn, by name.
    """
    drawing = Drawing("plot", WIDTH, HEIGHT, title, description)
    left, right, top, bottom = LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM
    for tick, label in y.ticks:
        height = y(tick, bottom, top)
        drawing.line(left, height, right, height, "grid")
        drawing.text(left - 6, height + 4, label, anchor="end")
    taken = 0.0
    for tick, label in x.ticks:
        across = x(tick, left, right)
        drawing.line(across, bottom, across, bottom + 4, "axis")
        half = LETTER * len(label) / 2
        if across - half >= taken:
            drawing.text(across, bottom + 17, label, anchor="middle")
            taken = across + half + TICK_ROOM
    drawing.line(left, bottom, right, bottom, "axis")
    drawing.text((left + right) / 2, HEIGHT - 6, x.label, "axis-label", "middle")
    for name, height in (levels or {}).items():
        if not y.low <= height <= y.high:
            continue
        level = y(height, bottom, top)
        drawing.line(left, level, right, level, "level", f"{name}: {height:.3g}")
        drawing.text(right, level - 3, name, "pale", "end")
    for own in series:
        _draw_series(drawing, own, lambda value: x(value, left, right), lambda value: y(value, bottom, top))
    return drawing.markup()


def _draw_series(
    drawing: Drawing, series: Series, across: Callable[[float], float], above: Callable[[float], float]
) -> None:
    known = [point for point in series.means if isfinite(point.y)]
    path = " ".join(f"{place(across(point.x))},{place(above(point.y))}" for point in known)
    if len(known) > 1:
        drawing.add("polyline", tone=f"line {series.colour}", points=path)
    for point in known:
        if not isnan(point.low):
            x = across(point.x)
            drawing.line(x, above(point.low), x, above(point.high), f"bar {series.colour}", point.told)
    taken = nan
    for point in known[::-1]:  # from the highest down, where a line rises
        x, y = across(point.x), above(point.y)
        if point.name and not abs(y - taken) < NAME_ROOM:
            drawing.text(x + 7, y + 4, point.name, "named")
            taken = y
    alone = "" if known else " alone"
    for kind, points in (("dot", series.dots), ("mean", known)):
        for point in points:
            if isfinite(point.y) and isfinite(point.x):
                moved = f"translate({place(across(point.x))},{place(above(point.y))})"
                drawing.add(
                    "path", told=point.told, tone=f"{kind} {series.colour}{alone}", d=series.mark, transform=moved
                )


# --- rows --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """A row of a figure: its label, its value and interval, and what is told of it."""

    label: str
    value: float
    told: str
    low: float = nan
    high: float = nan
    strong: bool = False


def draw_intervals(title: str, description: str, lines: Sequence[Line], axis: Axis) -> Markup:
    """A row each: a mark at the value, and a line over its interval."""
    left = _label_room(line.label for line in lines)
    width, height = left + WIDTH, BAR * len(lines) + BOTTOM
    drawing = Drawing("rows", width, height, title, description)
    for tick, label in axis.ticks:
        x = axis(tick, left, width - RIGHT)
        drawing.line(x, 0, x, height - BOTTOM, "grid")
        drawing.text(x, height - BOTTOM + 15, label, anchor="middle")
    drawing.text((left + width) / 2, height - 6, axis.label, "axis-label", "middle")
    for number, line in enumerate(lines):
        y, tone = BAR * (number + 0.5), "c0" if line.strong else "plain"
        drawing.text(left - 8, y + 4, shorten(line.label), "strong" if line.strong else "", "end", line.label)
        if not isnan(line.low):
            ends = (axis(end, left, width - RIGHT) for end in (line.low, line.high))
            drawing.line(next(ends), y, next(ends), y, f"bar {tone}", line.told)
        moved = f"translate({place(axis(line.value, left, width - RIGHT))},{place(y)})"
        drawing.add("path", told=line.told, tone=f"mean {tone}", d=MARKS[0], transform=moved)
    return drawing.markup()


@dataclass(frozen=True)
class Stack:
    """A row of parts that lie end to end, each a length, what is told of it, and a colour's number."""

    label: str
    parts: Sequence[tuple[float, str, int]]
    beside: str = ""


def draw_stacks(title: str, description: str, stacks: Sequence[Stack], most: float) -> Markup:
    """A row of bars each, as long as their share of the most."""
    left, room = _label_room(stack.label for stack in stacks), _label_room(stack.beside for stack in stacks)
    length = WIDTH * 0.7
    drawing = Drawing("rows", left + length + room, BAR * len(stacks) + 4, title, description)
    for number, stack in enumerate(stacks):
        x, y = left, BAR * number
        drawing.text(left - 8, y + 15, shorten(stack.label), anchor="end", told=stack.label)
        for size, told, tone in stack.parts:
            width = length * size / most if most > 0 else 0.0
            drawing.add("rect", told=told, tone=f"part c{tone}", x=x, y=y + 3, width=max(width, 0.0), height=BAR - 6)
            x += width
        drawing.text(x + 6, y + 15, stack.beside, "pale")
    return drawing.markup()


def show_share(value: float) -> str:
    """A number from -1 to 1 to two digits, as short as a cell is narrow."""
    return f"{round(value, 2) + 0.0:.2f}".replace("0.", ".", 1)


def _label_room(labels: Iterable[str]) -> float:
    return 14 + LETTER * max((len(shorten(label)) for label in labels), default=0)


# --- matrices ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cell:
    """A cell of a matrix: how much of which colour, its text, and what is told of it."""

    strength: float
    text: str
    told: str
    tone: int = 0


@dataclass(frozen=True)
class Matrix:
    """Names of rows and columns, and the cells that there are, by both."""

    rows: Sequence[str]
    columns: Sequence[str]
    cells: Mapping[tuple[str, str], Cell] = field(default_factory=dict)


def draw_matrix(title: str, description: str, matrix: Matrix) -> Markup:
    """A heat map whose cells have their values written in them."""
    wide, tall = CELL
    left = _label_room(matrix.rows)
    above = 8 + 0.72 * _label_room(matrix.columns)
    slant = 0.72 * LETTER * max((len(shorten(name)) for name in matrix.columns[-4:]), default=0)
    size = (left + wide * len(matrix.columns) + slant, above + tall * len(matrix.rows) + 2)
    drawing = Drawing("matrix", *size, title, description)
    for number, name in enumerate(matrix.columns):
        x, y = left + wide * (number + 0.5), above - 6
        label = drawing.text(0, 0, shorten(name), told=name)
        label.set("transform", f"translate({place(x)},{place(y)}) rotate(-45)")
    for row, name in enumerate(matrix.rows):
        y = above + tall * row
        drawing.text(left - 8, y + tall / 2 + 4, shorten(name), anchor="end", told=name)
        for column, other in enumerate(matrix.columns):
            if (cell := matrix.cells.get((name, other))) is None:
                continue
            x, strength = left + wide * column, min(max(cell.strength, 0.0), 1.0)
            box: dict[str, Attribute] = {"x": x + 0.5, "y": y + 0.5, "width": wide - 1, "height": tall - 1}
            drawing.add("rect", "", cell.told, f"cell c{cell.tone}", **box, fill_opacity=strength)
            drawing.text(x + wide / 2, y + tall / 2 + 4, cell.text, "value")  # which the page's style centres
    return drawing.markup()


# --- how the paper's metric is computed --------------------------------------------------------------

SHAPES = ("M-9,-9h18v18h-18z", "M-11,0a11,7 0 1,0 22,0a11,7 0 1,0 -22,0z", "M0,9l-9,-9a5,5 0 0,1 9,-5a5,5 0 0,1 9,5z")
PAIRS = (((0, -9, -7), (1, 8, 5)), ((2, 6, -8), (0, -8, 6)), ((1, -6, 8), (2, 8, -6)))  # shape, x, y of both images
DIFFERENCES = ((0.82, 0.55, 0.07, 0.7), (0.45, 0.88, 0.04, 0.6), (0.7, 0.4, 0.1, 0.9))  # of each pair's four latents
METRIC_TITLE = "How the beta-VAE score is computed"
METRIC_TOLD = (
    "Pairs of images share one factor, here the size, and differ in all others. Both are encoded; the absolute "
    "differences of their codes are averaged over the pairs, which gives one point. Where one latent holds the shared "
    "factor its difference stays small. A linear classifier tells from the point which factor was shared; the score is "
    "how often it is right."
)


def draw_beta_vae_score() -> Markup:
    """Pairs that share a factor, differences of their codes, their average, a linear classifier."""
    drawing = Drawing("diagram", 760, 262, METRIC_TITLE, METRIC_TOLD)
    stages = ((10, "1  pairs share a factor"), (205, "2  differences of codes"), (425, "3  their average: a point"))
    for x, label in (*stages, (600, "4  a linear classifier")):
        drawing.text(x, 18, label, "strong")
    for row, (pair, differences) in enumerate(zip(PAIRS, DIFFERENCES, strict=True)):
        top = 34 + row * 66
        for column, (shape, x, y) in enumerate(pair):
            left = 10 + column * 64
            drawing.add("rect", tone="frame", x=left, y=top, width=56, height=56, rx=3)
            moved = f"translate({left + 28 + x},{top + 28 + y})"
            drawing.add("path", tone="sprite", d=SHAPES[shape], transform=moved)
        _arrow(drawing, 148, top + 28, 200)
        _draw_differences(drawing, 210, top + 4, differences)
        drawing.line(322, top + 28, 400, 128, "flow")
    drawing.text(10, 246, "same size, all else differs", "pale")
    drawing.text(258, 246, "|z(left) - z(right)|", "pale", "middle")
    averages = tuple(sum(column) / len(DIFFERENCES) for column in zip(*DIFFERENCES, strict=True))
    _arrow(drawing, 400, 128, 424)
    _draw_differences(drawing, 434, 84, averages, scale=88)
    drawing.text(484, 196, "z2 hardly differs:", "pale", "middle")
    drawing.text(484, 211, "it holds the size", "pale", "middle")
    _arrow(drawing, 546, 128, 596)
    for row, name in enumerate(("shape", "size", "rotation", "position x", "position y")):
        y = 62 + row * 32
        right = name == "size"
        drawing.line(604, 128, 648, y, "flow chosen" if right else "flow")
        drawing.add("rect", tone="frame chosen" if right else "frame", x=648, y=y - 12, width=92, height=24, rx=12)
        drawing.text(694, y + 4, name, "strong" if right else "", "middle")
    drawing.text(680, 246, "score: how often it is right", "pale", "middle")
    return drawing.markup()


def _arrow(drawing: Drawing, x: float, y: float, end: float) -> None:
    drawing.line(x, y, end - 5, y, "flow")
    drawing.add("path", tone="head", d=f"M{place(end)},{place(y)}l-8,-4v8z")


def _draw_differences(drawing: Drawing, x: float, y: float, sizes: Sequence[float], scale: float = 44) -> None:
    """A bar a latent; the least is marked."""
    for latent, size in enumerate(sizes):
        tone = "part c1" if size == min(sizes) else "part c0"
        left, tall = x + latent * 26, scale * size
        drawing.add("rect", f"z{latent}: {size:.2f}", tone=tone, x=left, y=y + scale - tall, width=18, height=tall)
        drawing.text(left + 9, y + scale + 10, f"z{latent}", "pale", "middle")
    for start, end in pairwise((x - 4, x + 26 * len(sizes) - 4)):
        drawing.line(start, y + scale, end, y + scale, "axis")
