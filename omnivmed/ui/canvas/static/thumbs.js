// A small picture of the place under the pointer, while it moves along the time line or the strip: the very frame where
// the whole clip is there (a second hidden <video> seeks for it), else the nearest one at hand, named as what it is.
import { TEXT, say } from './texts.js';
import { clock } from './view2d.js';
import { givenAt } from './tokens.js';
import { el } from './panel.js';

const EDGE = 120; // longest side, page pixels
const THUMB = 16; // width of a slider's handle, page pixels

export class Thumbs {
  constructor(viewer) {
    this.viewer = viewer;
    this.canvas = el('canvas', {});
    this.text = el('span', {});
    this.box = el('div', { class: 'omv-thumb', hidden: true, 'aria-hidden': 'true' }, this.canvas, this.text);
    viewer.root.append(this.box);
    this.video = null;
    this.wanted = -1; // frame under the pointer
    this.shown = -1; // frame the second player holds
    for (const target of [viewer.ui.slider, viewer.ui.strip]) {
      target.addEventListener('pointermove', (event) => this.show(event, target));
      target.addEventListener('pointerleave', () => this.hide());
    }
  }

  show(event, target) {
    const { viewer } = this;
    const { header, store } = viewer;
    if (!header || header.shape[0] < 2 || event.pointerType === 'touch') return;
    const box = target.getBoundingClientRect();
    const inset = target === viewer.ui.slider ? THUMB / 2 : 0; // a slider's ends are half its handle inside
    const share = Math.min(Math.max((event.clientX - box.left - inset) / (box.width - 2 * inset), 0), 1);
    const wanted = Math.min(header.shape[0] - 1, Math.floor(share * header.shape[0]));
    this.wanted = wanted;
    this.x = event.clientX;
    if (store.has(wanted) || !viewer.player.hasClip) {
      const frame = store.has(wanted) ? wanted : store.nearest(wanted);
      if (frame < 0) return;
      this.draw(frame);
      this.name(frame);
    } else {
      this.seek(wanted);
      if (this.box.hidden) return; // it appears with its picture
    }
    this.place(event.clientX);
  }

  /** The box above the time line, its middle at page position x. */
  place(x) {
    const { viewer } = this;
    const root = viewer.root.getBoundingClientRect();
    this.box.hidden = false;
    const half = this.box.offsetWidth / 2;
    this.box.style.left = Math.min(Math.max(x - root.left, half + 4), root.width - half - 4) + 'px';
    this.box.style.top = viewer.ui.time.getBoundingClientRect().top - root.top - this.box.offsetHeight - 6 + 'px';
  }

  name(frame) {
    this.frame = frame;
    this.box.dataset.frame = String(frame);
    this.text.textContent = this.label(frame);
  }

  /** Have the clip's second player show frame k; the newest wish wins. */
  seek(k) {
    const { clip } = this.viewer.player;
    if (this.video && this.video.dataset.url !== clip.url) this.drop();
    this.wanted = k;
    if (this.video && this.shown === k) {
      this.fromVideo(k);
      return;
    }
    if (!this.video) {
      this.video = el('video', { class: 'omv-video', preload: 'auto', 'aria-hidden': 'true', tabindex: '-1', 'data-url': clip.url });
      this.video.muted = true;
      this.video.src = clip.url;
      this.viewer.root.append(this.video);
    }
    if (this.seeking) return;
    this.seeking = true;
    const { video } = this;
    video.requestVideoFrameCallback((_, frame) => {
      if (video !== this.video) return;
      this.seeking = false;
      this.shown = clip.frameOf(frame.mediaTime);
      if (this.shown === this.wanted) this.fromVideo(this.shown);
      else if (this.wanted >= 0) this.seek(this.wanted);
    });
    video.currentTime = clip.timeOf(k);
  }

  fromVideo(frame) {
    const { viewer, canvas } = this;
    if (!viewer.header || !viewer.player.hasClip) return;
    this.size();
    canvas.getContext('2d').drawImage(this.video, 0, 0, canvas.width, canvas.height);
    this.name(frame);
    this.box.hidden = false;
    this.place(this.x);
  }

  hide() {
    this.box.hidden = true;
    this.wanted = -1;
  }

  /** Let go of the second player. */
  drop() {
    this.hide();
    this.seeking = false;
    this.shown = -1;
    if (!this.video) return;
    this.video.removeAttribute('src');
    this.video.load();
    this.video.remove();
    this.video = null;
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

  /** Give the small canvas the picture's shape; returns by how much it is shrunk. */
  size() {
    const { canvas } = this;
    const { store, pane } = this.viewer;
    const { ax, ay } = pane.stretch;
    const shrink = EDGE / Math.max(store.cols * ax, store.rows * ay);
    canvas.width = Math.max(1, Math.round(store.cols * ax * shrink));
    canvas.height = Math.max(1, Math.round(store.rows * ay * shrink));
    return shrink;
  }

  draw(frame) {
    const { viewer, canvas } = this;
    const { store, pane } = viewer;
    const shrink = this.size();
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
