"""The tiny run's configuration as a file."""

import pytest
from tiny_run import CONFIG


@pytest.fixture
def config_file(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(CONFIG)
    return path
