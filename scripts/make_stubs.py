"""Writes the type stubs of deeplight._native into python/deeplight/_native/.

    python scripts/make_stubs.py [--check]

--check writes nothing and fails when the stubs in the tree are not those of the built extension.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "python" / "deeplight" / "_native"


def generated() -> dict[str, str]:
    """File names and texts, as the extension on the path has them."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [
                *(sys.executable, "-m", "pybind11_stubgen", "deeplight._native", "-o", folder),
                *("--ignore-all-errors", "--numpy-array-use-type-var"),
            ],
            check=True,
            capture_output=True,
        )
        found = (Path(folder) / "deeplight" / "_native").glob("*.pyi")
        return {path.name: path.read_text() for path in found}


def main() -> None:
    """Writes the stubs, or checks them."""
    stubs = generated()
    if "--check" in sys.argv[1:]:
        present = {path.name: path.read_text() for path in FOLDER.glob("*.pyi")}
        stale = sorted(name for name in {*stubs, *present} if stubs.get(name) != present.get(name))
        if stale:
            sys.exit(f"stale stubs: {', '.join(stale)}; run ./dev stubs")
        return
    FOLDER.mkdir(exist_ok=True)
    for name, text in stubs.items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()
