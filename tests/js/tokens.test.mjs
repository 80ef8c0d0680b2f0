// The browser's copies of the rules, on numbers small enough to check by eye.
import assert from 'node:assert/strict';
import test from 'node:test';

import * as tokens from '../../omnivmed/ui/canvas/static/tokens.js';

const distance = Float32Array.of(Infinity, Infinity, Infinity, 0.1, 0.2, 0.05, 0.0, 0.3, 0.1);

test('a token is kept when its distance is strictly greater', () => {
  const keep = tokens.keepFrom(distance, 3, 0.1, 0);
  assert.deepEqual([...keep], [1, 1, 1, 0, 1, 0, 0, 1, 0]);
});

test('a frame below its minimum keeps its first places', () => {
  const keep = tokens.keepFrom(distance, 3, 2, 2);
  assert.deepEqual([...keep], [1, 1, 1, 1, 1, 0, 1, 1, 0]);
});

test('kept per frame, run length, next change', () => {
  const keep = tokens.keepFrom(distance, 3, 0.1, 0);
  assert.deepEqual([...tokens.keptPerFrame(keep, 3)], [3, 1, 1]);
  assert.deepEqual([...tokens.runLength(keep, 3)], [3, 1, 3, 3, 1, 3, 3, 1, 3]);
  assert.equal(tokens.nextChange([3, 0, 2, 0], 0, 1, 0), 2);
  assert.equal(tokens.nextChange([3, 0, 2, 0], 2, 1, 0), -1);
  assert.equal(tokens.nextChange([3, 1, 2, 1], 2, -1, 1), 0);
});

test('last kept adds up slow drift that previous never sees', () => {
  const frames = 6;
  const pixels = new Uint8Array(frames);
  for (let t = 0; t < frames; t++) pixels[t] = t * 8; // 8 grey levels per frame: below 12.75
  const { keep, distance: d } = tokens.lastKept(pixels, frames, 1, 0.1, 0);
  assert.deepEqual([...keep], [1, 0, 1, 0, 1, 0]);
  assert.ok(Math.abs(d[2] - 16 / 127.5) < 1e-6);
  assert.deepEqual([...tokens.lastKept(pixels, frames, 1, -1, 0).distance].slice(1).map((v) => Math.round(v * 127.5)), [8, 8, 8, 8, 8]);
});

test('histogram counts what is finite, and what lies beyond', () => {
  const { counts, beyond } = tokens.histogram(distance, 0.25, 5);
  assert.deepEqual([...counts], [1, 1, 2, 0, 1]);
  assert.equal(beyond, 1);
});

test('meaning of a threshold', () => {
  assert.deepEqual(tokens.thresholdMeaning(0.1, [40, 400], 'HU', 'unit'), { unit: 'HU', value: 20, width: 400 });
  assert.equal(tokens.thresholdMeaning(0.1, null, 'rgb', 'unit').value.toFixed(2), '12.75');
  assert.equal(tokens.thresholdMeaning(25.5, null, 'rgb', 'x255').value.toFixed(2), '12.75');
});

test('frames given to the model', () => {
  assert.deepEqual(tokens.givenAt([2, 5, 9], 5), { at: 1, before: 1, after: 1 });
  assert.deepEqual(tokens.givenAt([2, 5, 9], 6), { at: -1, before: 1, after: 2 });
  assert.deepEqual(tokens.givenAt([2, 5, 9], 0), { at: -1, before: -1, after: 0 });
  assert.deepEqual(tokens.givenAt([2, 5, 9], 11), { at: -1, before: 2, after: -1 });
});

test('token under a position', () => {
  const rects = Float32Array.of(0, 0, 5, 4, 5, 0, 10, 4, 0, 4, 5, 8, 5, 4, 10, 8);
  assert.equal(tokens.tokenAt(rects, 4.9, 3.9), 0);
  assert.equal(tokens.tokenAt(rects, 5, 0), 1);
  assert.equal(tokens.tokenAt(rects, 5, 4), 3);
  assert.equal(tokens.tokenAt(rects, 11, 4), -1);
});
