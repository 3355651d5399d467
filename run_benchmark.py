"""The front door: `python run_benchmark.py --help`."""

import gc
import sys

if __name__ == "__main__":
    # Nothing that is imported is garbage, and to look for it, now and at the end, takes a fifth of a start.
    gc.set_threshold(100_000)
    from benchmark.cli import main

    code = main()
    gc.freeze()
    sys.exit(code)
