"""The room of Shapes3D: what a ray from the camera meets, and how much light falls there.

Nothing here has a colour. The 480 views differ in scale, shape and orientation; hues are put on what
this file tells of a view. The figures were fitted to 30 images of the published set: it is a room
without a ceiling, lit by a lamp at the camera and a spotlight above, with light worked out at the corners of facets and
blended between them, as old graphics hardware did it.

Unit of length: the distance from the camera to the axis that the object stands on. x and y lie in the
floor z = 0, z points up, and walls are at right angles to x and y.
"""

from dataclasses import dataclass

import numpy as np

SAMPLES = 192  # along each side of a picture, before it is shrunk: of 2 to 8 a pixel, 3 fit by far the best

# The camera looks level at the axis. Lengths in the picture are in pixels of 64.
CAMERA_HEIGHT = 0.2981
FOCAL_LENGTH = 69.23
CENTRE_X, CENTRE_Y = 31.991, 31.954

WALL_DISTANCE = 1.3896  # from the axis
WALL_HEIGHT = 0.7899

CUBE, CYLINDER, SPHERE, CAPSULE = range(4)
# At scale 1: half of the cube's side, which is twice that high, and the radii of the others.
RADII = (0.1389, 0.1487, 0.1681, 0.1282)
HEIGHTS = (2, 2, 2, 4.015)  # in radii

# Facets of round objects, by which light is blended: around the upright axis, and from pole to pole.
SLICES, STACKS = 28, 16

# Light, as a share of full colour.
AMBIENT = 0.3499
HEADLIGHT = 0.5941  # on what faces the camera
LAMP = 0.9623
LAMP_GLOSS = 0.1508  # of white, on objects alone, wherever the lamp is seen
LAMP_PLACE = np.array([-0.5706, 0.1897, 2.8826])
LAMP_FOCUS = 10  # it points straight down, and fades by this power of the cosine

# A square tile, as wide as walls are high, is repeated on the floor, from the axis, and on each wall, from its middle:
# a honeycomb of 8 by 10 cells, and a darker smudge of two strokes. Lengths in tiles, from the middle of one.
CELLS = np.array([8, 10])
FLOOR_CONTRAST, WALL_CONTRAST = 0.0102, 0.0111
SMUDGE = 0.059  # of the light is taken
# From, to, and half the width.
STROKES = (((0.114, -0.021), (0.002, -0.044), 0.081), ((0.002, -0.044), (-0.141, -0.208), 0.053))

SKY, FLOOR, WALL, OBJECT = range(4)
UP = np.array([0.0, 0.0, 1.0])

Span = tuple[np.ndarray, np.ndarray]
Stroke = tuple[tuple[float, float], tuple[float, float], float]


@dataclass(frozen=True)
class View:
    """What geometry and light depend on: the object's scale and shape, and the camera's angle in radians.

    At a negative angle the camera stands to the left, and sees the right back corner of the room.
    """

    scale: float
    shape: int
    angle: float

    @property
    def radius(self) -> float:
        """The object's radius; half of a cube's side."""
        return RADII[self.shape] * self.scale

    @property
    def height(self) -> float:
        """The object's height."""
        return HEIGHTS[self.shape] * self.radius

    @property
    def forward(self) -> np.ndarray:
        """The direction that the camera looks in: (3,)."""
        return np.array([-np.sin(self.angle), np.cos(self.angle), 0])


@dataclass(frozen=True)
class Shading:
    """A view's samples, rows downward, each (SAMPLES, SAMPLES).

    Attributes:
        surface: SKY, FLOOR, WALL or OBJECT.
        light: the factor by which a surface's colour is multiplied; 0 for the sky.
        gloss: white light that is added, 1 being full.
    """

    surface: np.ndarray
    light: np.ndarray
    gloss: np.ndarray


def shade(view: View) -> Shading:
    """Cast a ray through each sample of the view and light what it meets."""
    camera = CAMERA_HEIGHT * UP - view.forward
    rays = _rays(view)
    surface, distance, normals = _meet_room(camera, rays)
    to_object = _distance_to_object(view, camera, rays)
    surface = np.where(to_object < distance, OBJECT, surface)
    points = camera + np.minimum(to_object, distance)[..., None] * rays
    light, gloss = np.zeros(surface.shape), np.zeros(surface.shape)
    room, on_object = (surface == FLOOR) | (surface == WALL), surface == OBJECT
    light[room] = _light_on_room(view, points[room], normals[room])
    light[on_object], gloss[on_object] = _light_on_object(view, points[on_object])
    return Shading(surface, light, gloss)


def _rays(view: View) -> np.ndarray:
    """Directions through the middles of the samples, of length 1 along the camera's axis: (rows, columns, 3)."""
    places = (np.arange(SAMPLES) + 0.5) * 64 / SAMPLES
    right = np.array([np.cos(view.angle), np.sin(view.angle), 0])
    across = (places - CENTRE_X)[None, :, None] / FOCAL_LENGTH
    down = (places - CENTRE_Y)[:, None, None] / FOCAL_LENGTH
    return view.forward + across * right - down * UP


# --- what a ray meets --------------------------------------------------------------------------------


def _meet_room(camera: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The surface (SKY, FLOOR or WALL) behind the object, the distance to it in lengths of the ray, and its normal."""
    with np.errstate(divide="ignore"):
        to_floor = np.where(rays[..., 2] < 0, -camera[2] / rays[..., 2], np.inf)
        to_walls = (np.copysign(WALL_DISTANCE, rays[..., :2]) - camera[:2]) / rays[..., :2]
    to_wall = to_walls.min(-1)
    above = camera[2] + to_wall * rays[..., 2] > WALL_HEIGHT
    surface = np.where(to_floor < to_wall, FLOOR, np.where(above, SKY, WALL))
    normals = np.zeros(rays.shape)
    normals[..., 2] = surface == FLOOR
    hit = (surface == WALL)[..., None] & (to_walls == to_wall[..., None])
    normals[..., :2] = np.where(hit, -np.sign(rays[..., :2]), 0)
    return surface, np.minimum(to_floor, to_wall), normals


def _distance_to_object(view: View, start: np.ndarray, rays: np.ndarray) -> np.ndarray:
    """How far from its start each ray enters the object, in lengths of the ray; infinite where it misses."""
    radius, height = view.radius, view.height
    if view.shape == CUBE:
        sides = (_within(start[..., k], rays[..., k], -radius, radius) for k in (0, 1))
        return _entry(*sides, _within(start[..., 2], rays[..., 2], 0, height))
    if view.shape == SPHERE:
        return _entry(_within_ball(start - radius * UP, rays, radius))
    tube = _within_ball(start[..., :2], rays[..., :2], radius)
    if view.shape == CYLINDER:
        return _entry(tube, _within(start[..., 2], rays[..., 2], 0, height))
    ends = [_entry(_within_ball(start - z * UP, rays, radius)) for z in (radius, height - radius)]
    return np.minimum(np.minimum(*ends), _entry(tube, _within(start[..., 2], rays[..., 2], radius, height - radius)))


def _entry(*spans: Span) -> np.ndarray:
    """Where a ray enters what all the spans have in common; infinite where they have nothing."""
    enter = np.maximum.reduce([span[0] for span in spans])
    leave = np.minimum.reduce([span[1] for span in spans])
    return np.where(enter < leave, enter, np.inf)


def _within(start: np.ndarray, step: np.ndarray, low: float, high: float) -> Span:
    """The span of t in which low <= start + t step <= high."""
    with np.errstate(divide="ignore"):
        ends = (low - start) / step, (high - start) / step
    return np.minimum(*ends), np.maximum(*ends)


def _within_ball(start: np.ndarray, step: np.ndarray, radius: float) -> Span:
    """The span of t in which |start + t step| <= radius; from infinity to itself where there is none."""
    a, b, c = (step**2).sum(-1), (start * step).sum(-1), (start**2).sum(-1) - radius**2
    inside = b * b - a * c
    root = np.sqrt(inside, where=inside > 0, out=np.full(inside.shape, np.inf))
    return np.where(inside > 0, (-b - root) / a, np.inf), (-b + root) / a


# --- light -------------------------------------------------------------------------------------------


def _light_on_room(view: View, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Light at points (M, 3) of floor and walls: (M,). The object's shadow, hard-edged, falls on the floor alone."""
    lamp, _ = _lamp(points, normals)
    floor = normals[:, 2] > 0
    towards_lamp = LAMP_PLACE - points[floor]
    lamp[floor] *= np.isinf(_distance_to_object(view, points[floor], towards_lamp))
    return (_steady(view, normals) + lamp) * _texture(points, normals)


def _texture(points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """What floor and walls make of the light at points (M, 3): factors about 1, (M,)."""
    floor = normals[:, 2] > 0
    # Along a wall, to the right as it is seen from within.
    along = points[:, 1] * normals[:, 0] - points[:, 0] * normals[:, 1]
    on_wall = np.stack([points[:, 2] - WALL_HEIGHT / 2, -along], axis=1)
    tiles = np.where(floor[:, None], points[:, :2], on_wall) / WALL_HEIGHT
    phases = np.pi * CELLS * tiles
    honeycomb = np.cos(2 * phases[:, 1]) + 2 * np.cos(phases[:, 1]) * np.cos(2 * phases[:, 0])
    smudged = np.any([_under(stroke, tiles) for stroke in STROKES], axis=0)
    return 1 + np.where(floor, FLOOR_CONTRAST, WALL_CONTRAST) * honeycomb - SMUDGE * smudged


def _under(stroke: Stroke, tiles: np.ndarray) -> np.ndarray:
    """Whether places (M, 2), in tiles, are under a stroke, which is round at both ends: (M,)."""
    start, end, width = np.array(stroke[0]), np.array(stroke[1]), stroke[2]
    step = end - start
    # The tile's repetition in which a place is nearest to the stroke's middle.
    middle = (start + end) / 2
    offsets = (tiles - middle + 0.5) % 1 - 0.5 + middle - start
    nearest = (offsets @ step / (step @ step)).clip(0, 1)[:, None] * step
    return ((offsets - nearest) ** 2).sum(1) < width**2


def _light_on_object(view: View, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Light and gloss (M,) at points (M, 3) of the object, blended between the corners of facets.

    All four corners of a cube's facet have the same normal, and light hardly differs within a side.
    """
    normals = _normals(view, points)
    if view.shape == CUBE:
        lamp, gloss = _lamp(points, normals)
        return _steady(view, normals) + lamp, gloss
    light, gloss = np.zeros(len(points)), np.zeros(len(points))
    for share, corner in _corners(normals):
        lamp, shine = _lamp(points + view.radius * (corner - normals), corner)
        light += share * (_steady(view, corner) + lamp)
        gloss += share * shine
    return light, gloss


def _normals(view: View, points: np.ndarray) -> np.ndarray:
    """The object's normals at points (M, 3) of it, pointing outward: (M, 3)."""
    radius, height = view.radius, view.height
    if view.shape == CUBE:
        offsets = points - radius * UP
        return np.sign(offsets) * (np.abs(offsets) == np.abs(offsets).max(-1, keepdims=True))
    normals = points / radius
    if view.shape == CYLINDER:
        top = points[:, 2] > height * (1 - 1e-6)
        return np.where(top[:, None], UP, normals * (1 - UP))
    normals[:, 2] = (points[:, 2] - points[:, 2].clip(radius, height - radius)) / radius
    return normals


def _corners(normals: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """The four corners of each normal's facet: the share (M,) each has in the blend, and its normal (M, 3)."""
    turn = np.arctan2(normals[:, 1], normals[:, 0]) * SLICES / (2 * np.pi)
    tilt = np.arccos(normals[:, 2].clip(-1, 1)) * STACKS / np.pi
    corners = []
    for turned in (np.floor(turn), np.floor(turn) + 1):
        for tilted in (np.floor(tilt), np.floor(tilt) + 1):
            share = (1 - np.abs(turn - turned)) * (1 - np.abs(tilt - tilted))
            azimuth, polar = turned * 2 * np.pi / SLICES, tilted * np.pi / STACKS
            flat = np.sin(polar)
            corners.append((share, np.stack([np.cos(azimuth) * flat, np.sin(azimuth) * flat, np.cos(polar)], axis=1)))
    return corners


def _steady(view: View, normals: np.ndarray) -> np.ndarray:
    """Light without the lamp, of the surroundings and from the camera, on normals (M, 3): (M,)."""
    return AMBIENT + HEADLIGHT * np.maximum(0, -normals @ view.forward)


def _lamp(points: np.ndarray, normals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lamp's light, and its gloss, at points (M, 3) with their normals: (M,) each."""
    towards = LAMP_PLACE - points
    towards /= np.linalg.norm(towards, axis=-1, keepdims=True)
    beam = np.maximum(0, towards[:, 2]) ** LAMP_FOCUS
    faced = (normals * towards).sum(-1)
    return LAMP * beam * np.maximum(0, faced), LAMP_GLOSS * beam * (faced > 0)
