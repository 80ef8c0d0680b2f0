// What is shown and where, without a page; and that both stores answer the same questions.
import assert from 'node:assert/strict';
import test from 'node:test';

import { ViewState } from '../../omnivmed/ui/canvas/static/state.js';
import { PictureStore, VoxelStore, storeFor } from '../../omnivmed/ui/canvas/static/stores.js';

const LATER = { window: null, presets: [], inverted: false, planes: [], exact: true };

/** A volume of 3 x 2 x 2 voxels, value = 10 frame + 2 row + column, stored as HU + 1000. */
function volume() {
  const data = new ArrayBuffer(24);
  const voxels = new Int16Array(data);
  const order = [1, 0, 2];
  order.forEach((frame, slot) => { for (let k = 0; k < 4; k++) voxels[4 * slot + k] = 1000 + 10 * frame + k; });
  const header = {
    ...LATER, display: 'voxels', kind: 'volume', shape: [3, 2, 2], order, slope: 1, intercept: -1000,
    window: [40, 400], presets: [['lung', -600, 1500]],
    arrays: { voxels: { dtype: 'int16', shape: [3, 2, 2], offset: 0, bytes: 24 } },
  };
  return { header, data };
}

/** A clip of 10 frames of which 0, 4 and 8 were sent. */
function clip() {
  const data = new ArrayBuffer(96);
  const header = {
    ...LATER, display: 'pictures', kind: 'video', shape: [10, 4, 4], picture_index: [0, 4, 8], picture_ends: [5, 10, 15],
    picture_type: 'image/png',
    arrays: { pictures: { dtype: 'uint8', shape: [15], offset: 80, bytes: 15 }, times_s: { dtype: 'float64', shape: [10], offset: 0, bytes: 80 } },
  };
  new Float64Array(data, 0, 10).set([0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5]);
  return { header, data };
}

function opened({ header, data }) {
  const state = new ViewState();
  state.draws = 0;
  state.invalidate = () => { state.draws++; };
  state.load(header, data);
  return state;
}

test('both stores answer every question', () => {
  const names = ['at', 'setLoaded', 'has', 'complete', 'nearest', 'reachable', 'before', 'tableFor', 'fill', 'bitmap', 'peek', 'value', 'prefetch', 'close'];
  for (const store of [new VoxelStore(...Object.values(volume())), new PictureStore(...Object.values(clip()))]) {
    for (const name of names) assert.equal(typeof store[name], 'function', name);
    for (const name of ['frames', 'rows', 'cols']) assert.equal(typeof store[name], 'number', name);
    assert.ok(store.index.length);
  }
});

test('voxels: what came can be shown, and every number read', () => {
  const { header, data } = volume();
  const store = storeFor(header, data);
  assert.equal(store.setLoaded(8), true);
  assert.equal(store.setLoaded(9), false);
  assert.deepEqual([store.has(1), store.has(0), store.nearest(2)], [true, false, 1]);
  store.setLoaded(24);
  assert.equal(store.complete(), true);
  assert.equal(store.value(2, 1, 0), 22);
  assert.deepEqual([...store.index], [0, 1, 2]);
  assert.deepEqual([store.at(2), store.at(3), store.reachable(2, 0), store.before(1)], [2, undefined, 2, 1]);
  assert.ok(store.tableFor(40, 400, false) instanceof Uint32Array);
  assert.deepEqual([store.bitmap(0), store.peek(0)], [null, null]);
});

test('pictures: one moves to what was sent, in the direction one goes', () => {
  const { header, data } = clip();
  const store = storeFor(header, data);
  assert.deepEqual([store.reachable(1, 0), store.reachable(7, 8), store.reachable(9, 8)], [4, 4, 8]);
  assert.deepEqual([store.before(7), store.before(4), store.at(8), store.at(3)], [4, 4, 2, undefined]);
  assert.equal(store.tableFor(0, 1, false), null);
  assert.equal(store.value(0, 0, 0), null);
  assert.equal(store.setLoaded(90), true);
  assert.deepEqual([store.has(4), store.has(8), store.nearest(9), store.complete()], [true, false, 4, false]);
});

test('the cursor opens in the middle, stays inside and says where it went', () => {
  const state = opened(volume());
  assert.deepEqual(state.cursor, [1, 1, 1]);
  const seen = [];
  state.moved = (at) => seen.push(at);
  state.step(5);
  state.step(1);
  state.goto(-3);
  state.setAxis(1, 0.4);
  assert.deepEqual(state.cursor, [0, 0, 1]);
  assert.deepEqual(seen, [2, 0]);
  state.goto(NaN);
  assert.equal(state.cursor[0], 0);
  assert.equal(state.direction, -1);
});

test('a place is an index, a number counted from 1, or a time', () => {
  const state = opened(clip());
  Object.defineProperty(state, 'anyFrame', { value: true });
  state.jump({ index: 3 });
  assert.equal(state.cursor[0], 3);
  state.jump({ number: 3 });
  assert.equal(state.cursor[0], 2);
  state.jump({ time_s: 3.2 });
  assert.equal(state.cursor[0], 6);
  state.jump({});
  assert.equal(state.cursor[0], 6);
});

test('the window: presets, the study\'s own, inverted, and whether it is what the model was given', () => {
  const state = opened(volume());
  assert.deepEqual(state.window, { level: 40, width: 400 });
  assert.equal(state.windowDiffers, false);
  state.pickPreset('0');
  assert.deepEqual(state.window, { level: -600, width: 1500 });
  assert.equal(state.windowDiffers, true);
  state.pickPreset('7'); // no such preset
  assert.equal(state.window.level, -600);
  state.invert();
  state.backToWindow();
  assert.deepEqual([state.window, state.inverted, state.windowDiffers], [{ level: 40, width: 400 }, false, false]);
  state.setWindow(0, 0);
  assert.ok(state.window.width > 0);
  assert.ok(state.draws > 0);
});

test('a colour study has no window to change', () => {
  const state = opened(clip());
  state.setWindow(1, 2);
  state.invert();
  assert.deepEqual([state.window, state.inverted, state.windowDiffers], [null, false, false]);
});

test('nothing is left of a study that went', () => {
  const state = opened(volume());
  state.forget();
  assert.deepEqual([state.header, state.store, state.table, state.data, state.scope.run], [null, null, null, null, null]);
  state.jump({ index: 1 }); // no study, no fault
});

test('a stretch: marked at either end, the other is the clip\'s own; ends that cross drop the older', () => {
  const state = opened(clip());
  Object.defineProperty(state, 'anyFrame', { value: true });
  assert.equal(state.stretch, null);
  state.goto(2);
  state.mark('from');
  assert.deepEqual(state.stretch, [1, 4.5]);
  state.goto(6);
  state.mark('to');
  assert.deepEqual(state.stretch, [1, 3]);
  state.goto(8);
  state.mark('from'); // behind the end
  assert.deepEqual([state.marks, state.stretch], [{ from: 8, to: null }, [4, 4.5]]);
  state.mark('from'); // where it is already
  assert.deepEqual([state.marks.from, state.stretch], [null, null]);
  state.goto(9);
  state.mark('from'); // nothing is left behind it
  assert.equal(state.stretch, null);
  const still = opened(volume());
  still.mark('from');
  assert.equal(still.stretch, null, 'slices have no times');
});
