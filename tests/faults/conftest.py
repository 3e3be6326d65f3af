"""Results of every step, made once for the tests of a file."""

import pytest
from small_results import Results, build


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Results:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EQSSL_SCRATCH", str(tmp_path_factory.mktemp("scratch")))
        return build(tmp_path_factory.mktemp("built"))
