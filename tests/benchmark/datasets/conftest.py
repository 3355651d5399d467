"""What the tests of published files share: folders of their own, and what a refusal must be like."""

import pytest

from benchmark.errors import UsageError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DISENTANGLEMENT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.fixture
def refused(cache):
    """Try something that is to be refused in one sentence, leaving nothing half-written; the sentence."""

    def attempt(call, match):
        with pytest.raises(UsageError, match=match) as caught:
            call()
        text = str(caught.value)
        assert text.isprintable()
        assert text.endswith(".")
        assert not [*cache.glob("*.bits"), *cache.glob("*.tmp")]
        return text

    return attempt
