"""The front door: `python run_benchmark.py --help`."""

import gc
import sys

if __name__ == "__main__":
    gc.disable()  # nothing that is imported is garbage, and to look for it takes a fifth of the start
    from benchmark.cli import main

    gc.freeze()
    gc.enable()
    sys.exit(main())
