"""Environments of the other servers; the first run builds them from PyPI and npm, and later runs use them again."""

import json
import shutil
import sys
import venv
from pathlib import Path

from benchmarks.processes import BenchmarkError, output

CACHE = Path("~/.cache/inkbox-mcp-benchmarks")

_SECONDS_TO_INSTALL = 300
_NPM_PACKAGES = ("@modelcontextprotocol/sdk@1", "zod@3", "esbuild@0")


def python_environment(directory: Path, requirement: str) -> str:
    """Return the Python interpreter of an environment in which a requirement is installed.

    Raises:
        BenchmarkError: the environment cannot be built.
    """
    python, ready = directory / "bin" / "python", directory / "ready"
    if not ready.exists():
        sys.stderr.write(f"building {directory} from PyPI, once\n")
        venv.create(directory, clear=True, with_pip=True)
        _output([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement])
        ready.touch()
    return str(python)


def distribution_version(python: str, distribution: str) -> str:
    """Return the version of a distribution in an environment.

    Raises:
        BenchmarkError: the distribution is not installed.
    """
    return _output([python, "-c", f"import importlib.metadata as m; print(m.version({distribution!r}))"])


def typescript_bundle(directory: Path, source: Path) -> tuple[Path, str]:
    """Return a bundle of a server with the TypeScript SDK, and the SDK's version.

    Raises:
        BenchmarkError: Node is missing, or the bundle cannot be built.
    """
    ready, bundle = directory / "ready", directory / "server.mjs"
    if not ready.exists():
        sys.stderr.write(f"building {directory} from npm, once\n")
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        (directory / "package.json").write_text('{"private": true}')
        _output([_node("npm"), "install", "--silent", "--no-audit", "--no-fund", *_NPM_PACKAGES], directory)
        ready.touch()
    modules = directory / "node_modules"
    # esbuild looks for packages next to the source.
    copy = shutil.copy(source, directory / source.name)
    # CommonJS modules in the bundle use `require` for Node's own modules.
    require = "import{createRequire}from'node:module';const require=createRequire(import.meta.url);"
    options = ["--bundle", "--minify", "--platform=node", "--format=esm", f"--banner:js={require}"]
    command = [str(modules / ".bin" / "esbuild"), str(copy), *options, f"--outfile={bundle}"]
    _output([*command, "--log-level=error"], directory)
    return bundle, json.loads((modules / "@modelcontextprotocol" / "sdk" / "package.json").read_text())["version"]


def _node(program: str) -> str:
    if not (found := shutil.which(program)):
        raise BenchmarkError(f"{program} is missing: install Node 20 or later with npm")
    return found


def _output(command: list[str], directory: Path | None = None) -> str:
    return output(command, _SECONDS_TO_INSTALL, directory)
