"""Every page of the book, in a browser with the network cut, light and dark, on a desk and on a phone."""

import os
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest

from scripts.run_notebooks import REPOSITORY
from tests import browser as checks

SITE = Path(__file__).parent.parent / "_build" / "html"
PAGES = [str(page.relative_to(SITE)) for page in sorted([*SITE.glob("book/*.html"), *SITE.glob("notebooks/*.html")])]
LIMIT = 3_000_000  # bytes of one page, beside the scripts and fonts that all pages share


def read(page: str) -> str:
    return (SITE / page).read_text()


needs_chromium = pytest.mark.skipif(not checks.CHROMIUM.exists() and not os.environ.get("CI"),
                                    reason="pages were left out: there is no Chromium at /usr/bin/chromium")
needs_book = pytest.mark.skipif(not PAGES and not os.environ.get("CI"),
                                reason="pages were left out: no book in _build/html; make test builds it")


@pytest.fixture(scope="module")
def browser():
    with checks.chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def site():
    """The address of the book."""
    with checks.served(SITE) as address:
        yield address


@needs_book
def test_there_is_a_book():
    listed = re.findall(r"(?:file|root): (\S+)", (SITE.parent.parent / "_toc.yml").read_text())
    assert PAGES == sorted(f"{place}.html" for place in listed)


@needs_book
@needs_chromium
@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_whole_in_a_browser(browser, site, page):
    assert not checks.faults(browser, site, page)


@needs_book
@pytest.mark.parametrize("page", PAGES)
def test_a_shared_link_shows_a_title_words_and_a_picture(page):
    told = {}
    for tag in re.findall(r"<meta [^>]+>", read(page)):
        words = dict(re.findall(r'(\w+)="([^"]*)"', tag))
        told[words.get("property") or words.get("name")] = words.get("content")
    title = re.search(r"<title>(.*?)</title>", read(page), re.S)[1]
    assert told["og:title"] and unescape(told["og:title"]) in unescape(title)
    assert told["twitter:card"] == "summary_large_image" and len(told["description"]) > 60
    home = told["og:url"].removesuffix(page)
    assert home.startswith("https://") and (SITE / told["og:image"].removeprefix(home)).is_file()


@needs_book
@needs_chromium
def test_the_opening_moves_until_it_is_told_to_stand(browser, site):
    page = browser.new_page()
    page.goto(f"{site}/book/start.html")
    slider, button = (page.query_selector(f".coldavg-opening {name}") for name in ("input", "button"))
    page.wait_for_function("document.querySelector('.coldavg-opening input').value === '200'")
    button.click()
    stands = slider.input_value()
    page.evaluate("new Promise(done => setTimeout(done, 300))")
    assert button.inner_text() == "Play" and slider.input_value() == stands
    slider.focus()
    slider.press("Home")
    assert [page.evaluate(f"document.querySelector('.coldavg-opening .{name}').style.opacity")
            for name in ("recovered", "true")] == ["0", "0"]
    slider.press("End")
    assert "truth" in page.query_selector(".coldavg-opening output").inner_text()
    page.close()
    still = browser.new_page(reduced_motion="reduce")
    still.goto(f"{site}/book/start.html")
    assert still.query_selector(".coldavg-opening button").inner_text() == "Play"
    still.close()


@needs_book
@needs_chromium
def test_a_slider_stands_in_the_address_and_comes_back_from_it(browser, site):
    place = "notebooks/01-what-an-average-keeps.html"
    page = browser.new_page()
    page.goto(f"{site}/{place}")
    first, second = page.query_selector_all(".coldavg-player input")[:2]
    second.focus()
    second.press("End")
    end = second.input_value()
    assert page.url == f"{site}/{place}?slider2={end}"
    page.goto(f"{site}/{place}?slider2=3&slider1=99999&slider9=x")
    first, second = page.query_selector_all(".coldavg-player input")[:2]
    assert second.input_value() == "3" and second.get_attribute("aria-valuetext") == page.evaluate(
        "JSON.parse(document.querySelectorAll('.coldavg-player')[1].dataset.labels)[3]")
    assert first.input_value() == first.get_attribute("max")
    page.close()


@needs_book
@needs_chromium
def test_the_table_of_results_sorts_and_filters(browser, site):
    page = browser.new_page()
    page.goto(f"{site}/book/results.html")
    table = page.query_selector("table.sortable")
    heads = [head.inner_text() for head in table.query_selector_all("th")]
    place = heads.index("PSNR, dB") + 1
    for turn in (False, True):
        table.query_selector(f"th:nth-child({place}) button").click()
        values = [float(cell.inner_text()) for cell in table.query_selector_all(f"td:nth-child({place})")]
        assert len(values) > 50 and values == sorted(values, reverse=turn)
        button = table.query_selector(f"th:nth-child({place}) button")
        arrow = button.evaluate("(button) => getComputedStyle(button, '::after').content")
        assert arrow == ('" ▼"' if turn else '" ▲"'), "the heading says how it is sorted"
    page.query_selector(".coldavg-filter").fill("faces one_step")
    left = [row.inner_text() for row in table.query_selector_all("tbody tr") if row.is_visible()]
    assert 0 < len(left) < 10 and all("faces" in row and "one_step" in row for row in left)
    page.close()


@needs_book
@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_light(page):
    pictures = {(SITE / page).parent / place for place in re.findall(r'src="([^":]*_images/[^"]+)"', read(page))}
    assert (SITE / page).stat().st_size + sum(picture.stat().st_size for picture in pictures) < LIMIT
    assert pictures or "/book/" in f"/{page}", "every chapter has figures"


@needs_book
def test_the_bibliography_holds_every_entry():
    entries = re.findall(r"^@\w+{(\w+),", (SITE.parent.parent / "book" / "references.bib").read_text(), re.M)
    assert len(entries) > 20 and read("book/bibliography.html").count('id="id') >= len(entries)


class Links(HTMLParser):
    """The ids of a page, and where its links lead."""

    def __init__(self, page: Path):
        super().__init__()
        self.ids, self.leads = set(), []
        self.feed(page.read_text())

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.ids |= {attributes[key] for key in ("id", "name") if attributes.get(key)}
        if tag == "a" and attributes.get("href"):
            self.leads.append(attributes["href"])


@needs_book
def test_internal_links_lead_somewhere():
    pages, lost = {}, []
    for place in PAGES:
        for lead in Links(SITE / place).leads:
            parts = urlparse(lead)
            if parts.scheme or parts.netloc:
                continue
            target = (SITE / place).parent / unquote(parts.path) if parts.path else SITE / place
            target = target.resolve()
            if not target.exists():
                lost.append((place, lead))
            elif parts.fragment and target.suffix == ".html":
                pages.setdefault(target, None)
                pages[target] = pages[target] or Links(target)
                if unquote(parts.fragment) not in pages[target].ids:
                    lost.append((place, lead))
    assert not lost


@needs_book
@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith("notebooks/")])
def test_a_chapter_opens_in_binder_and_colab(page):
    leads, name = Links(SITE / page).leads, REPOSITORY.removeprefix("https://github.com/")
    notebook = page.replace(".html", ".ipynb")
    assert f"https://mybinder.org/v2/gh/{name}/main?urlpath=lab/tree/{notebook}" in leads
    assert f"https://colab.research.google.com/github/{name}/blob/main/{notebook}" in leads


PLANTED = {
    "a request that leaves": '<script src="https://example.com/x.js"></script>',
    "console": "<script>throw new Error('planted')</script>",
    "missing figure": '<img src="none.png" alt="nothing">',
    "unrendered mathematics": r'<span class="math">\(x\)</span>',
    "horizontal overflow": '<div style="width:3000px">wide</div>',
    "sideways": '<div class="cell_input"><pre tabindex="0" style="width:80ch;overflow:auto">'
                f"{'x' * 81}</pre></div>",
    "dead slider": '<figure><p role="img" aria-label="still">still</p><input type="range" aria-label="dead"></figure>',
    "image-alt": '<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">',
    "a file for words": '<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=" alt="../_images/3f2a.png">',
    "color-contrast": '<p style="color:#ccc;background:#fff">pale</p>',
    "heading-order": "<h1>one</h1><h4>four</h4>",
}


PAGE = '<!doctype html><html lang="en"><title>planted</title><body><article>{}</article>'


@needs_chromium
@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_seen(browser, tmp_path, fault):
    (tmp_path / "good.html").write_text(PAGE.format("<h1>good</h1>"))
    (tmp_path / "bad.html").write_text(PAGE.format(PLANTED[fault]))
    with checks.served(tmp_path) as address:
        good, bad = (checks.faults(browser, address, f"{name}.html", checks.VIEWS[:1]) for name in ("good", "bad"))
    assert not [found for found in good if "favicon" not in found]
    assert any(found.startswith(fault) for found in bad)


@needs_chromium
def test_a_pale_text_is_seen_in_either_scheme_and_among_many_others(browser, tmp_path):
    """Of texts that look alike few are shown to axe: never the only one of its look."""
    pale = {"colour": "color:#bbb", "ground": "background:#222", "size": "color:#888", "veil": "opacity:0.3"}
    many = "<code>fine</code> " * 20
    texts = "".join(f'{many}<p id="{name}" style="{style}">{name}</p>{many}' for name, style in pale.items())
    (tmp_path / "light.html").write_text(PAGE.format(f'<h1 style="color:#000">many</h1>{texts}'))
    (tmp_path / "dark.html").write_text(PAGE.format(
        f"<style>@media (prefers-color-scheme: dark) {{ #last {{ color: #eee }} }}</style>{many}<p id='last'>last</p>"))
    with checks.served(tmp_path) as address:
        light, dark = (checks.faults(browser, address, f"{name}.html") for name in ("light", "dark"))
    seen = [found for found in light if found.startswith("color-contrast") and "light" in found]
    assert {found.split(": ")[1] for found in seen} == {f"#{name}" for name in pale}
    seen, = [found for found in dark if found.startswith("color-contrast")]
    assert seen.startswith("color-contrast: #last") and "[dark, 1280 pixels]" in seen
