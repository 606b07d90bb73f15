"""The current official SDK, which does not share our code, against the identity generation of the sandbox.

It cannot share an environment with the SDK of the spec generation, so it has its own.
"""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from inkbox_mcp.sandbox import Store, create_app
from tests.support.sandbox_ports import serving

pytestmark = pytest.mark.slow

DRIVER = Path(__file__).with_name("sdk_current_driver.py")
SCENARIOS = re.findall(r"^def (\w+)\(inkbox: Any\)", DRIVER.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    """A sandbox on a free port, stopped cleanly."""
    with Store(":memory:") as store, serving(create_app(store, "identity")) as base_url:
        yield base_url


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_current_sdk(python_with_current_sdk: Path, base_url: str, scenario: str) -> None:
    """Each scenario of the driver ends without an error."""
    command = [python_with_current_sdk, "-I", DRIVER, base_url, scenario]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def test_every_scenario_is_found() -> None:
    """Each function of the driver that takes one client is a scenario."""
    assert len(SCENARIOS) == 19
    assert len(set(SCENARIOS)) == len(SCENARIOS)
