"""Worlds of papers by name, in the words that `benchmark.datasets.worlds` reads.

Factor values are told by their numbers, from 0. A name stands for a family of data sets: `mpi3d` for `mpi3d_toy`,
`mpi3d_real` and so on. Where a paper's code and its text differ the text is followed:

- Roth et al. 2023 ("Disentanglement of Correlated Factors via Hausdorff Factorized Support"): weights
  exp(-(a - b)^2 / (2 sigma^2)) on values scaled to [0, 1]. `conf` pairs one factor with every other.
- Träuble et al. 2021 ("On Disentangled Representations Learned from Correlated Data"), section 3: p(c1, c2) in
  proportion to exp(-(c2 - alpha c1)^2 / (2 sigma^2)) with alpha = max c2 / max c1, which on values scaled to [0, 1],
  where alpha is 1, is the formula above. Their released code draws a blurred line across the grid instead, off which
  probabilities are exactly 0. The letters are the paper's; the strength 0.1 is of its study of weak supervision.
- Montero et al. 2021 ("The role of Disentanglement in Generalisation"): what is tested and not trained on, by its
  first published ranges. The extrapolation of MPI3D's horizontal axis is not here: it leaves a value in neither part.

Schott et al. 2022 ("Visual Representation Learning Does Not Generalize Strongly Within the Same Domain") publish their
split as files; its cuts are in none of their texts.
"""

from collections.abc import Mapping

# Sizes by which the numbers of values below are told: a rule is for data sets that share those of its factors.
SIZES: Mapping[str, Mapping[str, int]] = {
    "shapes3d": {"floor_hue": 10, "wall_hue": 10, "object_hue": 10, "scale": 8, "shape": 4, "orientation": 15},
    "dsprites": {"shape": 3, "scale": 6, "orientation": 40, "position_x": 32, "position_y": 32},
    "mpi3d": {
        "object_color": 6,
        "object_shape": 6,
        "object_size": 2,
        "camera_height": 3,
        "background_color": 3,
        "horizontal_axis": 40,
        "vertical_axis": 40,
    },
}
Pairs = tuple[str, ...]  # each two factors, as in "shape:scale"


def _of_widths(names: Mapping[str, Pairs], widths: tuple[float, ...]) -> dict[str, str]:
    """Each of those names with each width, which ends it where there are several."""
    told = {width: f"_{width:g}" if len(widths) > 1 else "" for width in widths}
    return {
        f"{name}{told[width]}": ",".join(f"{pair}:{width:g}" for pair in pairs)
        for name, pairs in names.items()
        for width in widths
    }


USUAL, SEVERAL = (0.1,), (0.4, 0.1, 0.04)
CONFOUNDED = (0.2,)
STRENGTHS = (0.1, 0.2, 0.4, 0.7)

CORRELATED: Mapping[str, Mapping[str, str]] = {
    "shapes3d": _of_widths(
        {
            "roth2023_single_1": ("floor_hue:wall_hue",),
            "roth2023_single_2": ("shape:scale",),
            "roth2023_single_3": ("shape:wall_hue",),
            "roth2023_single_4": ("shape:object_hue",),
            "roth2023_double_3": ("shape:object_hue", "shape:scale"),
            "roth2023_triple_1": ("scale:orientation", "shape:wall_hue", "object_hue:floor_hue"),
            "roth2023_triple_2": ("object_hue:orientation", "shape:scale", "floor_hue:wall_hue"),
        },
        USUAL,
    )
    | _of_widths(
        {
            "roth2023_double_1": ("scale:floor_hue", "shape:wall_hue"),
            "roth2023_double_2": ("scale:shape", "floor_hue:wall_hue"),
        },
        SEVERAL,
    )
    | _of_widths(
        {"roth2023_conf_shape": ("shape:all",), "roth2023_conf_wall_hue": ("wall_hue:all",)},
        CONFOUNDED,
    )
    | _of_widths(
        {
            "traeuble2021_a": ("scale:orientation",),
            "traeuble2021_d": ("object_hue:scale",),
            "traeuble2021_e": ("object_hue:orientation",),
        },
        STRENGTHS,
    ),
    "dsprites": _of_widths(
        {
            "roth2023_single_1": ("shape:scale",),
            "roth2023_single_2": ("position_x:position_y",),
            "roth2023_single_3": ("shape:position_y",),
        },
        USUAL,
    )
    | _of_widths(
        {
            "roth2023_double_1": ("shape:position_x", "scale:position_y"),
            "roth2023_double_2": ("shape:scale", "position_x:position_y"),
        },
        SEVERAL,
    )
    | _of_widths(
        {"roth2023_conf_shape": ("shape:all",), "roth2023_conf_position_x": ("position_x:all",)},
        CONFOUNDED,
    )
    | _of_widths({"traeuble2021_b": ("orientation:position_x",)}, STRENGTHS),
    "mpi3d": _of_widths(
        {
            "roth2023_single_1": ("camera_height:background_color",),
            "roth2023_single_2": ("object_color:object_size",),
            "roth2023_single_3": ("horizontal_axis:vertical_axis",),
            "roth2023_triple_1": (
                "object_color:background_color",
                "camera_height:horizontal_axis",
                "object_shape:vertical_axis",
            ),
            "roth2023_triple_2": (
                "object_color:object_shape",
                "horizontal_axis:vertical_axis",
                "background_color:camera_height",
            ),
        },
        USUAL,
    )
    | _of_widths(
        {
            "roth2023_double_1": ("object_color:object_shape", "horizontal_axis:vertical_axis"),
            "roth2023_double_2": ("object_color:horizontal_axis", "object_shape:vertical_axis"),
        },
        SEVERAL,
    )
    | _of_widths(
        {f"roth2023_conf_{factor}": (f"{factor}:all",) for factor in ("object_shape", "horizontal_axis")},
        CONFOUNDED,
    ),
    "mpi3d_real": _of_widths({"traeuble2021_c": ("horizontal_axis:vertical_axis",)}, STRENGTHS),
    "cars3d": _of_widths(
        {
            "roth2023_single_1": ("elevation:azimuth",),
            "roth2023_single_2": ("elevation:object_type",),
            "roth2023_single_3": ("azimuth:object_type",),
        },
        (0.1, 0.2),
    )
    | _of_widths(
        {f"roth2023_conf_{factor}": (f"{factor}:all",) for factor in ("elevation", "azimuth", "object_type")},
        CONFOUNDED,
    ),
}

# Hues run 0, 0.1 .. 0.9 in Shapes3D, scale 0.75 .. 1.25, orientation -30 .. 30 degrees; positions of dSprites 0 .. 1,
# scale 0.5 .. 1, orientation 0 .. 360 degrees. Roth et al. scale values to [0, 1], so that shape 1 is the last one.
HELD_OUT: Mapping[str, Mapping[str, str]] = {
    "shapes3d": {
        "montero2021_extrapolation": "floor_hue>=5",
        "montero2021_range_shape_object_hue": "shape=3,object_hue>=5",
        "montero2021_range_shape_floor_hue": "shape=3,floor_hue>=5",
        "montero2021_range_object_hue_wall_hue": "object_hue>=8,wall_hue<=2",
        "montero2021_element": "object_hue>=8,wall_hue>=8,floor_hue>=8,scale>=5,shape=1,orientation>=12",
        "roth2023_shape_object_hue": "shape=3,object_hue>=5",
        "roth2023_floor_hue_wall_hue": "floor_hue<=2,wall_hue>=7",
        "roth2023_shape_wall_hue": "shape=3,wall_hue>=7",
        "roth2023_shape_floor_hue": "shape=3,floor_hue<=2",
    },
    "dsprites": {
        "montero2021_extrapolation": "position_x>=16",
        "montero2021_range": "shape=0,position_x>=16",
        # Orientations 13 and 26 are 120 and 240 degrees, which the open interval leaves out.
        "montero2021_element": "shape=1,scale>=2,orientation=14..25,position_x>=21,position_y>=21",
        "roth2023_shape_position_x": "shape=2,position_x>=16",
    },
    "mpi3d": {
        "montero2021_extrapolation_object_color": "object_color>=4",
        "montero2021_range_object_shape": "object_shape=2,horizontal_axis<=19",
        "montero2021_range_object_color": "object_color=2,horizontal_axis<=19",
        "montero2021_element": (
            "object_color=5,object_shape=2,object_size=1,camera_height=1,background_color=1,"
            "horizontal_axis>=36,vertical_axis>=36"
        ),
    },
}
