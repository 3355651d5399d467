"""What is found of a model: its codes of many images, metrics applied to them, pictures, agreement with its like."""

from benchmark.scoring.applying import apply_metric, chosen_metrics
from benchmark.scoring.encoding import (
    Rows,
    draw_rows,
    encode_probe,
    encode_rows,
    encode_table,
    measure,
    rows_of_run,
    score_encoder,
)
from benchmark.scoring.pictures import draw_pictures

__all__ = [
    "Rows",
    "apply_metric",
    "chosen_metrics",
    "draw_pictures",
    "draw_rows",
    "encode_probe",
    "encode_rows",
    "encode_table",
    "measure",
    "rows_of_run",
    "score_encoder",
]
