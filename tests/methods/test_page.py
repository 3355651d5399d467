"""docs/methods.md is what methods declare and do, and not what they once did."""

import methods
from tests.benchmarks.methods_page import CHOOSING, PAGE, page


def test_the_page_is_made_of_what_is_declared():
    assert PAGE.read_text() == page(), "it is made anew by python -m tests.benchmarks.methods_page"


def test_every_method_stands_where_a_reader_chooses():
    left = {name for name in methods.names() if f"`{name}`" not in CHOOSING}
    assert left == {"dipvae_ii", "vae"}  # beside dipvae_i, and betavae at 1
