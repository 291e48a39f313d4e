// Images on canvases, the film of a walk, its curve, and the table of a comparison.
import { toLevel } from "./pixels.mjs";

// The image in `data` from `from` on, as a canvas takes it
function drawn({ shape, data }, from = 0) {
  const [channels, height, width] = shape.slice(-3), made = new ImageData(width, height), size = width * height;
  for (let i = 0; i < 4 * size; i++)
    made.data[i] = i % 4 === 3 ? 255 : toLevel(data[from + (channels === 3 ? (i % 4) * size : 0) + (i >> 2)]);
  return made;
}

// The k-th image of an array
export function paint(canvas, image, words, k = 0) {
  const [channels, height, width] = image.shape.slice(-3);
  Object.assign(canvas, { width, height });
  canvas.getContext("2d").putImageData(drawn(image, k * channels * height * width), 0, 0);
  if (words) canvas.ariaLabel = words;
}

// All points of a walk, a column for each: the state, the two guesses; `columns` are to come in all
export function film(canvas, points, columns) {
  const [channels, height, width] = points[0].x.shape.slice(-3), context = canvas.getContext("2d");
  Object.assign(canvas, { width: columns * (width + 1) - 1, height: 3 * (height + 1) - 1 });
  points.forEach(({ x, guesses }, i) => [drawn(x), drawn(guesses), drawn(guesses, channels * height * width)].forEach(
    (image, row) => context.putImageData(image, i * (width + 1), row * (height + 1))));
}

// PSNRs of the guesses along a walk, and that of the average itself as a dashed line
export function curve(svg, psnrs, columns, average) {
  const low = Math.min(...psnrs, average) - 0.5, high = Math.max(...psnrs, average) + 0.5;
  const at = (psnr) => (100 * (high - psnr)) / (high - low), said = psnrs.map((psnr) => psnr.toFixed(1)).join(", ");
  svg.setAttribute("viewBox", `0 0 ${columns} 100`);
  svg.ariaLabel = `PSNR of the guesses, call by call: ${said} dB; dashed, the average itself: ${average.toFixed(1)} dB`;
  svg.innerHTML = `<line x1="0" x2="${columns}" y1="${at(average)}" y2="${at(average)}"/>
    <polyline points="${psnrs.map((psnr, i) => `${i + 0.5},${at(psnr)}`).join(" ")}"/>`;
}
const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;
const plain = (text) => text.replace(/[<&]/g, (found) => `&#${found.charCodeAt(0)};`);
const HEADS = ["sampler", "behind | ahead", "ahead by, dB", "95 % interval", "pairs won", "PSNR, dB", "calls"];

// The rows of a comparison; each interval is drawn too, around a line at zero
export function table(rows) {
  const reach = Math.max(0.1, ...rows.flatMap(({ interval }) => interval.map(Math.abs)));
  const at = (value) => 80 + (75 * value) / reach, mine = plain(rows.find((row) => row.mine).name);
  const bar = ({ interval: [low, high], ahead }) => `<svg viewBox="0 0 160 18" aria-hidden="true">
    <line x1="80" x2="80" y1="0" y2="18"/><line class="range" x1="${at(low)}" x2="${at(high)}" y1="9" y2="9"/>
    <circle cx="${at(ahead)}" cy="9" r="5"/></svg>`;
  const line = (row) => `<tr><th scope="row">${plain(row.name)}</th>${[...(row.mine ? ["yours", "", "", ""] : [bar(row),
    signed(row.ahead), row.interval.map(signed).join(" to "), `${Math.round(100 * row.wins)} %`]), row.psnr.toFixed(2),
    row.calls].map((cell) => `<td class="number">${cell}</td>`).join("")}</tr>`;
  return `<table class="coldavg-table"><caption>By how much ${mine} is ahead of the others, pair by pair.</caption>
    <thead><tr>${HEADS.map((head) => `<th scope="col">${head}</th>`).join("")}</tr></thead>
    <tbody>${rows.map(line).join("")}</tbody></table>`;
}
