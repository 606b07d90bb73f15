"""`python -m deploy.installers [FOLDER]`: builds what a release publishes besides the packages, into `dist/`.

These are the bundle, its checksum, and the registry's entry with that checksum.
"""

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.installers.bundle import write_bundle
from deploy.installers.listings import as_json, registry_entry
from deploy.installers.project import BUNDLE, ROOT


def main(arguments: Sequence[str]) -> None:
    """Write the three files, and show the checksum as `sha256sum --check` reads it."""
    folder = Path(arguments[0]) if arguments else ROOT / "dist"
    folder.mkdir(parents=True, exist_ok=True)
    write_bundle(folder / BUNDLE)
    checksum = hashlib.sha256((folder / BUNDLE).read_bytes()).hexdigest()
    line = f"{checksum}  {BUNDLE}\n"
    (folder / f"{BUNDLE}.sha256").write_text(line, encoding="utf-8", newline="\n")
    (folder / "server.json").write_text(as_json(registry_entry(checksum)), encoding="utf-8", newline="\n")
    sys.stdout.write(line)


if __name__ == "__main__":
    main(sys.argv[1:])
