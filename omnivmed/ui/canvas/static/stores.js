// Where the pixels live in the browser: voxels as numbers, or pictures (JPEG, PNG) decoded when needed. Both are a `Store`
// (types.d.ts), so nobody asks which one there is.
import { arrayOf } from './container.js';
import { labelTable, windowTable, rgbaTable } from './lut.js';

/** @typedef {import('./types').StudyHeader} StudyHeader */
/** @typedef {import('./types').Plane} Plane */
/** @typedef {import('./types').Store} Store */

/** Grey stills, volumes and short grey cines: stored integers, windowed here. Indices are (slice, row, column).
 * @implements {Store} */
export class VoxelStore {
  /** @param {StudyHeader} header @param {ArrayBuffer} data */
  constructor(header, data) {
    const [frames, rows, cols] = header.shape;
    this.header = header;
    this.slope = header.slope;
    this.intercept = header.intercept;
    this.frames = frames;
    this.rows = rows;
    this.cols = cols;
    this.voxels = arrayOf(header, data, 'voxels');
    this.spec = header.arrays.voxels;
    this.bits = this.spec.dtype.endsWith('8') ? 0xff : 0xffff;
    this.index = Int32Array.from({ length: frames }, (_, k) => k);
    this.slot = new Int32Array(frames); // where in the data section each frame lies
    header.order.forEach((frame, slot) => { this.slot[frame] = slot; });
    this.sliceBytes = this.spec.bytes / this.frames;
    this.loaded = 0;
  }

  at(frame) { return frame >= 0 && frame < this.frames ? frame : undefined; }

  setLoaded(bytes) {
    const before = this.loaded;
    this.loaded = Math.min(this.frames, Math.max(0, Math.floor((bytes - this.spec.offset) / this.sliceBytes)));
    return this.loaded !== before;
  }

  has(frame) { return this.slot[frame] < this.loaded; }

  complete() { return this.loaded === this.frames; }

  nearest(frame) {
    let best = -1;
    for (let s = 0; s < this.loaded; s++) {
      const f = this.header.order[s];
      if (best < 0 || Math.abs(f - frame) < Math.abs(best - frame)) best = f;
    }
    return best;
  }

  reachable(frame) { return frame; }

  before(frame) { return frame; }

  tableFor(level, width, inverted) {
    const { labels, background } = this.header;
    if (background != null) return labelTable(this.spec.dtype, labels, background);
    const flip = inverted !== this.header.inverted;
    return rgbaTable(windowTable(this.spec.dtype, this.slope, this.intercept, level, width, flip));
  }

  /** Where index k of an axis begins; along axis 0 slices lie in the sending order. */
  offset(axis, k) {
    return axis === 0 ? this.slot[k] * this.rows * this.cols : axis === 1 ? k * this.cols : k;
  }

  /** Offsets along one axis of a resliced plane; across the slices by their true places (the ladder). */
  offsets(axis, flip) {
    const ladder = axis === 0 && this.header.ladder ? this.header.ladder.slices : null;
    const n = ladder ? ladder.length : this.header.shape[axis];
    const out = new Int32Array(n);
    for (let i = 0; i < n; i++) {
      const k = flip ? n - 1 - i : i;
      out[i] = this.offset(axis, ladder ? ladder[k] : k);
    }
    return out;
  }

  /** @param {Plane} spec @param {number} index @param {Uint32Array} table @param {Uint32Array} out */
  fill(spec, index, table, out, step = 1) {
    const { voxels, bits } = this;
    const base = this.offset(spec.axis, index);
    const down = this.offsets(spec.down, spec.flip_down);
    const across = this.offsets(spec.across, spec.flip_across);
    const last = across.length - 1;
    const straight = step === 1 && spec.across === 2 && !spec.flip_across;
    let o = 0;
    for (let r = 0; r < down.length; r += step) {
      const row = base + down[r];
      if (straight) for (let i = row; i <= row + last; i++) out[o++] = table[voxels[i] & bits];
      else for (let c = 0; c <= last; c += step) out[o++] = table[voxels[row + across[c]] & bits];
    }
  }

  value(frame, row, col) {
    return this.voxels[(this.slot[frame] * this.rows + row) * this.cols + col] * this.slope + this.intercept;
  }

  bitmap() { return null; }

  peek() { return null; }

  prefetch() {} // every slice is a table away

  close() {}
}

/** Colour stills and clips: compressed pictures; a few decoded ones are kept, the neighbours made ready.
 * @implements {Store} */
export class PictureStore {
  /** @param {StudyHeader} header @param {ArrayBuffer} data */
  constructor(header, data) {
    const [frames, rows, cols] = header.shape;
    this.frames = frames;
    this.rows = rows;
    this.cols = cols;
    this.bytes = arrayOf(header, data, 'pictures');
    this.offset = header.arrays.pictures.offset;
    this.type = header.picture_type;
    this.ends = header.picture_ends;
    this.index = header.picture_index;
    this.place = new Map(this.index.map((frame, i) => [frame, i]));
    /** @type {Map<number, ImageBitmap>} frame -> picture, oldest first */
    this.cache = new Map();
    /** @type {Map<number, Promise<ImageBitmap>>} */
    this.pending = new Map();
    this.limit = Math.max(6, Math.floor(128 * 2 ** 20 / (this.rows * this.cols * 4)));
    this.loadedBytes = 0;
  }

  at(frame) { return this.place.get(frame); }

  setLoaded(bytes) {
    const before = this.loadedBytes;
    this.loadedBytes = bytes - this.offset;
    return this.loadedBytes !== before;
  }

  has(frame) {
    const i = this.at(frame);
    return i !== undefined && this.loadedBytes >= this.ends[i];
  }

  complete() { return this.loadedBytes >= (this.ends.at(-1) || 0); }

  nearest(frame) {
    let best = -1;
    for (const f of this.index) {
      if (this.has(f) && (best < 0 || Math.abs(f - frame) < Math.abs(best - frame))) best = f;
    }
    return best;
  }

  reachable(frame, from) {
    if (this.place.has(frame)) return frame;
    const found = frame > from ? this.index.find((k) => k >= frame) : this.index.findLast((k) => k <= frame);
    return found === undefined ? from : found;
  }

  before(frame) {
    const found = this.index.findLast((k) => k <= frame);
    return found === undefined ? this.index[0] : found;
  }

  tableFor() { return null; }

  fill() {}

  value() { return null; }

  peek(frame) { return this.cache.get(frame) || null; }

  bitmap(frame, ready) {
    const hit = this.cache.get(frame);
    if (hit) {
      this.cache.delete(frame);
      this.cache.set(frame, hit);
      return hit;
    }
    this.decode(frame).then((done) => { if (done && ready) ready(frame); });
    return null;
  }

  /** @returns {Promise<ImageBitmap | null>} null when its bytes have not come */
  decode(frame) {
    if (!this.has(frame)) return Promise.resolve(null);
    if (this.cache.has(frame)) return Promise.resolve(this.cache.get(frame));
    if (this.pending.has(frame)) return this.pending.get(frame);
    const i = this.at(frame);
    const start = i ? this.ends[i - 1] : 0;
    const blob = new Blob([this.bytes.subarray(start, this.ends[i])], { type: this.type });
    const work = createImageBitmap(blob, { colorSpaceConversion: 'none', premultiplyAlpha: 'none' }).then((bitmap) => {
      this.pending.delete(frame);
      this.cache.set(frame, bitmap);
      while (this.cache.size > this.limit) {
        const [oldest, old] = this.cache.entries().next().value;
        this.cache.delete(oldest);
        old.close();
      }
      return bitmap;
    });
    this.pending.set(frame, work);
    return work;
  }

  prefetch(frame, step) {
    const at = this.at(frame);
    for (let k = 1; k <= 4 && at !== undefined; k++) {
      const next = this.index[at + k * step];
      if (next !== undefined) this.decode(next);
    }
  }

  close() {
    for (const bitmap of this.cache.values()) bitmap.close();
    this.cache.clear();
  }
}

/** The store a study header asks for.
 * @param {StudyHeader} header @param {ArrayBuffer} data @returns {Store} */
export function storeFor(header, data) {
  return header.display === 'voxels' ? new VoxelStore(header, data) : new PictureStore(header, data);
}
