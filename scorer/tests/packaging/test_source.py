"""The source distribution, built where there is only Rust and Python. Slow: `make wheels-test` runs it."""

import os
import sys

from conftest import artifact, install
from serving import score, served


def test_the_source_distribution_builds_with_cargo_and_serves(environment, tmp_path):
    programs = environment(os.path.realpath(sys.executable))
    (source,) = artifact("azureml_scorer-*.tar.gz")
    install(programs, source)
    with served(programs, tmp_path) as port:
        assert score(port, [1, 2, 3])["sum"] == 7
