"""Makes .typetree: the packages as links, laid out the way they are imported.

Type checkers do not read setuptools' ``package-dir``. In this tree they find ``xbarc.passes`` and ``xbarc.runtime``
where Python would, and read the checkout's own files.
"""

import shutil
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TREE = ROOT / ".typetree"


def make_tree() -> None:
    """Make the tree anew. A folder that holds others is a folder of links, any other is one link."""
    folders = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-dir"]
    shutil.rmtree(TREE, ignore_errors=True)
    for package, folder in folders.items():
        place = TREE.joinpath(*package.split("."))
        if any(other.startswith(f"{package}.") for other in folders):
            place.mkdir(parents=True)
            for child in (ROOT / folder).iterdir():
                (place / child.name).symlink_to(child)
        else:
            place.symlink_to(ROOT / folder)


if __name__ == "__main__":
    make_tree()
