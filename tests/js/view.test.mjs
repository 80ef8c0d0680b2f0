// Geometry, window table, container, exports: pure functions.
import assert from 'node:assert/strict';
import test from 'node:test';
import { gzipSync } from 'node:zlib';

import { parseHead, arrayOf, fetchPayload } from '../../omnivmed/ui/canvas/static/container.js';
import { windowTable, rgbaTable, viridis } from '../../omnivmed/ui/canvas/static/lut.js';
import { barSpan, heatAt } from '../../omnivmed/ui/canvas/static/paint.js';
import { caption, crc32, npy, withText, wrap, zip } from '../../omnivmed/ui/canvas/static/save.js';
import { aspect, clampView, clock, fitView, frameAt, middleOf, scaleBar, toCanvas, toPicture, zoomView } from '../../omnivmed/ui/canvas/static/view2d.js';

test('fit keeps millimetres square and centres', () => {
  const stretch = aspect(1, 3); // pixels 1 mm wide, 3 mm high
  assert.deepEqual(stretch, { ax: 1, ay: 3 });
  const view = fitView(100, 50, stretch, 300, 300);
  assert.equal(view.scale, 2);
  assert.deepEqual([view.x, view.y], [50, 0]);
});

test('canvas and picture positions are inverse', () => {
  const stretch = aspect(0.7, 0.5);
  const view = { scale: 3.2, x: -14, y: 33 };
  const [x, y] = toCanvas(view, stretch, 12.25, 40.5);
  const [col, row] = toPicture(view, stretch, x, y);
  assert.ok(Math.abs(col - 12.25) < 1e-9 && Math.abs(row - 40.5) < 1e-9);
});

test('zoom keeps the point under the pointer', () => {
  const stretch = { ax: 1, ay: 1 };
  const view = { scale: 1, x: 10, y: 20 };
  const before = toPicture(view, stretch, 60, 70);
  const after = toPicture(zoomView(view, 2.5, 60, 70, 0.1, 40), stretch, 60, 70);
  assert.ok(Math.abs(before[0] - after[0]) < 1e-9);
  assert.equal(zoomView(view, 1000, 0, 0, 0.1, 40).scale, 40);
});

test('a picture cannot be lost from sight', () => {
  const view = clampView({ scale: 1, x: 5000, y: -5000 }, 100, 100, { ax: 1, ay: 1 }, 400, 300);
  assert.deepEqual([view.x, view.y], [375, -75]);
});

test('scale bar is 1, 2 or 5 times a power of ten', () => {
  assert.deepEqual([0.7, 3, 49, 50, 199, 200, 0].map(scaleBar), [0.5, 2, 20, 50, 100, 200, 0]);
});

test('clock', () => {
  assert.equal(clock(7.44), '0:07.4');
  assert.equal(clock(65), '1:05.0');
  assert.equal(clock(3725), '1:02:05');
});

test('window table: signed numbers, slope, inversion', () => {
  const table = windowTable('int16', 1, -1024, 40, 400, false);
  const grey = (hu) => table[(hu + 1024) & 0xffff];
  assert.deepEqual([-1000, -160, 40, 240, 900].map(grey), [0, 0, 128, 255, 255]);
  assert.equal(windowTable('int16', 1, 0, 0, 100, false)[0xffff], 125); // stored -1: 124.95 rounds to 125
  assert.equal(windowTable('uint8', 1, 0, 127.5, 255, true)[255], 0);
  assert.equal(rgbaTable(Uint8Array.of(0x12))[0], 0xff121212);
});

test('colour scale', () => {
  assert.deepEqual(viridis(0), [68, 1, 84]);
  assert.deepEqual(viridis(1), [253, 231, 37]);
  assert.equal(heatAt(0.1), 0.5);
});

test('strip bars tile the whole length', () => {
  const index = [0, 4, 9];
  const spans = index.map((_, k) => barSpan(index, k, 10));
  assert.deepEqual(spans, [[0, 0.25], [0.25, 0.7], [0.7, 1]]);
});

test('payload head', () => {
  const header = JSON.stringify({ arrays: { a: { dtype: 'int16', shape: [2], offset: 0, bytes: 4 } } });
  const bytes = new Uint8Array(16 + header.length);
  bytes.set(new TextEncoder().encode('OMNIVIEW'));
  new DataView(bytes.buffer).setUint32(8, 1, true);
  new DataView(bytes.buffer).setUint32(12, header.length, true);
  bytes.set(new TextEncoder().encode(header), 16);
  assert.equal(parseHead(bytes.subarray(0, 20)), null);
  const head = parseHead(bytes);
  assert.equal(head.start, bytes.length);
  assert.deepEqual([...arrayOf(head.header, Int16Array.of(7, -7).buffer, 'a')], [7, -7]);
  bytes[0] = 0;
  assert.throws(() => parseHead(bytes), /not a viewer payload/);
});

function payloadUrl(values) {
  const header = JSON.stringify({ data_bytes: values.byteLength, arrays: { a: { dtype: 'int16', offset: 0, bytes: values.byteLength } } });
  const head = Buffer.alloc(16);
  head.write('OMNIVIEW');
  head.writeUInt32LE(1, 8);
  head.writeUInt32LE(header.length, 12);
  const packed = gzipSync(Buffer.concat([head, Buffer.from(header), Buffer.from(values.buffer)]));
  return 'data:application/octet-stream;base64,' + packed.toString('base64');
}

test('a payload comes in many chunks and is whole', async () => {
  const values = Int16Array.from({ length: 500_000 }, (_, k) => (k * k * 31) % 30_011);
  let seen = 0;
  const { header, data } = await fetchPayload(payloadUrl(values), { onBytes: (bytes) => { assert.ok(bytes >= seen); seen = bytes; } });
  assert.equal(seen, 1_000_000);
  assert.deepEqual(arrayOf(header, data, 'a'), values);
});

test('a payload that is cut, or not wanted any more, ends with an error', async () => {
  const url = payloadUrl(new Int16Array(100_000));
  await assert.rejects(fetchPayload(url.slice(0, url.length - 40)));
  const abort = new AbortController();
  const onHeader = () => abort.abort();
  await assert.rejects(fetchPayload(url, { signal: abort.signal, onHeader }), { name: 'AbortError' });
});

test('crc, npy and zip', () => {
  assert.equal(crc32(new TextEncoder().encode('123456789')), 0xcbf43926);
  const file = npy(Float32Array.of(1, 2), [2], '<f4');
  assert.equal((file.length - 8) % 64, 0);
  const bytes = Buffer.concat(zip({ 'a.npy': file }));
  assert.equal(bytes.readUInt32LE(0), 0x04034b50);
  assert.equal(bytes.readUInt32LE(bytes.length - 22), 0x06054b50);
});

test('a text chunk goes behind the header, with its check sum', () => {
  const png = new Uint8Array(60).fill(7);
  const out = withText(png, 'OmniV-Med', '{"a":"5 µm"}');
  const text = 'tEXtOmniV-Med\0{"a":"5 \\u00b5m"}';
  assert.equal(out.length, 60 + text.length + 8);
  assert.deepEqual(out.subarray(0, 33), png.subarray(0, 33));
  const view = new DataView(out.buffer, 33);
  assert.equal(view.getUint32(0), text.length - 4);
  const body = out.subarray(37, 37 + text.length);
  assert.equal(new TextDecoder('latin1').decode(body), text);
  assert.equal(view.getUint32(4 + text.length), crc32(body));
  assert.deepEqual(out.subarray(-27), png.subarray(-27));
});

test('a caption names program, model, threshold, window', () => {
  const f = {
    kind: 'volume', frame: 4, kept: 5, total: 9, threshold: 0.1, threshold_meaning: '= 20 HU', what_if: false,
    mode: 'run', window_shown: [40, 400], unit: 'HU', model: 'nano', version: '1.2',
  };
  const line = caption(f).join(' ');
  for (const word of ['1.2', 'model nano', 'Slice 5', '5 / 9', 'unchanged for', 'threshold 0.1', '20 HU', 'L 40 W 400', 'Not for clinical use']) {
    assert.ok(line.includes(word), word);
  }
  assert.ok(caption({ kind: 'image', frame: 0 }).join(' ').includes('no model'));
  assert.deepEqual(wrap(['aa', 'bb', 'cc'], (text) => text.length <= 9), ['aa  ·  bb', 'cc']);
});

test('a frame and its time: the middle of each frame is that frame, whatever the rate', () => {
  const times = Float64Array.from([0, 0.09, 0.123, 0.156, 0.9, 0.93]);
  times.forEach((time, k) => {
    assert.equal(frameAt(times, time), k);
    assert.equal(frameAt(times, time + 0.004), k);
    const middle = middleOf(times, k);
    assert.ok(middle > time && (k === times.length - 1 || middle < times[k + 1]));
  });
  assert.equal(frameAt(times, -5), 0);
  assert.equal(frameAt(times, 50), 5);
  assert.equal(frameAt(Float64Array.from([0]), 3), 0);
});
