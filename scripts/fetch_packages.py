"""Lay what the pages need of npm's packages into a folder: python scripts/fetch_packages.py FOLDER

MathJax draws formulas without a network; the others run the laboratory.  Each is pinned, and its hash checked.
Where there is no npm, or it can't reach its registry, the build says so: a line of script takes MathJax's place
that loads it from the public CDN, and the laboratory is left out.
"""

import hashlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple


class Package(NamedTuple):
    """A pinned package: the hash of its file, as npm packs it, and where each file that is needed goes.

    Of a name that ends in / all files under it are needed.
    """

    name: str
    version: str
    sha256: str
    files: dict[str, str]

    @property
    def packed(self) -> str:
        """The name that npm gives to its file."""
        return f"{self.name.removeprefix('@').replace('/', '-')}-{self.version}.tgz"


def module(name: str, version: str, sha256: str, entry: str = "dist/index.js") -> Package:
    """A part of the editor: one module and its licence."""
    place = EDITOR + file_of(name)
    return Package(name, version, sha256, {entry: place, "LICENSE": f"{place}.LICENSE"})


def file_of(name: str) -> str:
    """The file of a part of the editor."""
    return f"{name.removeprefix('@').replace('/', '-')}.js"


EDITOR = "lab/editor/"
ENTRY = "mathjax/tex-mml-chtml.js"
MATHJAX = Package("mathjax", "3.2.2", "1b9c0a1c44df864e915690558e72adb9cc5203360daefd385084ced3b6c64c09", {
    "es5/tex-mml-chtml.js": ENTRY, "LICENSE": "mathjax/LICENSE",
    "es5/output/chtml/fonts/woff-v2/": "mathjax/output/chtml/fonts/woff-v2/"})
LABORATORY = (
    Package("@micropython/micropython-webassembly-pyscript", "1.27.0",
            "303919763c8ebfe5923b9da66226c20dce44ad72b604b225fb39338ea15367af",
            {"micropython.mjs": "lab/micropython.mjs", "micropython.wasm": "lab/micropython.wasm"}),
    Package("onnxruntime-web", "1.30.0", "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71", {
        "dist/ort.wasm.min.mjs": "lab/ort.wasm.min.mjs",
        "dist/ort-wasm-simd-threaded.mjs": "lab/ort-wasm-simd-threaded.mjs",
        "dist/ort-wasm-simd-threaded.wasm": "lab/ort-wasm-simd-threaded.wasm"}),
    # the editor, CodeMirror 6, in the parts in which it is published: browsers load modules without a bundler
    module("@codemirror/autocomplete", "6.20.4", "40b9657b137284426bcd829cdee7dc78a748337de997a12b10b5c725f67aa0d0"),
    module("@codemirror/commands", "6.11.1", "f477f46d8c00278e1b387baebd53bd6556fd5f3c7401ebe2a05543600fcbff0f"),
    module("@codemirror/lang-python", "6.2.1", "022a075ece066c3015dce4fbddd4d8b6f597679e756d50e697ec16cd3e5b59ca"),
    module("@codemirror/language", "6.13.1", "e711ec28da046f6c163e777c5466d8ac805ee9ef5f51c511e8729c6789be7f83"),
    module("@codemirror/lint", "6.9.8", "637290fb6a6633a1a08f44c721afb75e0387d86c9b7c42d723a00a974811aae8"),
    module("@codemirror/state", "6.7.6", "91d75acc955ceeaf86af9396c11cda7694fe6222aac8427fa033d89eff5ac839"),
    module("@codemirror/streamparser", "6.0.0", "b4888c5ab40350e7a1747d765948a8fa45cfd127c479dd4cdef8097046efe14a"),
    module("@codemirror/view", "6.43.15", "f0d5921406f841d211fa0887aabf10626c47676bfc63a4abed2a4d207e27c5ac"),
    module("@lezer/common", "1.5.5", "ed93cee36403124f51eae638b8a032d6694914c19704de7610db7f2a9441c963"),
    module("@lezer/highlight", "1.2.5", "e349eec1ff4382439c1e6286ae937e0203a8349c5192e2e133863391775ac7ff"),
    module("@lezer/lr", "1.4.12", "64382ee7f144221e4c655f2034393c6be9cecaf5ea2ec1c1edeb99424defb272"),
    module("@lezer/python", "1.1.19", "0e00a32717366099c01b38a19ceb73315cd1dd9b335d98b49fea50ab7c5c2a98"),
    module("@marijn/find-cluster-break", "1.0.4", "5d12b770b64d46632c84fcd18e1d4c09f195ed0f5dbc71f94a41f0af333eaeae",
           "src/index.js"),
    module("crelt", "1.0.7", "3542299c0278fdc26aceb2b13d31bffbcb89d7367706bbc457130e3fd103c03e", "index.js"),
    module("style-mod", "4.1.5", "c4a44844213a141da55c51a2f81d701acdb9944465328b4a2a6b9626c6d9fc39",
           "src/style-mod.js"),
    module("w3c-keyname", "2.2.8", "05d21484026d1f2dd842c843181e391e66d60f1d5dff292d562c3f40302dab36", "index.js"))
PACKAGES = (MATHJAX, *LABORATORY)
FROM_CDN = f"""document.head.appendChild(Object.assign(document.createElement("script"),
  {{src: "https://cdn.jsdelivr.net/npm/mathjax@{MATHJAX.version}/es5/tex-mml-chtml.js"}}));
"""


def fetch(folder: Path) -> bool:
    """Let npm fetch all packages into `folder`; whether it could."""
    if not (npm := shutil.which("npm")):
        return False
    names = [f"{package.name}@{package.version}" for package in PACKAGES]
    fetched = subprocess.run([npm, "pack", *names, "--silent", "--pack-destination", str(folder)], capture_output=True)
    return fetched.returncode == 0 and all((folder / package.packed).is_file() for package in PACKAGES)


def lay(package: Package, file: Path, folder: Path) -> None:
    """Unpack what the pages need of `package` out of its `file`.  Raises ValueError on another hash."""
    if (found := hashlib.sha256(file.read_bytes()).hexdigest()) != package.sha256:
        raise ValueError(f"{package.name}@{package.version} has the SHA-256 {found}, not {package.sha256}: not used")
    with tarfile.open(file) as files:
        for member in files.getmembers():
            name = member.name.removeprefix("package/")
            start = next((key for key in package.files if name == key or key[-1] == "/" and name.startswith(key)), None)
            if start and member.isfile() and ".." not in Path(name).parts:
                place = folder / (package.files[start] + name.removeprefix(start))
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(with_relative_imports(files.extractfile(member).read(), package.files[start]))


def with_relative_imports(content: bytes, place: str) -> bytes:
    """A part of the editor with the other parts, which it imports by name, named by their files; all else as it is."""
    if not place.startswith(EDITOR) or not place.endswith(".js"):
        return content
    return re.sub(r"""(?m)(?<=from )(['"])([@\w][^'"\n]*)\1(?=;?$)""", lambda found: f"'./{file_of(found[2])}'",
                  content.decode()).encode()


def main(folder: Path) -> None:
    (folder / ENTRY).parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as part:
        if fetch(Path(part)):
            for package in PACKAGES:
                lay(package, Path(part) / package.packed, folder)
        else:
            print(f"no npm that can fetch mathjax@{MATHJAX.version}: formulas will come from the public CDN, "
                  "so reading them needs a network; and the laboratory is left out")
            (folder / ENTRY).write_text(FROM_CDN)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
