// A small picture of the place under the pointer, while it moves along the time line or the strip.
import { TEXT, say } from './texts.js';
import { clock } from './view2d.js';
import { givenAt } from './tokens.js';
import { el } from './panel.js';

const EDGE = 120; // longest side, page pixels

export class Thumbs {
  constructor(viewer) {
    this.viewer = viewer;
    this.canvas = el('canvas', {});
    this.text = el('span', {});
    this.box = el('div', { class: 'omv-thumb', hidden: true, 'aria-hidden': 'true' }, this.canvas, this.text);
    viewer.root.append(this.box);
    for (const target of [viewer.ui.slider, viewer.ui.strip]) {
      target.addEventListener('pointermove', (event) => this.show(event, target));
      target.addEventListener('pointerleave', () => { this.box.hidden = true; });
    }
  }

  show(event, target) {
    const { viewer } = this;
    const { header, store } = viewer;
    if (!header || header.shape[0] < 2 || event.pointerType === 'touch') return;
    const box = target.getBoundingClientRect();
    const share = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
    const wanted = Math.min(header.shape[0] - 1, Math.floor(share * header.shape[0]));
    const frame = store.has(wanted) ? wanted : store.nearest(wanted);
    if (frame < 0) return;
    this.frame = frame;
    this.draw(frame);
    this.text.textContent = this.label(frame);
    const root = viewer.root.getBoundingClientRect();
    this.box.hidden = false;
    const half = this.box.offsetWidth / 2;
    const x = Math.min(Math.max(event.clientX - root.left, half + 4), root.width - half - 4);
    this.box.style.left = x + 'px';
    this.box.style.top = viewer.ui.time.getBoundingClientRect().top - root.top - this.box.offsetHeight - 6 + 'px';
  }

  label(frame) {
    const { viewer } = this;
    const { now } = viewer.scope;
    const word = viewer.header.kind === 'video' ? TEXT.frame : TEXT.slice;
    const parts = [word + ' ' + (frame + 1)];
    if (viewer.times) parts.push(clock(viewer.times[frame]));
    const k = now ? givenAt(now.index, frame).at : -1;
    if (k >= 0) parts.push(say(TEXT.thumbKept, { kept: now.perFrame[k], total: now.n }));
    return parts.join(' · ');
  }

  draw(frame) {
    const { viewer, canvas } = this;
    const { store, pane } = viewer;
    const { ax, ay } = pane.stretch;
    const shrink = EDGE / Math.max(store.cols * ax, store.rows * ay);
    canvas.width = Math.max(1, Math.round(store.cols * ax * shrink));
    canvas.height = Math.max(1, Math.round(store.rows * ay * shrink));
    const ctx = canvas.getContext('2d');
    if (!viewer.table) {
      const bitmap = store.bitmap(frame, () => { if (this.frame === frame && !this.box.hidden) this.draw(frame); });
      if (bitmap) ctx.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
      return;
    }
    const step = Math.max(1, Math.floor(1 / shrink / 2));
    const image = new ImageData(Math.ceil(store.cols / step), Math.ceil(store.rows / step));
    store.fill(pane.spec, frame, viewer.table, new Uint32Array(image.data.buffer), step);
    if (!this.small) this.small = document.createElement('canvas');
    this.small.width = image.width;
    this.small.height = image.height;
    this.small.getContext('2d').putImageData(image, 0, 0);
    ctx.drawImage(this.small, 0, 0, canvas.width, canvas.height);
  }
}
