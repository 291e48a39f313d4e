// A press on a heading sorts its table by that column; a second press turns the order round.
document.addEventListener("click", ({ target }) => {
  const heading = target.closest(".sortable th");
  if (!heading) return;
  const rows = heading.closest("table").tBodies[0], place = heading.cellIndex;
  const falling = heading.ariaSort === "ascending";
  const key = (row) => row.cells[place].dataset.key ?? row.cells[place].textContent;
  const order = (one, two) => isNaN(key(one)) || isNaN(key(two))
    ? key(one).localeCompare(key(two)) : key(one) - key(two);
  rows.append(...[...rows.rows].sort((one, two) => (falling ? -order(one, two) : order(one, two))));
  for (const other of heading.parentNode.cells) other.removeAttribute("aria-sort");
  heading.ariaSort = falling ? "descending" : "ascending";
});

// Where the sliders of a page stand is part of its address: ?slider1=7&slider3=12, counted from the top.
const sliders = () => [...document.querySelectorAll(".coldavg-player input[type=range]")];
document.addEventListener("input", ({ target }) => {
  const place = sliders().indexOf(target);
  if (place < 0 || location.protocol === "file:") return; // a page that was opened as a file has a fixed address
  const address = new URL(location);
  address.searchParams.set(`slider${place + 1}`, target.value);
  history.replaceState(null, "", address);
});
addEventListener("DOMContentLoaded", () => {
  const asked = new URLSearchParams(location.search);
  sliders().forEach((slider, place) => {
    const value = asked.get(`slider${place + 1}`);
    if (value === null || value === "" || isNaN(value)) return;
    slider.value = value; // the browser keeps it between the ends
    slider.dispatchEvent(new Event("input"));
  });
});

// A field above each sortable table: only the rows that hold all its words are shown.
addEventListener("DOMContentLoaded", () => {
  for (const table of document.querySelectorAll("table.sortable")) {
    const field = Object.assign(document.createElement("input"), { type: "search", className: "coldavg-filter",
      placeholder: "show only rows with these words, say: faces one_step", ariaLabel: "show only rows with these words" });
    field.addEventListener("input", () => {
      const words = field.value.toLowerCase().split(/\s+/);
      for (const row of table.tBodies[0].rows) {
        const cells = [...row.cells].map((cell) => cell.textContent.toLowerCase());
        row.hidden = !words.every((word) => cells.some((cell) => cell.includes(word)));
      }
    });
    table.parentNode.before(field);
  }
});

// The start page opens with averages that come apart, rest, give way to the truth, and start again; whoever moves the
// slider, presses pause or asked for less motion sees them stand.
addEventListener("DOMContentLoaded", () => {
  const figure = document.querySelector(".coldavg-opening");
  if (!figure) return;
  const [slider, button, said] = ["input", "button", "output"].map((name) => figure.querySelector(name));
  const words = ["what was published: the average, twice", "on the way: the two still average to the one above",
    "got back from the average alone", "between what came back and the truth", "the truth, which the network was not shown"];
  const draw = () => {
    const at = Number(slider.value);
    for (const image of figure.querySelectorAll(".recovered")) image.style.opacity = Math.min(1, at / 100);
    for (const image of figure.querySelectorAll(".true")) image.style.opacity = Math.max(0, at / 100 - 1);
    said.textContent = words[at === 0 ? 0 : at < 100 ? 1 : at === 100 ? 2 : at < 200 ? 3 : 4];
    slider.setAttribute("aria-valuetext", said.textContent);
  };
  const stops = [[0, 0], [1500, 0], [4000, 100], [6500, 100], [7500, 200], [9500, 200], [10500, 0]]; // ms, value
  let began = performance.now(), moving = !matchMedia("(prefers-reduced-motion: reduce)").matches;
  const name = () => { button.textContent = moving ? "Pause" : "Play"; };
  const step = (now) => {
    if (!moving) return;
    const time = Math.max(0, now - began) % stops.at(-1)[0], next = stops.findIndex(([when]) => when > time);
    const [[from, low], [to, high]] = [stops[next - 1], stops[next]];
    slider.value = Math.round(low + (high - low) * (time - from) / (to - from));
    draw();
    requestAnimationFrame(step);
  };
  button.addEventListener("click", () => {
    moving = !moving;
    began = performance.now();
    name();
    requestAnimationFrame(step);
  });
  slider.addEventListener("input", () => { moving = false; name(); draw(); });
  button.hidden = false;
  name();
  requestAnimationFrame(step);
});
