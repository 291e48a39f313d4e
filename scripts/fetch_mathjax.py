"""Lay MathJax, out of its pinned npm package, into a folder: python scripts/fetch_mathjax.py FOLDER

With it the pages draw their formulas without a network.  Where there is no npm, or it can't reach its
registry, a line of script takes MathJax's place that loads it from the public CDN, and the build says so.
"""

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

VERSION = "3.2.2"
SHA256 = "1b9c0a1c44df864e915690558e72adb9cc5203360daefd385084ced3b6c64c09"  # of the package as npm packs it
ENTRY = "tex-mml-chtml.js"
FONTS = "output/chtml/fonts/woff-v2/"
FROM_CDN = f"""document.head.appendChild(Object.assign(document.createElement("script"),
  {{src: "https://cdn.jsdelivr.net/npm/mathjax@{VERSION}/es5/{ENTRY}"}}));
"""


def packed(folder: Path) -> Path | None:
    """The package as npm fetched it into `folder`, or None where it can't."""
    if not (npm := shutil.which("npm")):
        return None
    fetched = subprocess.run([npm, "pack", f"mathjax@{VERSION}", "--silent", "--pack-destination", str(folder)],
                             capture_output=True, text=True)
    return next(folder.glob("*.tgz"), None) if fetched.returncode == 0 else None


def lay(package: Path, folder: Path) -> None:
    """Unpack what the pages need: the entry script, its fonts and the licence.  Raises ValueError on another hash."""
    if (found := hashlib.sha256(package.read_bytes()).hexdigest()) != SHA256:
        raise ValueError(f"mathjax@{VERSION} has the SHA-256 {found}, not {SHA256}: not used")
    with tarfile.open(package) as files:
        for member in files.getmembers():
            place = member.name.removeprefix("package/").removeprefix("es5/")
            if member.isfile() and (place in (ENTRY, "LICENSE") or place.startswith(FONTS)):
                (folder / place).parent.mkdir(parents=True, exist_ok=True)
                (folder / place).write_bytes(files.extractfile(member).read())


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as part:
        if package := packed(Path(part)):
            lay(package, folder)
        else:
            print(f"no npm that can fetch mathjax@{VERSION}: formulas will come from the public CDN, so reading them "
                  "needs a network")
            (folder / ENTRY).write_text(FROM_CDN)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
