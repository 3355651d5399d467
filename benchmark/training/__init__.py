"""One pack of runs trained on one device: the loop that anyone can read, and how it is computed. Knows no folder."""
