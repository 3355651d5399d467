"""The study's networks with batches of four, which show as much of a training loop as batches of 64 do."""

from dataclasses import replace

import pytest

from benchmark import presets


@pytest.fixture(scope="module", autouse=True)
def _small_batches():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(presets.PRESETS, "small", replace(presets.PRESETS["study_quick"], batch=4))
        yield
