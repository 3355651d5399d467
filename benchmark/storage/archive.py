"""What is kept of runs where their models are too large to keep: enough for tables, figures and new metrics."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from benchmark.datasets.worlds import PARTS
from benchmark.storage.store import PICTURED, RUNS, RunFolder, codes_file, stored_runs, write_atomically

OF_EACH = ("spec.json", "submission.json", "scores.json", "environment.json", "agreement.json", "status.json")
SCORED = tuple(codes_file(part) for part in ("", *PARTS))


def archive_runs(out: Path, to: Path, codes: int, pictures: int) -> tuple[int, int]:
    """Copy the finished runs under `out` into the output folder `to`, without their models.

    Tables and figures of the copy are those of the runs, byte for byte, as long as every configuration keeps the
    pictures of its first seed; a metric can be scored anew where codes are kept.

    Args:
        codes: the seeds of each configuration, from the lowest, that keep the codes of their scored rows.
        pictures: the seeds that keep their pictures and history.

    Returns:
        How many runs there are, and their size in bytes.
    """
    size, count = 0, 0
    for place, folder in _by_seed(out):
        names = OF_EACH + (PICTURED if place < pictures else ()) + (SCORED if place < codes else ())
        for name in names:
            if (folder.path / name).is_file():
                content = (folder.path / name).read_bytes()
                write_atomically(to / RUNS / folder.path.name / name, content)
                size += len(content)
        count += 1
    return count, size


def _by_seed(out: Path) -> Iterator[tuple[int, RunFolder]]:
    """Every finished run, and how many of its configuration have a lower seed."""
    groups = defaultdict(list)
    for folder in stored_runs(out):
        if folder.finished and folder.identified:
            groups[folder.configuration].append(folder)
    for folders in groups.values():
        yield from enumerate(sorted(folders, key=lambda folder: folder.read_json("spec.json").get("seed", 0)))
