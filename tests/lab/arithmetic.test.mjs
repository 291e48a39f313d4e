// What is arithmetic in the laboratory: node --test tests/lab

import assert from "node:assert/strict";
import { test } from "node:test";
import * as arrays from "../../_static/lab/arrays.mjs";
import { measure } from "../../_static/lab/compare.mjs";
import { pack, packText, unpack, unpackText } from "../../_static/lab/link.mjs";
import * as pixels from "../../_static/lab/pixels.mjs";
import { explain } from "../../_static/lab/python.mjs";

const { array, each } = arrays, { OPERATIONS: on } = arrays;
const of = (shape, ...data) => array(shape, Float64Array.from(data));
const is = (made, shape, ...data) => assert.deepEqual([made.shape, [...made.data]], [shape, data]);

test("shapes are broadcast from the right, and those that do not fit are named", () => {
  is(on.add(of([2, 1], 1, 2), of([3], 10, 20, 30)), [2, 3], 11, 21, 31, 12, 22, 32);
  is(on.truediv(1, of([2], 2, 4)), [2], 0.5, 0.25);
  is(on.where(of([2], 1, 0), 7, of([2], 1, 2)), [2], 7, 2);
  assert.throws(() => on.add(of([2], 1, 2), of([3], 1, 2, 3)), /shapes \(2,\) and \(3,\) do not go together/);
});

test("a reduction keeps the other dimensions", () => {
  const table = of([2, 3], 1, 2, 3, 4, 5, 6);
  is(on.sum(table, [0]), [3], 5, 7, 9);
  is(on.mean(table, [-1], true), [2, 1], 2, 5);
  is(on.amax(table), [], 6);
  is(on.amin(table, [0, 1], true), [1, 1], 1);
  assert.throws(() => on.sum(table, [2]), /no number 2 among 2/);
});

test("brackets are those of Python", () => {
  const table = of([2, 3], 1, 2, 3, 4, 5, 6), at = (...parts) => on.index(table, parts);
  is(at(1), [3], 4, 5, 6);
  is(at(-1, 0), [], 4);
  is(at("...", "1:"), [2, 2], 2, 3, 5, 6);
  is(at(":", "None", "::2"), [2, 1, 2], 1, 3, 4, 6);
  is(at(":", "-2:5"), [2, 2], 2, 3, 5, 6);
  assert.throws(() => at(2), /no number 2 among 2/);
  assert.throws(() => at("::-1"), /flip/);
  assert.throws(() => at(0, 0, 0), /only 2 dimensions/);
});

test("rolling, turning, joining, shaping", () => {
  const table = of([2, 3], 1, 2, 3, 4, 5, 6);
  is(on.roll(table, [1, -1], [1, 0]), [2, 3], 6, 4, 5, 3, 1, 2);
  is(on.flip(table, [-1]), [2, 3], 3, 2, 1, 6, 5, 4);
  is(on.cat([table, of([2, 1], 8, 9)], 1), [2, 4], 1, 2, 3, 8, 4, 5, 6, 9);
  is(arrays.stack([of([2], 1, 2), of([2], 3, 4)], 1), [2, 2], 1, 3, 2, 4);
  is(on.reshape(table, [3, -1]), [3, 2], 1, 2, 3, 4, 5, 6);
  assert.throws(() => on.reshape(table, [4]), /\(2, 3\) is no \(4,\)/);
});

test("halves are rounded to even, and levels are those of a PNG", () => {
  assert.deepEqual([0.5, 1.5, 2.5, -0.5, -1.5, 3.49].map((value) => arrays.roundHalfEven(value) + 0), [0, 2, 2, 0, -2, 3]);
  assert.deepEqual([-1, 0, 0.5, 7, -3].map(pixels.toLevel), [0, 128, 191, 255, 0]);
  for (let level = 0; level < 256; level++) assert.equal(pixels.toLevel(pixels.fromLevel(level)), level);
});

test("random numbers begin as MT19937 begins, and a seed repeats them", () => {
  const generator = new arrays.Generator(5489); // the reference implementation's seed, and its first and 10,000th number
  assert.equal(generator.next(), 3499211612);
  for (let i = 2; i < 10000; i++) generator.next();
  assert.equal(generator.next(), 4123659995);
  assert.deepEqual(new arrays.Generator(3).randn([2, 20]), new arrays.Generator(3).randn([2, 20]));
  const { data } = new arrays.Generator(0).randn([100000]);
  assert.ok(Math.abs(pixels.mean(data)) < 0.02 && Math.abs(pixels.mean(data.map((value) => value ** 2)) - 1) < 0.02);
  assert.throws(() => generator.randn([2]), /whole image/);
});

test("pairs are scored in the order that fits best", () => {
  const dark = array([1, 1, 2, 2], new Float64Array(4).fill(-1)), light = array([1, 1, 2, 2], new Float64Array(4).fill(1));
  const truth = arrays.stack([dark, light], 1), [[first, second]] = pixels.scorePairs(arrays.stack([light, dark], 1), truth);
  assert.deepEqual([first, second], [100, 100]);
  const grey = each((x) => x * 0.5, truth);
  assert.ok(Math.abs(pixels.scorePairs(grey, truth)[0][0] - 20 * Math.log10(4)) < 0.05); // a quarter of the range off
});

test("an interval holds its mean, and a constant has none", () => {
  const [low, high] = pixels.bootstrapInterval([1, 2, 3, 4, 5]);
  assert.ok(low < 3 && 3 < high && low >= 1 && high <= 5);
  assert.deepEqual(pixels.bootstrapInterval([2, 2, 2]), [2, 2]);
});

test("one sampler is measured against another pair by pair", () => {
  const [own, other] = measure([{ name: "mine", calls: 4, psnrs: [21, 22, 24] }, { name: "cold", calls: 4, psnrs: [20, 21, 25] }], "mine");
  assert.deepEqual([own.mine, own.ahead, other.mine], [true, 0, false]);
  assert.ok(Math.abs(other.ahead - 1 / 3) < 1e-12 && Math.abs(other.wins - 2 / 3) < 1e-12);
});

test("what is drawn stands in the middle, twenty pixels high, and nothing drawn is black", () => {
  const side = 280, ink = new Uint8Array(side * side);
  for (let y = 30; y < 130; y++) for (let x = 50; x < 70; x++) ink[y * side + x] = 255;
  const levels = pixels.toDigit(ink, side), rows = [...levels.keys()].filter((i) => levels[i] > 128).map((i) => Math.floor(i / 28));
  assert.deepEqual([Math.min(...rows), Math.max(...rows)], [4, 23]);
  const columns = [...levels.keys()].filter((i) => levels[i] > 128).map((i) => i % 28);
  assert.deepEqual([Math.min(...columns), Math.max(...columns)], [12, 15]);
  assert.ok(pixels.toDigit(new Uint8Array(side * side), side).every((level) => level === 0));
});

test("an even picture stays even when it is cropped and reduced", () => {
  const made = pixels.fitPicture(new Uint8Array(4 * 90 * 70).fill(200), 90, 70, 64, 3);
  assert.deepEqual(made.shape, [1, 3, 64, 64]);
  assert.ok(made.data.every((value) => value === pixels.fromLevel(200)));
});

test("texts and drawings survive the address", async () => {
  const text = 'def ü(s):\n    return "α & # ?"\n', bytes = Uint8Array.from({ length: 784 }, (_, i) => i % 256);
  assert.equal(await unpackText(await packText(text)), text);
  assert.deepEqual(await unpack(await pack(bytes)), bytes);
  assert.match(await packText(text), /^[\w-]+$/);
});

test("an error becomes one sentence with its line", () => {
  const says = (...lines) => { const { message, line } = explain({ message: lines.join("\n") }); return [message, line]; };
  const within = (line) => `  File "yours", line ${line}, in cold`;
  assert.deepEqual(says("Traceback:", within(4), '  File "torch", line 9', "ValueError: no luck"), ["Line 4: no luck (ValueError).", 4]);
  assert.deepEqual(says("Traceback:", within(2), "KeyError: "), ["Line 2 raises KeyError.", 2]);
  assert.deepEqual(says("Traceback:", '  File "yours", line 3', "SyntaxError: invalid syntax"), ["Line 3 is not Python: invalid syntax.", 3]);
  assert.deepEqual(says("ValueError: there is no sampler"), ["Your text: there is no sampler (ValueError).", null]);
});
