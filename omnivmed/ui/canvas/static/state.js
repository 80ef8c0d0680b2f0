// What is shown and where, without a page: study, cursor, window, tokens' look. The view (viewer.js) draws it and says
// how the page hears of a change. Nothing in here touches the document, so Node tests it (tests/js/state.test.mjs).
import { Microscope } from './microscope.js';
import { storeFor } from './stores.js';

/** @typedef {import('./types').StudyHeader} StudyHeader */

const RANGE = { uint8: 255, int8: 255, uint16: 65535, int16: 65535 };

export class ViewState {
  constructor() {
    /** @type {import('./types').Value | null} as the app sent it: addresses of files */
    this.value = null;
    /** @type {import('./types').State} and a few settings */
    this.state = {};
    /** @type {StudyHeader | null} */
    this.header = null;
    /** @type {ArrayBuffer | null} */
    this.data = null;
    /** @type {import('./types').Store | null} */
    this.store = null;
    /** @type {Uint32Array | null} RGBA of each stored number under the window */
    this.table = null;
    /** @type {Float64Array | null} seconds of the frames */
    this.times = null;
    this.cursor = [0, 0, 0]; // slice or frame, row, column
    this.direction = 1;
    /** @type {{from: number | null, to: number | null}} frames at the ends of the stretch that was marked */
    this.marks = { from: null, to: null };
    this.grey = false;
    this.span = 1; // of the stored numbers, in the file's units
    /** @type {import('./types').Window | null} what the study opened with */
    this.start = null;
    /** @type {import('./types').Window | null} */
    this.window = null;
    this.windowChanged = false;
    this.dragging = false;
    this.inverted = false;
    this.tool = 'window';
    /** @type {import('./types').Mode} */
    this.mode = 'kept';
    this.overlay = true;
    this.opacity = 0.55;
    this.hoverToken = -1;
    this.holding = false; // a threshold is being dragged: no mask that comes back may pull it from under the hand
    this.scope = new Microscope(this);
  }

  /** Something to draw; the view does it at the next screen refresh. */
  invalidate() {}

  /** The cursor is on another slice or frame. */
  moved(_at) {}

  /** Whether every frame can be shown, not only those that were sent. */
  get anyFrame() { return this.grey; }

  forget() {
    this.header = this.data = null;
    this.store = null;
    this.table = null;
    this.scope.clear();
  }

  /** Take a study: its middle slice, its own window.
   * @param {StudyHeader} header @param {ArrayBuffer} data */
  load(header, data) {
    this.header = header;
    this.data = data;
    this.store = storeFor(header, data);
    this.grey = header.display === 'voxels';
    this.inverted = false;
    if (this.grey) {
      const { slope, window, arrays } = header;
      this.span = RANGE[arrays.voxels.dtype] * Math.abs(slope);
      this.start = window ? { level: window[0], width: window[1] } : { level: header.intercept + this.span / 2, width: this.span };
      this.setWindow(this.start.level, this.start.width);
    } else this.window = null;
    const [frames, rows, cols] = header.shape;
    const middle = header.kind === 'volume' ? frames >> 1 : 0;
    this.cursor = [middle, rows >> 1, cols >> 1];
    if (this.state.goto != null) this.cursor[0] = Math.min(Math.max(this.state.goto, 0), frames - 1);
    this.marks = { from: null, to: null };
    this.times = header.arrays.times_s ? new Float64Array(data, header.arrays.times_s.offset, frames) : null;
  }

  // ------------------------------------------------------------------------------------------- moving about

  goto(index) { this.setAxis(0, index); }

  setAxis(axis, index) {
    const n = this.header.shape[axis];
    let at = Math.min(Math.max(Math.round(index), 0), n - 1);
    if (axis === 0 && Number.isFinite(at)) at = this.reachable(at);
    if (!Number.isFinite(at) || at === this.cursor[axis]) return;
    this.direction = Math.sign(at - this.cursor[axis]);
    this.cursor[axis] = at;
    if (axis === 0) this.moved(at);
    this.invalidate();
  }

  /** Until the whole clip has been prepared, only its sampled frames can be shown: the next one that way. */
  reachable(at) { return this.anyFrame ? at : this.store.reachable(at, this.cursor[0]); }

  /** The last frame at or before `at` that can be shown now. */
  lastAtHand(at) { return this.anyFrame ? at : this.store.before(at); }

  stepAxis(axis, by) { this.setAxis(axis, this.cursor[axis] + by); }

  step(by) { this.stepAxis(0, by); }

  /** Jump to a 0-based index, a number counted from 1, or a time in seconds.
   * @param {import('./types').Place} place */
  jump({ index, number, time_s: time }) {
    if (!this.header) return;
    if (index != null) this.goto(index);
    else if (number != null) this.goto(number - 1);
    else if (time != null && this.times) {
      let k = this.times.length - 1;
      while (k > 0 && this.times[k] > time + 1e-6) k--;
      this.goto(k);
    }
  }

  // ------------------------------------------------------------------------------------------- a stretch of a clip

  /** From here on, or up to here; where it is already, the mark goes. The other end goes when it would lie behind. */
  mark(end) {
    const { marks, cursor: [at] } = this;
    const other = end === 'from' ? 'to' : 'from';
    marks[end] = marks[end] === at ? null : at;
    if (marks[end] !== null && marks[other] !== null && marks.from >= marks.to) marks[other] = null;
    this.invalidate();
  }

  /** [from, to] in seconds once an end was marked, the other being the clip's own; null for the whole clip. */
  get stretch() {
    const { marks, times } = this;
    if (!times || (marks.from === null && marks.to === null)) return null;
    const last = times.length - 1;
    const from = times[marks.from ?? 0];
    const to = times[marks.to ?? last];
    return from < to ? [from, to] : null;
  }

  given(step) { this.gotoKnown(this.scope.given(this.cursor[0], step)); }

  change(step) { this.gotoKnown(this.scope.change(this.cursor[0], step)); }

  gotoKnown(k) { if (k >= 0) this.goto(k); }

  // ------------------------------------------------------------------------------------------- window

  setWindow(level, width) {
    if (!this.grey) return;
    this.window = { level, width: Math.max(width, this.span / 65536, 1e-6) };
    this.windowChanged = true;
    this.invalidate();
  }

  dragEnd() {
    this.dragging = false;
    this.windowChanged = true;
    this.invalidate();
  }

  invert() {
    if (!this.grey) return;
    this.inverted = !this.inverted;
    this.windowChanged = true;
    this.invalidate();
  }

  pickPreset(which) {
    if (!this.grey || which === '') return;
    const preset = which === 'own' ? null : this.header.presets[Number(which)];
    if (which !== 'own' && !preset) return;
    this.setWindow(...(preset ? preset.slice(1) : [this.start.level, this.start.width]));
  }

  /** The model's window, as far as it is known. */
  get givenWindow() {
    const { run } = this.scope;
    if (run && run.window) return { level: run.window[0], width: run.window[1] };
    return this.start;
  }

  get windowDiffers() {
    const given = this.grey && this.givenWindow;
    if (!given) return false;
    const near = (a, b) => Math.abs(a - b) <= given.width * 1e-4;
    return this.inverted || !near(given.level, this.window.level) || !near(given.width, this.window.width);
  }

  backToWindow() {
    if (this.inverted) this.invert();
    this.setWindow(this.givenWindow.level, this.givenWindow.width);
  }

  // ------------------------------------------------------------------------------------------- tokens

  tokensAt(index) { return this.scope.at(index); }

  /** A what-if under way: a mask that comes back meanwhile must not pull the slider from under the hand. */
  moveThreshold(value) {
    this.holding = true;
    this.scope.setThreshold(value);
  }
}
