"""Measure what the laboratory weighs and how fast it is: python -m scripts.measure_laboratory, after `make book`

Renews results/laboratory.json: of what the page loads when it is started, and of each network, the size as a server
sends it (gzip); of each network the time of a call, the median and the quickest, which differ where the machine is
busy; of a comparison the seconds that the browser was on a processor.
"""

import gzip
import json
from collections import defaultdict
from pathlib import Path
from statistics import median

from coldavg.evaluation.rows import stamp_of
from coldavg.support.files import write_atomically
from tests.browser import chromium, served

ROOT = Path(__file__).parent.parent
SITE, OUT = ROOT / "_build" / "html", ROOT / "results" / "laboratory.json"
CALLS, COMPARED = 40, (5, 10)  # calls of a network that are timed; calls at which samplers are compared
PARTS = {"micropython": "MicroPython", "ort": "onnxruntime-web", "editor/": "the editor, CodeMirror 6",
         "laboratory.json": "digits and the package's functions"}
OWN = "the page's own code"
WORKER = """async (address) => {
  const { Client } = await import(address);
  window.client = new Client(new URL("./", address));
  await client.ready;
}"""
ASK = """async ([name, size, channels, steps, text]) => {
  const shape = [1, channels, ...size];
  const data = Float64Array.from({ length: channels * size[0] * size[1] }, Math.random);
  const state = { kind: "digits", first: "0", second: "1", weight: "0.5", noise: "0", round: "on", code: "", files: [],
    steps };
  const answer = await client.ask("unmix", { name, mixture: { shape, data }, steps, text, alpha0: 0.5, state });
  return answer.milliseconds;
}"""


def part_of(place: str) -> str:
    """What a file of the laboratory belongs to."""
    return next((name for start, name in PARTS.items() if place.startswith(start)), OWN)


def packed(place: str) -> int:
    """The size of a file of the site in bytes, as a server sends it."""
    return len(gzip.compress((SITE / "_static" / "lab" / place).read_bytes(), 6))


def kilobytes(size: int) -> int:
    return round(size / 1000)


def loaded(browser, site: str) -> list[str]:
    """The files of the laboratory that the page asks for until the first average is taken apart."""
    page, addresses = browser.new_page(service_workers="block"), []
    page.on("request", lambda request: addresses.append(request.url))
    page.goto(f"{site}/book/laboratory.html")
    page.click("#lab-button")
    page.locator("#lab-said").filter(has_text="came back").wait_for(timeout=120_000)
    page.close()
    start = f"{site}/_static/lab/"
    return sorted({place.removeprefix(start) for place in addresses if place.startswith(start)})


def processor_time(browser) -> float:
    """Seconds on the processor so far, of all of the browser's processes."""
    session = browser.new_browser_cdp_session()
    processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
    session.detach()
    return sum(process["cpuTime"] for process in processes)


def call_times(browser, site: str, facts: dict, text: str) -> list[float]:
    """Milliseconds that each call of a network took, in the page, but for the first, which is slower."""
    page, times = browser.new_page(), []
    page.goto(f"{site}/book/laboratory.html")
    page.evaluate(WORKER, f"{site}/_static/lab/client.mjs")
    several = facts["target"] != "joint" or facts["looks"]
    while len(times) <= CALLS:
        times += page.evaluate(ASK, [facts["name"], facts["size"], facts["channels"], 7 if several else 1, text])
    page.close()
    return times[1:]


def comparison_time(browser, site: str, calls: int) -> float:
    """Seconds that the page takes to compare a changed `cold` with the built-in samplers."""
    page = browser.new_page()
    page.goto(f"{site}/book/laboratory.html#steps={calls}")
    page.click("#lab-button")
    page.locator("#lab-said").filter(has_text="came back").wait_for(timeout=120_000)
    before = processor_time(browser)
    page.click("#lab-compare")
    page.locator("#lab-table table").wait_for(timeout=300_000)
    took = processor_time(browser) - before
    page.close()
    return took


def main() -> None:
    known = json.loads((SITE / "_static" / "lab" / "laboratory.json").read_text())
    networks, rows, sizes = known["networks"], [], defaultdict(int)
    with chromium() as browser, served(SITE) as site:
        for place in loaded(browser, site):
            if not place.endswith((".onnx", ".safetensors")):
                sizes[part_of(place)] += packed(place)
        rows += [{"part": name, "kilobytes": kilobytes(size)} for name, size in sizes.items()]
        for facts in networks:
            size = sum(packed(f"{facts['name']}.{ending}") for ending in ("onnx", "safetensors"))
            times = call_times(browser, site, facts, known["samplers"]["cold"])
            rows.append({"part": "network", "network": facts["name"], "kilobytes": kilobytes(size),
                         "size": facts["size"],
                         "milliseconds": round(median(times), 1), "quickest": round(min(times), 1)})
        rows += [{"part": "comparison", "calls": calls, "pairs": len(known["shelf"]["pairs"]),
                  "seconds": round(comparison_time(browser, site, calls), 1)} for calls in COMPARED]
        stamp = stamp_of(0) | {"browser": f"Chromium {browser.version}"}
    write_atomically(OUT, ("[\n" + ",\n".join(json.dumps(row | {"stamp": stamp}) for row in rows) + "\n]\n").encode())


if __name__ == "__main__":
    main()
