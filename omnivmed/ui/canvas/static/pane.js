// One canvas showing one plane: picture, tokens, crosshair, measure, letters, scale bar.
import { TEXT, say, num } from './texts.js';
import { aspect, fitView, zoomView, clampView, toCanvas, toPicture, scaleBar } from './view2d.js';
import { paintBoxes, paintTokens, paintMeasure, paintCross } from './paint.js';
import { el } from './panel.js';
import { labelPane } from './labels.js';

const SMOOTH_UP = 16; // enlarged beyond this, pixels are shown as squares
const WAIT = 'wait'; // the wanted frame is being sought: leave the canvas as it is
const BIG = 1.5e6; // pixels from which a window drag is previewed at reduced size

export class Pane {
  constructor(viewer, spec) {
    this.viewer = viewer;
    this.spec = spec;
    const { header, store } = viewer;
    this.ladder = header.ladder ? header.ladder.slices : null; // display row across the slices -> slice
    const length = (axis) => (axis === 0 && this.ladder ? this.ladder.length : header.shape[axis]);
    this.rows = spec ? length(spec.down) : store.rows;
    this.cols = spec ? length(spec.across) : store.cols;
    this.mm = pixelSize(header, spec);
    this.stretch = this.mm ? aspect(this.mm.across, this.mm.down) : aspect(1, header.aspect || 1);
    this.fitted = true;
    this.view = { scale: 1, x: 0, y: 0 };
    this.measure = null;
    this.hover = null;
    this.sourceKey = '';
    this.source = document.createElement('canvas');
    this.half = []; // halved copies for drawing a large picture small
    this.build();
  }

  build() {
    const label = (this.spec && this.spec.name) || TEXT.canvas;
    this.canvas = el('canvas', { class: 'omv-canvas', tabindex: 0, role: 'img', 'aria-label': label });
    this.ctx = this.canvas.getContext('2d', { alpha: false });
    const corner = (name) => el('div', { class: 'omv-mark omv-' + name });
    this.marks = Object.fromEntries(['tl', 'tr', 'bl', 'br', 'l', 'r', 't', 'b'].map((k) => [k, corner(k)]));
    this.bar = el('div', { class: 'omv-scale' }, el('span', {}), el('i', {}));
    this.length = el('div', { class: 'omv-length', hidden: true });
    this.root = el('div', { class: 'omv-pane' }, this.canvas, ...Object.values(this.marks), this.bar, this.length);
    const letters = this.spec && this.spec.letters;
    if (letters) ['l', 'r', 't', 'b'].forEach((k, i) => { this.marks[k].textContent = letters[i]; });
  }

  /** Read the size on the page. Before a draw writes anything: reading later would make the browser lay out twice. */
  readBox() {
    this.boxWidth = this.root.clientWidth;
    this.boxHeight = this.root.clientHeight;
  }

  /** Give the canvas the size it has on the page; false while it is not visible. */
  resize() {
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(this.boxWidth * ratio);
    const height = Math.round(this.boxHeight * ratio);
    if (!width || !height) return false;
    if (this.canvas.width !== width || this.canvas.height !== height) {
      const keepFit = this.fitted || !this.view;
      this.canvas.width = width;
      this.canvas.height = height;
      if (keepFit) this.fit();
      else this.setView(this.view);
    }
    this.ratio = ratio;
    return true;
  }

  fit() {
    this.fitted = true;
    this.view = fitView(this.cols, this.rows, this.stretch, this.canvas.width, this.canvas.height);
  }

  setView(view) {
    this.view = clampView(view, this.cols, this.rows, this.stretch, this.canvas.width, this.canvas.height);
  }

  zoom(factor, cx = this.canvas.width / 2, cy = this.canvas.height / 2) {
    const whole = fitView(this.cols, this.rows, this.stretch, this.canvas.width, this.canvas.height).scale;
    this.fitted = false;
    this.setView(zoomView(this.view, factor, cx, cy, Math.min(whole, 1) / 4, Math.max(whole, 1) * 40));
  }

  pan(dx, dy) {
    this.fitted = false;
    this.setView({ scale: this.view.scale, x: this.view.x + dx, y: this.view.y + dy });
  }

  /** Page position -> picture position [column, row] of this pane. */
  at(event) {
    const box = this.canvas.getBoundingClientRect();
    const cx = ((event.clientX - box.left) / box.width) * this.canvas.width;
    const cy = ((event.clientY - box.top) / box.height) * this.canvas.height;
    return toPicture(this.view, this.stretch, cx, cy);
  }

  /** Picture position -> voxel [slice, row, column], or null outside. */
  voxel([col, row]) {
    const c = Math.floor(col);
    const r = Math.floor(row);
    if (c < 0 || r < 0 || c >= this.cols || r >= this.rows) return null;
    const { spec } = this;
    const out = [0, 0, 0];
    out[spec.axis] = this.viewer.cursor[spec.axis];
    out[spec.down] = spec.flip_down ? this.rows - 1 - r : r;
    out[spec.across] = spec.flip_across ? this.cols - 1 - c : c;
    if (spec.axis !== 0 && this.ladder) out[0] = this.ladder[out[0]];
    return out;
  }

  /** Prepare the source canvas; windowing happens here, once per slice and window, not per draw. */
  prepare() {
    const { viewer, spec } = this;
    const { store, table } = viewer;
    const early = spec.axis === 0 && viewer.preview.at(viewer.cursor[0]);
    if (early) return early;
    if (!table) return this.prepareBitmap();
    let index = viewer.cursor[spec.axis];
    if (spec.axis === 0 && !store.has(index)) index = store.nearest(index);
    if (index < 0 || (spec.axis !== 0 && !store.complete())) return null;
    const big = this.rows * this.cols > BIG;
    const step = viewer.dragging && big ? Math.ceil(Math.sqrt((this.rows * this.cols) / 7e5)) : 1;
    const key = [index, viewer.tableSerial, step].join();
    if (key !== this.sourceKey) {
      const w = Math.ceil(this.cols / step);
      const h = Math.ceil(this.rows / step);
      if (!this.image || this.image.width !== w || this.image.height !== h) {
        this.image = new ImageData(w, h);
        this.words = new Uint32Array(this.image.data.buffer);
        this.source.width = w;
        this.source.height = h;
        this.sourceCtx = this.source.getContext('2d', { willReadFrequently: false });
      }
      store.fill(spec, index, table, this.words, step);
      this.sourceCtx.putImageData(this.image, 0, 0);
      this.sourceKey = key;
    }
    return { image: this.source, index };
  }

  prepareBitmap() {
    const { viewer } = this;
    const { store, player } = viewer;
    const wanted = viewer.cursor[0];
    if (player.hasClip && (player.playing || !store.has(wanted))) {
      const live = player.clip.at(wanted);
      if (live) this.shownScale = viewer.header.source_shape[2] / live.videoWidth;
      return live ? { image: live, index: wanted } : WAIT;
    }
    let index = store.has(wanted) ? wanted : store.nearest(wanted);
    if (index < 0) return null;
    this.shownScale = viewer.header.scale;
    let image = store.bitmap(index, () => viewer.invalidate());
    if (!image && viewer.shown !== undefined) { // keep the last picture until the new one is decoded
      index = viewer.shown;
      image = store.peek(index);
    }
    return image ? { image, index } : null;
  }

  /** Halved copies, so that a large picture drawn small stays smooth and cheap. */
  sized(image, scale) {
    if (image instanceof HTMLVideoElement || this.rows * this.cols < 5e5) return image;
    if (this.halfOf !== image || this.halfKey !== this.sourceKey) {
      this.half = [];
      this.halfOf = image;
      this.halfKey = this.sourceKey;
    }
    let wanted = scale * Math.min(this.stretch.ax, this.stretch.ay) * (this.cols / image.width);
    let level = 0;
    let from = image;
    while (wanted <= 0.5 && from.width > 64) {
      if (!this.half[level]) {
        const next = document.createElement('canvas');
        next.width = Math.ceil(from.width / 2);
        next.height = Math.ceil(from.height / 2);
        next.getContext('2d').drawImage(from, 0, 0, next.width, next.height);
        this.half[level] = next;
      }
      from = this.half[level++];
      wanted *= 2;
    }
    return from;
  }

  draw() {
    if (!this.resize()) return null;
    const ready = this.prepare();
    if (ready === WAIT) return null;
    const { ctx, canvas, view, stretch, ratio, viewer } = this;
    ctx.fillStyle = '#000';
    ctx.fillRect(0, 0, canvas.width, canvas.height);
    if (!ready) return null;
    const w = this.cols * stretch.ax * view.scale;
    const h = this.rows * stretch.ay * view.scale;
    ctx.imageSmoothingEnabled = view.scale < SMOOTH_UP * ratio;
    ctx.imageSmoothingQuality = 'medium';
    ctx.drawImage(this.sized(ready.image, view.scale), view.x, view.y, w, h);
    if (this.spec.axis === 0) this.drawTokens(ready.index);
    if (this.spec.axis === 0) this.drawText();
    if (viewer.panes.length > 1) this.drawCross();
    if (this.measure) this.drawMeasure();
    this.label(ready.index);
    return ready.index;
  }

  drawTokens(index) {
    const { viewer, ctx, ratio } = this;
    const tokens = viewer.tokensAt(index);
    if (!tokens || !viewer.overlay) return;
    const { rects, w, h } = tokens;
    const k = 1 / viewer.header.scale;
    const rect = (j) => {
      const [x0, y0] = toCanvas(this.view, this.stretch, rects[4 * j] * k, rects[4 * j + 1] * k);
      const [x1, y1] = toCanvas(this.view, this.stretch, rects[4 * j + 2] * k, rects[4 * j + 3] * k);
      return [x0, y0, x1 - x0, y1 - y0];
    };
    paintTokens(ctx, { ...tokens, mode: viewer.mode, opacity: viewer.opacity, line: 1.25 * ratio, rect, w, h });
    if (viewer.hoverToken >= 0) {
      ctx.strokeStyle = '#fff';
      ctx.lineWidth = 1.5 * ratio;
      ctx.strokeRect(...rect(viewer.hoverToken));
    }
  }

  /** Outlines of text that was found in the pixels. */
  drawText() {
    const boxes = this.viewer.state.text_boxes;
    this.viewer.root.dataset.textBoxes = String(boxes ? boxes.length : 0);
    if (!boxes) return;
    const k = 1 / this.viewer.header.scale;
    paintBoxes(this.ctx, boxes.map(([top, left, bottom, right]) => {
      const [x0, y0] = toCanvas(this.view, this.stretch, left * k, top * k);
      const [x1, y1] = toCanvas(this.view, this.stretch, right * k, bottom * k);
      return [x0, y0, x1 - x0, y1 - y0];
    }), this.ratio);
  }

  drawCross() {
    const { spec, viewer } = this;
    const on = (axis, flip) => {
      const { ladder } = this;
      const n = axis === 0 && ladder ? ladder.length : viewer.header.shape[axis];
      let i = viewer.cursor[axis];
      if (axis === 0 && ladder) i = (ladder.indexOf(i) + ladder.lastIndexOf(i)) / 2;
      return (flip ? n - 1 - i : i) + 0.5;
    };
    const [x, y] = toCanvas(this.view, this.stretch, on(spec.across, spec.flip_across), on(spec.down, spec.flip_down));
    paintCross(this.ctx, x, y, this.canvas.width, this.canvas.height, this.ratio);
  }

  drawMeasure() {
    const { a, b } = this.measure;
    const p = toCanvas(this.view, this.stretch, ...a);
    const q = toCanvas(this.view, this.stretch, ...b);
    paintMeasure(this.ctx, p, q, this.ratio);
    this.length.style.left = Math.max(p[0], q[0]) / this.ratio + 10 + 'px';
    this.length.style.top = (p[1] + q[1]) / 2 / this.ratio - 10 + 'px';
  }

  setMeasure(measure) {
    this.measure = measure;
    this.length.hidden = !measure;
    if (measure) this.length.textContent = this.lengthText(measure.a, measure.b);
  }

  /** Length in mm where the file gives spacing, else in source pixels. */
  lengthText(a, b) {
    const dx = b[0] - a[0];
    const dy = b[1] - a[1];
    if (this.mm) return inPlace(this.viewer.header, say(TEXT.mm, { v: Math.hypot(dx * this.mm.across, dy * this.mm.down).toFixed(1) }));
    return say(TEXT.px, { v: (Math.hypot(dx, dy) * this.viewer.header.scale).toFixed(0) });
  }

  /** Scale bar and the view-dependent marks; text that depends on the slice is the viewer's. */
  label(index) {
    const { view, stretch, mm, ratio } = this;
    if (mm) {
      const perMm = (view.scale * stretch.ax) / mm.across / ratio; // page pixels per mm
      const length = scaleBar(Math.min(160, this.boxWidth / 3) / perMm);
      const wide = (length * perMm).toFixed(1) + 'px';
      if (this.bar.hidden) this.bar.hidden = false;
      if (wide !== this.barWidth) this.bar.lastChild.style.width = this.barWidth = wide;
      const text = inPlace(this.viewer.header, length >= 10 ? num(length / 10) + ' cm' : num(length) + ' mm');
      if (this.bar.firstChild.textContent !== text) this.bar.firstChild.textContent = text;
    } else this.bar.hidden = true;
    labelPane(this.viewer, this, index);
  }
}

/** A length with the word for where it holds, unless that is the patient. */
export function inPlace(header, text) {
  const where = TEXT.lengthsAt[header.spacing_at];
  return where ? text + ' ' + where : text;
}

/** Size of a display pixel in mm, {down, across}, or null when the file does not say. */
export function pixelSize(header, spec) {
  if (!header.spacing_mm || !spec) return null;
  const step = header.ladder ? header.ladder.step_mm : header.spacing_mm[0];
  const size = (axis) => (axis === 0 ? step : header.spacing_mm[axis] * header.scale);
  const down = size(spec.down);
  const across = size(spec.across);
  return down > 0 && across > 0 ? { down, across } : null;
}
