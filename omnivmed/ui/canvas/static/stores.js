// Where the pixels live in the browser: voxels as numbers, or pictures (JPEG, PNG) decoded when needed.
import { arrayOf } from './container.js';
import { windowTable, rgbaTable } from './lut.js';

/** Grey stills, volumes and short grey cines: stored integers, windowed here. Indices are (slice, row, column). */
export class VoxelStore {
  constructor(header, data) {
    this.header = header;
    this.voxels = arrayOf(header, data, 'voxels');
    this.spec = header.arrays.voxels;
    this.bits = this.spec.dtype.endsWith('8') ? 0xff : 0xffff;
    [this.frames, this.rows, this.cols] = header.shape;
    this.slot = new Int32Array(this.frames);
    header.order.forEach((frame, slot) => { this.slot[frame] = slot; });
    this.sliceBytes = this.spec.bytes / this.frames;
    this.loaded = 0;
  }

  /** Bytes of the data section that have come. */
  setLoaded(bytes) {
    const before = this.loaded;
    this.loaded = Math.min(this.frames, Math.max(0, Math.floor((bytes - this.spec.offset) / this.sliceBytes)));
    return this.loaded !== before;
  }

  has(frame) { return this.slot[frame] < this.loaded; }

  complete() { return this.loaded === this.frames; }

  /** The frame at hand nearest to `frame`, to show while the rest is on its way; -1 when none is. */
  nearest(frame) {
    let best = -1;
    for (let s = 0; s < this.loaded; s++) {
      const f = this.header.order[s];
      if (best < 0 || Math.abs(f - frame) < Math.abs(best - frame)) best = f;
    }
    return best;
  }

  table(level, width, inverted) {
    const { slope, intercept } = this.header;
    const flip = inverted !== this.header.inverted;
    return rgbaTable(windowTable(this.spec.dtype, slope, intercept, level, width, flip));
  }

  /** Offsets of every index along one axis; along axis 0 they follow the sending order. */
  offsets(axis, flip) {
    const n = this.header.shape[axis];
    const out = new Int32Array(n);
    for (let i = 0; i < n; i++) {
      const k = flip ? n - 1 - i : i;
      out[i] = axis === 0 ? this.slot[k] * this.rows * this.cols : axis === 1 ? k * this.cols : k;
    }
    return out;
  }

  /** Fill `out` (Uint32Array) with the plane `spec` at `index` through an RGBA table; every `step`-th pixel. */
  fill(spec, index, table, out, step = 1) {
    const { voxels, bits } = this;
    const base = this.offsets(spec.axis, false)[index];
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

  /** File units (HU for CT) at a voxel. */
  value(frame, row, col) {
    const { slope, intercept } = this.header;
    return this.voxels[(this.slot[frame] * this.rows + row) * this.cols + col] * slope + intercept;
  }
}

/** Colour stills and clips: compressed pictures; a few decoded ones are kept, the neighbours made ready. */
export class PictureStore {
  constructor(header, data) {
    this.header = header;
    this.bytes = arrayOf(header, data, 'pictures');
    this.offset = header.arrays.pictures.offset;
    [this.frames, this.rows, this.cols] = header.shape;
    this.index = header.picture_index;
    this.at = new Map(this.index.map((frame, i) => [frame, i]));
    this.cache = new Map(); // frame -> ImageBitmap, oldest first
    this.pending = new Map();
    this.limit = Math.max(6, Math.floor(128 * 2 ** 20 / (this.rows * this.cols * 4)));
    this.loadedBytes = 0;
  }

  setLoaded(bytes) {
    const before = this.loadedBytes;
    this.loadedBytes = bytes - this.offset;
    return this.loadedBytes !== before;
  }

  has(frame) {
    const i = this.at.get(frame);
    return i !== undefined && this.loadedBytes >= this.header.picture_ends[i];
  }

  complete() { return this.loadedBytes >= (this.header.picture_ends.at(-1) || 0); }

  /** The frame at hand nearest to `frame`, or -1. */
  nearest(frame) {
    let best = -1;
    for (const f of this.index) {
      if (this.has(f) && (best < 0 || Math.abs(f - frame) < Math.abs(best - frame))) best = f;
    }
    return best;
  }

  /** The decoded picture if it is at hand, else null; then `ready` is called once it is. */
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

  decode(frame) {
    if (!this.has(frame)) return Promise.resolve(null);
    if (this.cache.has(frame)) return Promise.resolve(this.cache.get(frame));
    if (this.pending.has(frame)) return this.pending.get(frame);
    const i = this.at.get(frame);
    const start = i ? this.header.picture_ends[i - 1] : 0;
    const blob = new Blob([this.bytes.subarray(start, this.header.picture_ends[i])], { type: this.header.picture_type });
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

  /** Decode the pictures that will be wanted next. */
  prefetch(frame, step) {
    const at = this.at.get(frame);
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

/** The store a study header asks for. */
export function storeFor(header, data) {
  return header.display === 'voxels' ? new VoxelStore(header, data) : new PictureStore(header, data);
}
