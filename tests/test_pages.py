"""Every page of the book, in a browser with the network cut, light and dark, on a desk and on a phone."""

import os
import re
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


@needs_book
def test_there_is_a_book():
    listed = re.findall(r"(?:file|root): (\S+)", (SITE.parent.parent / "_toc.yml").read_text())
    assert PAGES == sorted(f"{place}.html" for place in listed)


@needs_book
@needs_chromium
@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_whole_in_a_browser(browser, page):
    with checks.served(SITE) as address:
        found = {view: checks.faults(browser, address, page, *view) for view in checks.VIEWS}
    assert not any(found.values()), {view: faults for view, faults in found.items() if faults}


@needs_book
@needs_chromium
def test_a_slider_stands_in_the_address_and_comes_back_from_it(browser):
    place = "notebooks/01-what-an-average-keeps.html"
    with checks.served(SITE) as address:
        page = browser.new_page()
        page.goto(f"{address}/{place}")
        first, second = page.query_selector_all(".coldavg-player input")[:2]
        second.focus()
        second.press("End")
        end = second.input_value()
        assert page.url == f"{address}/{place}?slider2={end}"
        page.goto(f"{address}/{place}?slider2=3&slider1=99999&slider9=x")
        first, second = page.query_selector_all(".coldavg-player input")[:2]
        assert second.input_value() == "3" and second.get_attribute("aria-valuetext") == page.evaluate(
            "JSON.parse(document.querySelectorAll('.coldavg-player')[1].dataset.labels)[3]")
        assert first.input_value() == first.get_attribute("max")
        page.close()


@needs_book
@needs_chromium
def test_the_table_of_results_sorts_and_filters(browser):
    with checks.served(SITE) as address:
        page = browser.new_page()
        page.goto(f"{address}/book/results.html")
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
    "dead slider": '<figure><p role="img" aria-label="still">still</p><input type="range" aria-label="dead"></figure>',
    "image-alt": '<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">',
    "color-contrast": '<p style="color:#ccc;background:#fff">pale</p>',
    "heading-order": "<h1>one</h1><h4>four</h4>",
}


@needs_chromium
@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_seen(browser, tmp_path, fault):
    page = '<!doctype html><html lang="en"><title>planted</title><body><article>{}</article>'
    (tmp_path / "good.html").write_text(page.format("<h1>good</h1>"))
    (tmp_path / "bad.html").write_text(page.format(PLANTED[fault]))
    with checks.served(tmp_path) as address:
        assert not [found for found in checks.faults(browser, address, "good.html") if "favicon" not in found]
        assert any(found.startswith(fault) for found in checks.faults(browser, address, "bad.html"))
