"""What the tests of the sandbox share."""

import subprocess
import sys
import venv
from pathlib import Path

import pytest

CURRENT_SDK = "inkbox==0.7.20"


@pytest.fixture(scope="session")
def python_with_current_sdk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with only the current SDK, which this one's SDK excludes."""
    home = tmp_path_factory.mktemp("sdk")
    venv.create(home, with_pip=True)
    python = home / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", CURRENT_SDK]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode:
        why = done.stderr.strip()[-500:]
        pytest.skip(f"THE CURRENT SDK WAS NOT TESTED: {CURRENT_SDK} cannot be installed here: {why}")
    return python
