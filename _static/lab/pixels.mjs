// Images, arrays (B, C, H, W) in [-1, 1]: their 256 levels, their scores, and how a picture becomes one.
import { Generator, array, each, flip, reduce, roundHalfEven } from "./arrays.mjs";

// The levels of a PNG, 0 to 255, and back; as support/pixels.py rounds
export const toLevel = (value) => roundHalfEven(Math.round((Math.min(1, Math.max(-1, value)) + 1) * 127500) / 1000);
export const fromLevel = (level) => level / 127.5 - 1;
export const roundTo8Bits = (image) => each((value) => fromLevel(toLevel(value)), image);
export const digit = (levels) => array([1, 1, 28, 28], new Float64Array(784).map((_, i) => fromLevel(levels[i] ?? 0)));
export const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

// The PSNRs [first, second] in dB of recovered pairs (B, 2, C, H, W), rounded to 8 bits, in the order that fits best
export function scorePairs(recovered, truth) {
  const rounded = roundTo8Bits(recovered);
  const [kept, turned] = [rounded, flip(rounded, [1])].map((pairs) => {
    const { data } = reduce("mean", each((a, b) => ((a - b) / 2) ** 2, pairs, truth), [2, 3, 4]);
    const psnrs = Array.from(data, (error) => Math.min(100, -10 * Math.log10(error)));
    return Array.from({ length: truth.shape[0] }, (_, b) => psnrs.slice(2 * b, 2 * b + 2));
  });
  return kept.map((pair, b) => (mean(pair) >= mean(turned[b]) ? pair : turned[b]));
}

// The 95 % bootstrap interval of the mean, as metrics.py draws it
export function bootstrapInterval(values, draws = 2000) {
  const drawn = new Generator(0).randint(0, values.length, [draws, values.length]);
  const means = reduce("mean", each((k) => values[k], drawn), [1]).data.sort();
  return [0.025, 0.975].map((share) => {
    const at = share * (draws - 1), low = Math.floor(at);
    return means[low] + (at - low) * (means[Math.min(low + 1, draws - 1)] - means[low]);
  });
}

const sinc = (x) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));
const lanczos = (x) => (Math.abs(x) < 3 ? sinc(x) * sinc(x / 3) : 0);

// Rows of levels (`lines` of them, `length` each) from `start` over `span` made `size` long, by Lanczos' filter
function shrink(levels, lines, length, start, span, size) {
  const scale = span / size, wide = Math.max(1, scale), made = new Uint8ClampedArray(lines * size);
  for (let i = 0; i < size; i++) {
    const middle = start + (i + 0.5) * scale, first = Math.max(0, Math.floor(middle - 3 * wide + 0.5));
    const end = Math.min(length, Math.floor(middle + 3 * wide + 0.5));
    const shares = Array.from({ length: end - first }, (_, k) => lanczos((first + k - middle + 0.5) / wide));
    const whole = shares.reduce((sum, share) => sum + share, 0);
    for (let line = 0; line < lines; line++) {
      let sum = 0; // of millions of pixels: a loop
      for (let k = 0; k < shares.length; k++) sum += levels[line * length + first + k] * shares[k];
      made[line * size + i] = Math.floor(sum / whole + 0.5);
    }
  }
  return made;
}
const turn = (levels, lines, length) => levels.map((_, i) => levels[(i % lines) * length + Math.floor(i / lines)]);

// The middle square of one channel of levels (height x width), resized to size x size as Pillow does it
export function fit(levels, width, height, size) {
  const side = Math.min(width, height);
  if (height - side > Math.abs(side - size)) // tall: Pillow begins with the columns
    return turn(fit(turn(levels, height, width), height, width, size), size, size);
  const narrow = shrink(levels, height, width, (width - side) / 2, side, size);
  return turn(shrink(turn(narrow, height, size), size, height, (height - side) / 2, side, size), size, size);
}

// An image (1, C, size, size) of a picture in RGBA: cropped and reduced as imagesets/reading.py does it
export function fitPicture(rgba, width, height, size, channels) {
  const grey = (i) => (rgba[i] * 19595 + rgba[i + 1] * 38470 + rgba[i + 2] * 7471 + 32768) >> 16;
  const levels = Array.from({ length: channels }, (_, c) => fit(new Uint8ClampedArray(width * height).map(
    (_, i) => (channels === 3 ? rgba[4 * i + c] : grey(4 * i))), width, height, size));
  return array([1, channels, size, size], Float64Array.from(levels.flatMap((plane) => [...plane]), fromLevel));
}

// The levels of a digit, as MNIST has it, of ink (side x side): in 20 x 20 pixels, its mass in the middle of 28 x 28
export function toDigit(ink, side) {
  const inked = [...ink.keys()].filter((i) => ink[i]), levels = new Uint8ClampedArray(784);
  if (!inked.length) return levels;
  const within = (wide) => [(i) => i % wide, (i) => Math.floor(i / wide)]; // column and row
  const [columns, rows] = within(side).map((of) => Uint16Array.from(inked, of).sort());
  const span = 1 + Math.max(columns.at(-1) - columns[0], rows.at(-1) - rows[0]);
  const square = Uint8ClampedArray.from({ length: span * span }, (_, i) => {
    const [x, y] = [columns[0] + (i % span), rows[0] + Math.floor(i / span)];
    return x < side && y < side ? ink[y * side + x] : 0;
  });
  const small = fit(square, span, span, 20), mass = small.reduce((sum, level) => sum + level, 0);
  const [right, down] = within(20).map((of) =>
    Math.round(13.5 - small.reduce((sum, level, i) => sum + level * of(i), 0) / mass));
  small.forEach((level, i) => {
    const [x, y] = [(i % 20) + right, Math.floor(i / 20) + down];
    if (x >= 0 && x < 28 && y >= 0 && y < 28) levels[28 * y + x] = level;
  });
  return levels;
}
