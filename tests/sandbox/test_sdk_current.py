"""The current official SDK, which does not share our code, against the identity generation of the sandbox.

It cannot share an environment with the SDK of the spec generation, so it has its own.
"""

import re
import subprocess
import sys
import threading
import venv
from collections.abc import Iterator
from pathlib import Path
from socket import socket

import pytest
import uvicorn

from inkbox_mcp.sandbox import Store, create_app

pytestmark = pytest.mark.slow

SDK = "inkbox==0.7.20"
DRIVER = Path(__file__).with_name("sdk_current_driver.py")
SCENARIOS = re.findall(r"^def (\w+)\(inkbox: Any\)", DRIVER.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with only the SDK."""
    home = tmp_path_factory.mktemp("sdk")
    venv.create(home, with_pip=True)
    python = home / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", SDK]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"THE CURRENT SDK WAS NOT TESTED: {SDK} cannot be installed here: {done.stderr.strip()[-500:]}")
    return python


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    """A sandbox on a free port, stopped cleanly."""
    with Store(":memory:") as store, socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()  # from now on connections wait for the server and are not refused
        app = create_app(store, "identity")
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_current_sdk(python: Path, base_url: str, scenario: str) -> None:
    """Each scenario of the driver ends without an error."""
    command = [python, "-I", DRIVER, base_url, scenario]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def test_every_scenario_is_found() -> None:
    """Each function of the driver that takes one client is a scenario."""
    assert len(SCENARIOS) == 19
    assert len(set(SCENARIOS)) == len(SCENARIOS)
