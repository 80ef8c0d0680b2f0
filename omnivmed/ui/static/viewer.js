// One viewer: what is shown and where, and the loop that draws it. At most one draw per screen refresh.
import { TEXT, say, num } from './texts.js';
import { fetchPayload } from './container.js';
import { clock } from './view2d.js';
import { tokenAt, givenAt } from './tokens.js';
import { storeFor } from './stores.js';
import { paintStrip, barSpan } from './paint.js';
import { buildPanel, fillMenus } from './panel.js';
import { icon } from './icons.js';
import { Pane } from './pane.js';
import { Microscope } from './microscope.js';
import { bindPane, bindKeys, bindTrack } from './input.js';
import { saveJson, saveNpz, savePng } from './save.js';

const RANGE_FOR = { uint8: 255, int8: 255, uint16: 65535, int16: 65535 };

export class Viewer {
  constructor(root, trigger) {
    this.root = root;
    this.trigger = trigger;
    this.value = null;
    this.state = {};
    this.panes = [];
    this.tool = 'window';
    this.mode = 'kept';
    this.overlay = true;
    this.opacity = 0.55;
    this.hoverToken = -1;
    this.stats = { draws: [], fetches: 0 };
    this.scope = new Microscope(this);
    this.ui = buildPanel(root, this.actions());
    bindKeys(this, root);
    bindTrack(this.ui.strip, (x) => this.stripTo(x));
    bindTrack(this.ui.histogram, (x) => this.scope.setThreshold(Math.round(x * 100) / 200), () => this.release());
    this.watch = new ResizeObserver(() => { this.scope.run && this.scope.sync(); this.invalidate(); });
    this.watch.observe(root);
    root.view = this;
    this.setTool('window');
    this.clear();
  }

  actions() {
    const call = (name) => (...args) => this[name](...args);
    const names = ['setTool', 'pickPreset', 'invert', 'zoom', 'fit', 'reset', 'layout', 'toggleOverlay', 'ask', 'saveMenu', 'help', 'full',
      'play', 'step', 'change', 'goto', 'speed', 'backToWindow', 'useWindow', 'release', 'setMode'];
    const act = Object.fromEntries(names.map((name) => [name, call(name)]));
    act.threshold = (value) => this.scope.setThreshold(value);
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
    this.stop();
    if (this.store && this.store.close) this.store.close();
    this.header = null;
    this.store = null;
    this.table = null;
    this.shown = undefined;
    this.scope.clear();
    this.panes = [];
    this.ui.panes.replaceChildren();
    this.ui.empty.hidden = false;
    this.ui.load.hidden = true;
    for (const part of ['bar', 'time', 'strip', 'tokens', 'differs', 'note']) this.ui[part].hidden = true;
    this.root.dataset.ready = 'false';
  }

  /** A new value from the app: load what changed, keep what did not. */
  apply(value) {
    const before = this.value;
    this.value = value || null;
    this.state = (value && value.state) || {};
    const url = (file) => (file && file.url) || null;
    const study = url(value && value.study);
    if (!study) {
      if (this.abort) this.abort.abort();
      this.studyUrl = null;
      this.clear();
      return;
    }
    if (study !== this.studyUrl) {
      this.maskUrl = url(value.mask);
      this.loadStudy(study).then(() => this.maskUrl && this.loadMask(this.maskUrl));
    } else if (url(value.mask) !== this.maskUrl) {
      this.maskUrl = url(value.mask);
      if (this.maskUrl) this.loadMask(this.maskUrl);
      else if (this.header && this.header.mask) this.scope.setRun(this.header, this.data, this.state.role);
    } else if (this.scope.run) {
      this.scope.run.role = this.state.role;
      this.scope.sync();
    }
    const seq = (v) => (v && v.state && v.state.goto_seq) || 0;
    if (this.header && this.state.goto != null && seq(value) !== seq(before)) this.goto(this.state.goto);
  }

  async loadStudy(url) {
    if (this.abort) this.abort.abort();
    this.abort = new AbortController();
    this.clear();
    this.studyUrl = url;
    this.started = performance.now();
    this.loading(0);
    try {
      await fetchPayload(url, {
        signal: this.abort.signal,
        onHeader: (header, data) => this.open(header, data),
        onBytes: (bytes) => {
          const changed = this.store.setLoaded(bytes);
          this.loading(bytes / this.header.data_bytes);
          if (!this.scope.run && this.header.mask && bytes >= this.smallBytes) this.scope.setRun(this.header, this.data, this.state.role);
          if (changed) this.invalidate();
        },
      });
      this.ui.load.hidden = true;
      this.root.dataset.loaded = 'true';
      this.invalidate();
    } catch (error) {
      if (error.name === 'AbortError') return;
      this.ui.load.hidden = false;
      this.ui.loadText.textContent = TEXT.failed;
      console.warn('viewer: the study could not be loaded', error);
    }
  }

  loading(share) {
    this.ui.empty.hidden = true;
    this.ui.load.hidden = share >= 1;
    this.ui.loadText.textContent = say(TEXT.loading, { percent: Math.floor(share * 100) });
    this.ui.loadBar.style.width = share * 100 + '%';
  }

  open(header, data) {
    this.header = header;
    this.data = data;
    this.store = storeFor(header, data);
    this.root.dataset.loaded = 'false';
    this.root.dataset.study = header.nonce;
    const big = header.arrays.voxels || header.arrays.pictures;
    this.smallBytes = big.offset; // everything before the pixels has come
    this.grey = header.display === 'voxels';
    this.inverted = false;
    if (this.grey) {
      const { slope, window, arrays } = header;
      this.span = RANGE_FOR[arrays.voxels.dtype] * Math.abs(slope);
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
    this.setTool(this.grey ? 'window' : 'pan');
    this.speed(Number(ui.speed.value));
    this.syncWindow();
    this.invalidate();
  }

  async loadMask(url) {
    try {
      const { header, data } = await fetchPayload(url);
      if (this.maskUrl !== url || !this.header) return;
      if (header.content_id && header.content_id !== this.header.content_id) return; // belongs to another study
      this.scope.setRun(header, data, this.state.role);
      this.syncWindow();
      this.invalidate();
    } catch (error) {
      console.warn('viewer: the mask could not be loaded', error);
    }
  }

  // ------------------------------------------------------------------------------------------- moving about

  setPanes(count) {
    const specs = this.header.planes.slice(0, count);
    this.panes = specs.map((spec) => new Pane(this, spec));
    this.ui.panes.replaceChildren(...this.panes.map((pane) => pane.root));
    this.ui.panes.dataset.count = String(count);
    for (const pane of this.panes) bindPane(this, pane);
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
    const at = Math.min(Math.max(Math.round(index), 0), n - 1);
    if (!Number.isFinite(at) || at === this.cursor[axis]) return;
    this.direction = Math.sign(at - this.cursor[axis]);
    this.cursor[axis] = at;
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

  given(step) {
    const k = this.scope.given(this.cursor[0], step);
    if (k >= 0) this.goto(k);
  }

  change(step) {
    const k = this.scope.change(this.cursor[0], step);
    if (k >= 0) this.goto(k);
  }

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

  play() {
    if (this.playing) {
      this.stop();
      return;
    }
    if (!this.header || this.header.shape[0] < 2) return;
    this.playing = true;
    this.ui.play.innerHTML = icon('pause');
    this.ui.play.title = TEXT.pause;
    this.ui.play.setAttribute('aria-label', TEXT.pause);
    let last = performance.now();
    const run = (now) => {
      if (!this.playing) return;
      const steps = Math.floor((now - last) / (1000 / this.rate));
      if (steps) {
        last += steps * (1000 / this.rate);
        const n = this.header.shape[0];
        this.goto((this.cursor[0] + Math.min(steps, 4)) % n);
      }
      requestAnimationFrame(run);
    };
    requestAnimationFrame(run);
  }

  stop() {
    this.playing = false;
    this.ui.play.innerHTML = icon('play');
    this.ui.play.title = TEXT.play;
    this.ui.play.setAttribute('aria-label', TEXT.play);
  }

  /** Frames per second for stacks; a multiple of real time for clips. */
  speed(value) {
    const seconds = this.times && this.times.length > 1 ? this.times[this.times.length - 1] - this.times[0] : 0;
    const real = seconds > 0 ? (this.times.length - 1) / seconds : 10;
    this.rate = this.header && this.header.kind === 'video' ? value * real : value;
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
    if (preset) this.setWindow(preset[1], preset[2]);
    else this.setWindow(this.start.level, this.start.width);
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
    if (this.header) this.givenNote();
    this.invalidate();
  }

  setMode(mode) {
    this.mode = mode;
    this.showOverlay(true);
    this.scope.sync();
    this.invalidate();
  }

  nextMode() { this.setMode(this.scope.nextMode(this.mode)); }

  release() {
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
    this.ui.hoverLine.textContent = this.scope.hoverText(this.cursor[0], token);
    this.readout(pane);
    if (token !== this.hoverToken) {
      this.hoverToken = token;
      if (this.overlay) this.invalidate();
    }
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
    this.stop();
    this.invalidate();
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
      this.syncWindow();
    }
    let shown = null;
    for (const pane of this.panes) {
      const index = pane.draw();
      if (pane.spec.axis === 0 && index !== null) shown = index;
    }
    this.drawStrip();
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
      this.scope.syncFrame(this.cursor[0]);
      this.givenNote();
    }
    if (this.store.prefetch) this.store.prefetch(index, this.direction || 1);
    if (root.dataset.ready !== 'true') {
      root.dataset.ready = 'true';
      const first = Math.round(performance.now() - this.started);
      root.dataset.firstMs = String(first);
      this.trigger('viewer_ready', { content_id: this.header.content_id, first_ms: first });
    }
  }

  /** Says so when the slice on screen was not among those given to the model. */
  givenNote() {
    const { now } = this.scope;
    const { note } = this.ui;
    note.hidden = true;
    if (!now || !this.overlay || now.frames < 2) return;
    const { at, before, after } = givenAt(now.index, this.cursor[0]);
    if (at > 0) return;
    note.hidden = false;
    const name = (k) => now.index[k] + 1;
    if (at === 0) note.textContent = TEXT.firstWhole;
    else if (before >= 0 && after >= 0) note.textContent = say(TEXT.notGivenTwo, { a: name(before), b: name(after) });
    else note.textContent = say(TEXT.notGiven, { a: name(before >= 0 ? before : after) });
  }

  syncWindow() {
    const { ui } = this;
    if (!this.grey) {
      ui.differs.hidden = true;
      return;
    }
    const { level, width } = this.window;
    const k = this.header.presets.findIndex((p) => Math.abs(p[1] - level) < 1e-6 && Math.abs(p[2] - width) < 1e-6);
    ui.presets.value = k < 0 ? '' : String(k);
    this.root.dataset.window = level + ',' + width;
    const given = this.givenWindow;
    ui.differs.hidden = !(this.scope.run && this.windowDiffers);
    ui.differsText.textContent = TEXT.differs;
    if (given) ui.differs.title = say(TEXT.differsHint, { level: num(given.level, 4), width: num(given.width, 4) });
  }

  labelPane(pane, index) {
    const { header } = this;
    const { marks, spec } = pane;
    const set = (name, text) => { if (marks[name].textContent !== text) marks[name].textContent = text; };
    set('tl', [header.modality, spec.name || header.plane].filter(Boolean).join(' · '));
    if (this.grey) {
      const { level, width } = this.window;
      set('tr', say(TEXT.window, { level: num(level, 4), width: num(width, 4) }) + (this.inverted ? ' · ' + TEXT.inverted : ''));
    }
    const n = header.shape[spec.axis];
    const word = header.kind === 'video' ? TEXT.frame : header.kind === 'image' ? TEXT.picture : TEXT.slice;
    const i = spec.axis === 0 ? index : this.cursor[spec.axis];
    const lines = [n > 1 ? word + ' ' + say(TEXT.of, { i: i + 1, n }) : ''];
    if (header.scale > 1.01 && header.kind !== 'video') lines.push(say(TEXT.reduced, { scale: num(header.scale, 2) }));
    set('bl', lines.filter(Boolean).join('\n'));
    this.readout(pane);
  }

  /** Position and value under the pointer. */
  readout(pane) {
    const { header } = this;
    const voxel = pane.hover && pane.voxel(pane.hover);
    const mark = pane.marks.br;
    if (!voxel) {
      mark.textContent = '';
      return;
    }
    const source = voxel.map((v, axis) => (axis === 0 ? v : (v + 0.5) * header.scale - 0.5));
    const lines = [];
    if (header.affine) {
      const mm = [0, 1, 2].map((k) => header.affine[k].reduce((sum, a, c) => sum + a * (c < 3 ? source[c] : 1), 0));
      lines.push(mm.map((v, k) => 'RAS'[k] + ' ' + v.toFixed(1)).join('  ') + ' mm');
    } else if (header.spacing_mm) {
      lines.push('↓ ' + (source[1] * header.spacing_mm[1]).toFixed(1) + '  → ' + (source[2] * header.spacing_mm[2]).toFixed(1) + ' mm');
    }
    let value = '';
    if (this.grey && this.store.has(voxel[0])) {
      const unit = header.unit === 'HU' ? ' HU' : '';
      value = (header.exact ? '' : TEXT.exactNot + ' ') + num(this.store.value(...voxel), 5) + unit + '  ·  ';
    }
    lines.push(value + '↓ ' + Math.round(source[1]) + '  → ' + Math.round(source[2]) + ' px');
    mark.textContent = lines.join('\n');
  }

  drawStrip() {
    const { strip } = this.ui;
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(strip.clientWidth * ratio);
    const height = Math.round(strip.clientHeight * ratio);
    if (!width || !height || strip.hidden) return;
    if (strip.width !== width || strip.height !== height) {
      strip.width = width;
      strip.height = height;
    }
    const { now } = this.scope;
    paintStrip(strip.getContext('2d'), {
      width, height, ratio, total: this.header.shape[0], current: this.cursor[0], faint: !this.scope.isRun,
      index: now && now.index, perFrame: now && now.perFrame, n: now && now.n, at: now ? givenAt(now.index, this.cursor[0]).at : -1,
    });
  }
}
