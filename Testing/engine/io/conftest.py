from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for grids.py


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder with real images."""
    folder = os.environ.get("DALESEGMENT_DATA")
    if not folder:
        pytest.skip("DALESEGMENT_DATA is not set: no real images")
    return Path(folder)


@pytest.fixture
def refused():
    """`with refused("code", "words"):` expects an EngineError with that code and a fit sentence."""
    from contextlib import contextmanager

    from DALESegmentLib.engine.core.errors import EngineError

    @contextmanager
    def expect(code: str, *words: str):
        with pytest.raises(EngineError) as caught:
            yield
        sentence = caught.value.sentence
        assert caught.value.code == code, sentence
        assert sentence[0].isupper() or sentence.split()[0].count(".") or sentence[0].isalnum()
        assert sentence.endswith(".")
        assert "/" not in sentence.replace(" / ", ""), f"a path in: {sentence}"
        assert "ITK" not in sentence
        for word in words:
            assert word in sentence, sentence

    return expect
