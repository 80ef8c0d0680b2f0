// One viewer: what is shown and where, and the loop that draws it. At most one draw per screen refresh.
import { TEXT, say } from './texts.js';
import { Loader } from './loader.js';
import { clock } from './view2d.js';
import { tokenAt } from './tokens.js';
import { free } from './container.js';
import { storeFor } from './stores.js';
import { barSpan } from './paint.js';
import { buildPanel, fillMenus } from './panel.js';
import { Pane } from './pane.js';
import { Microscope } from './microscope.js';
import { bindPane, bindKeys, bindTrack } from './input.js';
import { Thumbs } from './thumbs.js';
import { Player } from './player.js';
import { givenNote, syncWindow, labelPane, readout, readStrip, drawStrip } from './labels.js';
import { saveJson, saveNpz, savePng } from './save.js';

const RANGE = { uint8: 255, int8: 255, uint16: 65535, int16: 65535 };

export class Viewer {
  constructor(root, trigger) {
    this.root = root;
    this.trigger = trigger;
    this.value = null; // as the app sent it: addresses of files
    this.state = {}; // and a few settings
    this.panes = [];
    this.tool = 'window';
    this.mode = 'kept';
    this.overlay = true;
    this.opacity = 0.55;
    this.hoverToken = -1;
    this.stats = { draws: [] };
    this.scope = new Microscope(this);
    this.player = new Player(this);
    this.loader = new Loader(this);
    this.ui = buildPanel(root, this.actions());
    this.thumbs = new Thumbs(this);
    bindKeys(this, root);
    bindTrack(this.ui.strip, (x) => this.stripTo(x));
    bindTrack(this.ui.histogram, (x) => this.moveThreshold(Math.round(x * 100) / 200), () => this.release());
    this.watch = new ResizeObserver(() => { this.scope.run && this.scope.sync(); this.invalidate(); });
    this.watch.observe(root);
    root.view = this;
    this.setTool('window');
    this.clear();
  }

  actions() {
    const call = (name) => (...args) => this[name](...args);
    const names = ['setTool', 'pickPreset', 'invert', 'zoom', 'fit', 'reset', 'layout', 'toggleOverlay', 'ask', 'saveMenu', 'help', 'full',
      'step', 'change', 'goto', 'backToWindow', 'useWindow', 'release', 'setMode'];
    const act = Object.fromEntries(names.map((name) => [name, call(name)]));
    act.play = () => this.player.toggle();
    act.speed = (value) => this.player.speed(value);
    act.threshold = (value) => this.moveThreshold(value);
    act.reference = (value) => { this.scope.setReference(value); this.release(); };
    act.backToRun = () => { this.scope.backToRun(); this.release(); };
    act.opacity = (value) => { this.opacity = value; this.invalidate(); };
    act.savePng = () => { this.saveMenu(); savePng(this); };
    act.saveJson = () => { this.saveMenu(); saveJson(this); };
    act.saveNpz = () => { this.saveMenu(); saveNpz(this); };
    return act;
  }

  // ------------------------------------------------------------------------------------------- what is shown

  clear() {
    this.player.stop();
    this.player.setClip(null);
    if (this.thumbs) this.thumbs.drop();
    if (this.store && this.store.close) this.store.close();
    free(this.data);
    this.header = this.data = null;
    this.store = null;
    this.table = null;
    this.shown = undefined;
    this.scope.clear();
    this.panes = [];
    this.ui.panes.replaceChildren();
    this.ui.empty.hidden = false;
    this.ui.load.hidden = true;
    for (const part of ['bar', 'time', 'strip', 'tokens', 'differs', 'note', 'card', 'menu']) this.ui[part].hidden = true;
    this.ui.help.setAttribute('aria-expanded', 'false');
    this.ui.save.setAttribute('aria-expanded', 'false');
    this.root.dataset.ready = 'false';
    delete this.root.dataset.window;
  }

  open(header, data) {
    this.header = header;
    this.data = data;
    this.store = storeFor(header, data);
    this.root.dataset.loaded = 'false';
    this.root.dataset.study = header.nonce;
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
    this.times = header.arrays.times_s ? new Float64Array(data, header.arrays.times_s.offset, frames) : null;
    this.setPanes(1);
    const { ui } = this;
    const many = frames > 1;
    this.showOverlay(many);
    ui.bar.hidden = false;
    ui.time.hidden = ui.strip.hidden = !many;
    ui.slider.max = frames - 1;
    ui.presets.parentNode.hidden = !this.grey;
    ui.toolButtons.window.hidden = !this.grey;
    ui.toolButtons.scroll.hidden = !many;
    ui.layout.hidden = header.planes.length < 3;
    ui.ask.title = header.kind === 'video' ? TEXT.askFrame : TEXT.ask;
    ui.ask.setAttribute('aria-label', ui.ask.title);
    ui.ask.hidden = !many;
    fillMenus(ui, header, header.kind === 'video');
    const coarse = window.matchMedia('(pointer: coarse)').matches; // one finger scrolls
    this.setTool(coarse && many ? 'scroll' : this.grey ? 'window' : 'pan');
    this.player.speed(Number(ui.speed.value));
    syncWindow(this);
    this.invalidate();
  }

  // ------------------------------------------------------------------------------------------- moving about

  setPanes(count) {
    const held = this.ui.panes.contains(document.activeElement);
    const specs = this.header.planes.slice(0, count);
    this.panes = specs.map((spec) => new Pane(this, spec));
    this.ui.panes.replaceChildren(...this.panes.map((pane) => pane.root));
    this.ui.panes.dataset.count = String(count);
    for (const pane of this.panes) bindPane(this, pane);
    if (held) this.pane.canvas.focus({ preventScroll: true });
    this.ui.layout.setAttribute('aria-pressed', String(count > 1));
    this.ui.layout.title = count > 1 ? TEXT.layoutBack : TEXT.layout;
  }

  get pane() { return this.panes[0]; }

  layout() {
    if (this.header.planes.length < 3) return;
    this.setPanes(this.panes.length > 1 ? 1 : 3);
    this.invalidate();
  }

  goto(index) { this.setAxis(0, index); }

  setAxis(axis, index) {
    const n = this.header.shape[axis];
    let at = Math.min(Math.max(Math.round(index), 0), n - 1);
    if (axis === 0 && Number.isFinite(at)) at = this.reachable(at);
    if (!Number.isFinite(at) || at === this.cursor[axis]) return;
    this.direction = Math.sign(at - this.cursor[axis]);
    this.cursor[axis] = at;
    if (axis === 0) this.player.moved(at);
    this.invalidate();
  }

  /** Until the whole clip has been prepared, only its sampled frames can be shown: the next one that way. */
  reachable(at) {
    if (this.grey || this.player.hasClip || this.store.at.has(at)) return at;
    const { index } = this.store;
    const found = at > this.cursor[0] ? index.find((k) => k >= at) : index.findLast((k) => k <= at);
    return found === undefined ? this.cursor[0] : found;
  }

  /** The last frame at or before `at` that can be shown now. */
  lastAtHand(at) {
    if (this.grey || this.player.hasClip || this.store.at.has(at)) return at;
    const found = this.store.index.findLast((k) => k <= at);
    return found === undefined ? this.store.index[0] : found;
  }

  /** A playing clip has put frame k on the element. */
  showPlayed(k) {
    if (!this.header || k < 0 || k >= this.header.shape[0]) return;
    this.cursor[0] = k;
    this.invalidate();
  }

  stepAxis(axis, by) { this.setAxis(axis, this.cursor[axis] + by); }

  step(by) { this.stepAxis(0, by); }

  /** Jump to a 0-based index, a number counted from 1, or a time in seconds. */
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

  given(step) { this.gotoKnown(this.scope.given(this.cursor[0], step)); }

  change(step) { this.gotoKnown(this.scope.change(this.cursor[0], step)); }

  gotoKnown(k) { if (k >= 0) this.goto(k); }

  stripTo(x) {
    if (!this.header) return;
    const total = this.header.shape[0];
    const { now } = this.scope;
    if (!now) {
      this.goto(Math.floor(x * total));
      return;
    }
    for (let k = 0; k < now.frames; k++) {
      if (x <= barSpan(now.index, k, total)[1]) {
        this.goto(now.index[k]);
        return;
      }
    }
  }

  // ------------------------------------------------------------------------------------------- window, zoom

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
    this.ui.invert.setAttribute('aria-pressed', String(this.inverted));
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

  useWindow() { this.trigger('use_window', { ...this.window }); }

  zoom(factor) { this.panes.forEach((pane) => pane.zoom(factor)); this.invalidate(); }

  fit() { this.panes.forEach((pane) => pane.fit()); this.invalidate(); }

  reset() {
    if (this.inverted) this.invert();
    if (this.grey) this.setWindow(this.start.level, this.start.width);
    this.panes.forEach((pane) => pane.setMeasure(null));
    this.fit();
  }

  setTool(name) {
    this.tool = name;
    for (const [key, button] of Object.entries(this.ui.toolButtons)) button.setAttribute('aria-pressed', String(key === name));
    this.root.dataset.tool = name;
  }

  // ------------------------------------------------------------------------------------------- tokens

  tokensAt(index) { return this.scope.at(index); }

  toggleOverlay() { this.showOverlay(!this.overlay); }

  showOverlay(on) {
    this.overlay = on;
    this.ui.overlay.setAttribute('aria-pressed', String(on));
    this.invalidate();
  }

  setMode(mode) {
    this.mode = mode;
    this.showOverlay(true);
    this.scope.sync();
    this.invalidate();
  }

  nextMode() { this.setMode(this.scope.nextMode(this.mode)); }

  /** A what-if under way: a mask that comes back meanwhile must not pull the slider from under the hand. */
  moveThreshold(value) {
    this.holding = true;
    this.scope.setThreshold(value);
  }

  release() {
    this.holding = false;
    if (!this.scope.run) return;
    this.trigger('threshold_release', { ...this.scope.wanted });
  }

  ask() {
    const index = this.cursor[0];
    this.trigger('ask_slice', { index, time_s: this.times ? this.times[index] : null, plane: this.header.plane });
  }

  hoverAt(pane, point) {
    pane.hover = point;
    let token = -1;
    if (point && pane.spec.axis === 0 && this.scope.now) {
      const { scale } = this.header;
      if (this.tokensAt(this.cursor[0])) token = tokenAt(this.scope.now.rects, point[0] * scale, point[1] * scale);
    }
    const other = token !== this.hoverToken;
    this.hoverToken = token;
    this.ui.hoverLine.textContent = this.scope.hoverText(this.cursor[0], token);
    readout(this, pane);
    if (other && this.overlay) this.invalidate();
  }

  clickAt(pane, point) {
    if (this.tool === 'measure') {
      pane.setMeasure(null);
      this.invalidate();
      return;
    }
    if (this.panes.length < 2) return;
    const voxel = pane.voxel(point);
    if (voxel) voxel.forEach((v, axis) => this.setAxis(axis, v));
  }

  // ------------------------------------------------------------------------------------------- menus

  help() {
    this.ui.card.hidden = !this.ui.card.hidden;
    this.ui.help.setAttribute('aria-expanded', String(!this.ui.card.hidden));
    if (!this.ui.card.hidden) this.ui.card.querySelector('button').focus();
    else this.ui.help.focus();
  }

  saveMenu() {
    this.ui.menu.hidden = !this.ui.menu.hidden;
    this.ui.save.setAttribute('aria-expanded', String(!this.ui.menu.hidden));
    this.ui.saveMask.forEach((item) => { item.disabled = !this.scope.run; });
    if (!this.ui.menu.hidden) this.ui.menu.querySelector('button').focus();
    else this.ui.save.focus();
  }

  escape() {
    if (!this.ui.card.hidden) this.help();
    if (!this.ui.menu.hidden) this.saveMenu();
    this.panes.forEach((pane) => pane.setMeasure(null));
    this.player.stop();
    this.invalidate();
  }

  /** Tell a screen reader where one is, once the person rests there. */
  announce() {
    clearTimeout(this.saying);
    const [n] = this.header.shape;
    if (n < 2 || this.player.playing || !this.root.contains(document.activeElement)) return;
    this.saying = setTimeout(() => {
      if (!this.header) return;
      const what = this.header.kind === 'video' ? TEXT.frame : TEXT.slice;
      this.ui.live.textContent = say(TEXT.announce, { what, i: this.cursor[0] + 1, n }) + '. ' + this.ui.keptHere.textContent;
    }, 600);
  }

  full() {
    if (document.fullscreenElement) document.exitFullscreen();
    else if (this.root.requestFullscreen) this.root.requestFullscreen();
  }

  // ------------------------------------------------------------------------------------------- drawing

  invalidate() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      if (this.header) this.draw();
    });
  }

  draw() {
    const start = performance.now();
    if (this.windowChanged && this.grey) {
      this.table = this.store.table(this.window.level, this.window.width, this.inverted);
      this.tableSerial = (this.tableSerial || 0) + 1;
      this.windowChanged = false;
      syncWindow(this);
    }
    let shown = null;
    for (const pane of this.panes) pane.readBox();
    readStrip(this);
    for (const pane of this.panes) {
      const index = pane.draw();
      if (pane.spec.axis === 0 && index !== null) shown = index;
    }
    drawStrip(this);
    this.stats.draws.push(performance.now() - start);
    if (this.stats.draws.length > 2000) this.stats.draws.splice(0, 1000);
    if (shown !== null) this.drawn(shown);
  }

  drawn(index) {
    const { root, ui } = this;
    const [frames] = this.header.shape;
    this.shown = index;
    root.dataset.slice = root.dataset.frame = String(index);
    root.dataset.overlay = String(this.overlay);
    root.dataset.mode = this.mode;
    ui.slider.value = String(this.cursor[0]);
    const place = say(TEXT.of, { i: this.cursor[0] + 1, n: frames }) + (this.times ? '  ·  ' + clock(this.times[this.cursor[0]]) : '');
    if (ui.place.textContent !== place) {
      ui.place.textContent = place;
      ui.slider.setAttribute('aria-valuetext', place);
    }
    const key = [this.cursor[0], this.scope.serial, this.overlay].join();
    if (key !== this.noteKey) {
      this.noteKey = key;
      this.announce();
      this.scope.syncFrame(this.cursor[0]);
      givenNote(this);
    }
    if (this.store.prefetch) this.store.prefetch(index, this.direction || 1);
    if (root.dataset.ready !== 'true') {
      root.dataset.ready = 'true';
      const first = Math.round(performance.now() - this.loader.started);
      root.dataset.firstMs = String(first);
      this.trigger('viewer_ready', { content_id: this.header.content_id, first_ms: first });
    }
  }
}
