"""What every process that carries out runs needs, imported once by the server that they are all forked from."""

import gc

gc.disable()  # nothing that is imported is garbage; to look for it takes a second here, and again at the end

import torch._dynamo  # noqa: E402, F401  torch's optimisers import it, in seconds

import benchmark.running.execution  # noqa: E402, F401
import methods  # noqa: E402
from benchmark import datasets  # noqa: E402
from metrics.base import load_libraries  # noqa: E402

methods.FOLDER.load()
datasets.FOLDER.load()
load_libraries()

gc.freeze()
gc.enable()
