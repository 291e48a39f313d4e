"""What the build of the book adds: packages whose hash is known, tables from stored rows."""

import hashlib
import importlib.util
import re
import tarfile
from pathlib import Path

import pytest

from scripts import fetch_packages

ROOT = Path(__file__).parent.parent


@pytest.fixture
def extension():
    spec = importlib.util.spec_from_file_location("extension", ROOT / "book" / "extension.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def packed(folder, *names, content=b""):
    """A package of files of these names, as npm would pack it, with its hash."""
    (folder / "one").write_bytes(content)
    with tarfile.open(folder / "x.tgz", "w:gz") as package:
        for name in names:
            package.add(folder / "one", name)
    return folder / "x.tgz", hashlib.sha256((folder / "x.tgz").read_bytes()).hexdigest()


def test_another_package_than_the_pinned_one_is_refused(tmp_path):
    file, _ = packed(tmp_path)
    with pytest.raises(ValueError, match="mathjax@.*not used"):
        fetch_packages.lay(fetch_packages.MATHJAX, file, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_only_what_pages_need_is_unpacked_and_nothing_lands_outside(tmp_path):
    fonts = "es5/output/chtml/fonts/woff-v2"
    file, sha256 = packed(tmp_path, "package/es5/tex-mml-chtml.js", f"package/{fonts}/a.woff", "package/LICENSE",
                          "package/es5/other.js", "package/../../out.js", f"package/{fonts}/../../../../../../b.js")
    fetch_packages.lay(fetch_packages.MATHJAX._replace(sha256=sha256), file, tmp_path / "a" / "b")
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()} - {"one", "x.tgz"}
    assert found == {f"a/b/mathjax/{name}" for name in
                     ("tex-mml-chtml.js", "output/chtml/fonts/woff-v2/a.woff", "LICENSE")}


def test_the_parts_of_the_editor_find_each_other_without_a_bundler(tmp_path):
    code = b"""import { a } from '@codemirror/state';\nexport { b } from "w3c-keyname"\nconst c = "from 'crelt'";\n"""
    file, sha256 = packed(tmp_path, "package/dist/index.js", content=code)
    fetch_packages.lay(fetch_packages.module("@x/y", "1.0.0", sha256), file, tmp_path)
    assert (tmp_path / "lab" / "editor" / "x-y.js").read_text() == (
        "import { a } from './codemirror-state.js';\nexport { b } from './w3c-keyname.js'\n"
        "const c = \"from 'crelt'\";\n")


def test_every_pin_is_exact_and_no_file_is_laid_over_another():
    places = [place for package in fetch_packages.PACKAGES for place in package.files.values()]
    assert len(places) == len(set(places))
    for package in fetch_packages.PACKAGES:
        assert re.fullmatch(r"\d+\.\d+\.\d+", package.version) and re.fullmatch("[0-9a-f]{64}", package.sha256)


def test_without_npm_the_build_says_so_and_the_pages_ask_the_cdn(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    fetch_packages.main(tmp_path / "_static")
    said = capsys.readouterr().out
    assert "public CDN" in said and "the laboratory is left out" in said
    entry = (tmp_path / "_static" / fetch_packages.ENTRY).read_text()
    assert f"mathjax@{fetch_packages.MATHJAX.version}" in entry
    assert not (tmp_path / "_static" / "lab").exists()


def row(sampler, calls, psnr, tuples=100, network="digits-original"):
    return {"sampler": sampler, "calls": calls, "psnr": psnr, "tuples": tuples, "network": network, "success": 90.0}


def test_the_choice_is_the_cheapest_row_near_the_best_of_equal_tuples(extension):
    group = [row("the average itself", 0, 15.0, 1000, "none"), row("best pair", 0, 17.0, 1000, "best-pair"),
             row("joint", 1, 28.0, 1000, "digits-joint"), row("flips", 2, 28.05, 1000, "digits-joint"),
             row("one_step", 1, 22.0), row("cold", 5, 22.45), row("cold", 20, 22.5), row("resolve", 625, 23.0, 20)]
    joint, path = extension.choices("digits", 2, group)
    assert joint[3] == "digits-joint: joint" and joint[4] == 1 and joint[6] == ("15.0", 15.0)
    assert path[3] == "digits-original: cold" and path[4] == 5 and path[8] == 100
