// One viewer on the page: the view of a `ViewState`, and the loop that draws it. At most one draw per screen refresh.
import { TEXT, say } from './texts.js';
import { Loader } from './loader.js';
import { clock } from './view2d.js';
import { tokenAt } from './tokens.js';
import { free } from './container.js';
import { barSpan } from './paint.js';
import { buildPanel, fillLabels, fillMenus } from './panel.js';
import { Pane } from './pane.js';
import { bindPane, bindKeys, bindTrack } from './input.js';
import { Preview } from './preview.js';
import { Thumbs } from './thumbs.js';
import { Player } from './player.js';
import { ViewState } from './state.js';
import { givenNote, syncMarks, syncWindow, readout, readStrip, drawStrip } from './labels.js';
import { linkTo } from './keep.js';
import { saveJson, saveNpz, savePng } from './save.js';

export class Viewer extends ViewState {
  /** @param {HTMLElement} root @param {(name: string, data: object) => void} trigger tells the app of an event */
  constructor(root, trigger) {
    super();
    this.root = root;
    this.trigger = trigger;
    /** @type {Pane[]} */
    this.panes = [];
    this.stats = { draws: [] };
    this.player = new Player(this);
    this.preview = new Preview(this);
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
      'step', 'change', 'goto', 'mark', 'askMoment', 'askStretch', 'backToWindow', 'useWindow', 'release', 'setMode'];
    const act = Object.fromEntries(names.map((name) => [name, call(name)]));
    act.ask = () => this.ask();
    act.play = () => this.player.toggle();
    act.speed = (value) => this.player.speed(value);
    act.threshold = (value) => this.moveThreshold(value);
    act.typed = (box) => this.typedThreshold(box);
    act.reference = (value) => { this.scope.setReference(value); this.release(); };
    act.backToRun = () => { this.scope.backToRun(); this.release(); };
    act.opacity = (value) => { this.opacity = value; this.invalidate(); };
    act.savePng = () => { this.saveMenu(); savePng(this); };
    act.saveJson = () => { this.saveMenu(); saveJson(this); };
    act.saveLink = () => this.copyLink();
    act.saveNpz = () => { this.saveMenu(); saveNpz(this); };
    return act;
  }

  // ------------------------------------------------------------------------------------------- what is shown

  clear() {
    this.player.stop();
    this.player.setClip(null);
    if (this.thumbs) this.thumbs.drop();
    if (this.store) this.store.close();
    this.preview.clear();
    free(this.data);
    this.forget();
    this.shown = undefined;
    this.panes = [];
    this.ui.panes.replaceChildren();
    this.ui.empty.hidden = false;
    this.ui.load.hidden = true;
    for (const part of ['bar', 'time', 'strip', 'tokens', 'differs', 'labels', 'note', 'card', 'menu']) this.ui[part].hidden = true;
    this.ui.help.setAttribute('aria-expanded', 'false');
    this.ui.save.setAttribute('aria-expanded', 'false');
    this.root.dataset.ready = 'false';
    delete this.root.dataset.window;
  }

  open(header, data) {
    this.root.dataset.loaded = 'false';
    this.root.dataset.study = header.nonce;
    this.load(header, data);
    const [frames] = header.shape;
    this.setPanes(1);
    const { ui } = this;
    const many = frames > 1;
    this.showOverlay(many);
    ui.bar.hidden = false;
    ui.time.hidden = ui.strip.hidden = !many;
    ui.slider.max = frames - 1;
    const windowed = this.grey && header.background == null;
    ui.presets.parentNode.hidden = ui.invert.hidden = !windowed;
    ui.toolButtons.window.hidden = !windowed;
    fillLabels(ui.labels, header);
    ui.toolButtons.scroll.hidden = !many;
    ui.layout.hidden = header.planes.length < 3;
    ui.ask.title = header.kind === 'video' ? TEXT.askFrame : TEXT.ask;
    ui.ask.setAttribute('aria-label', ui.ask.title);
    ui.ask.hidden = !many;
    const timed = header.kind === 'video' && many && Boolean(this.times);
    ui.stretch.hidden = !timed;
    ui.moment.hidden = !many;
    ui.moment.title = timed ? TEXT.askMoment : TEXT.askNeighbours;
    ui.moment.setAttribute('aria-label', ui.moment.title);
    syncMarks(this);
    fillMenus(ui, header, header.kind === 'video');
    const coarse = window.matchMedia('(pointer: coarse)').matches; // one finger scrolls
    this.setTool(coarse && many ? 'scroll' : windowed ? 'window' : 'pan');
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

  /** A playing clip has put frame k on the element. */
  showPlayed(k) {
    if (!this.header || k < 0 || k >= this.header.shape[0]) return;
    this.cursor[0] = k;
    this.invalidate();
  }

  get anyFrame() { return super.anyFrame || this.player.hasClip; }

  moved(at) { this.player.moved(at); }

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

  invert() {
    super.invert();
    this.ui.invert.setAttribute('aria-pressed', String(this.inverted));
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

  /** A number was typed into the threshold's box: an empty box says nothing, so what was there comes back. */
  typedThreshold(box) {
    const typed = box.value.trim() === '' ? NaN : Number(box.value);
    const value = Number.isFinite(typed) ? Math.min(2, Math.max(0, typed)) : this.scope.wanted.threshold;
    box.value = String(Number(value.toFixed(4)));
    if (!Number.isFinite(typed)) return;
    this.moveThreshold(value);
    this.release();
  }

  release() {
    this.holding = false;
    if (!this.scope.run) return;
    this.trigger('threshold_release', { ...this.scope.wanted });
  }

  ask(more = {}) {
    if (window.omnivmedShow) window.omnivmedShow('question'); // on a phone it stands behind the picture
    const index = this.cursor[0];
    this.trigger('ask_slice', { index, time_s: this.times ? this.times[index] : null, plane: this.header.plane, ...more });
  }

  askMoment() { if (!this.ui.moment.hidden) this.ask({ around: true }); }

  askStretch() {
    const { stretch } = this;
    if (stretch) this.ask({ from_s: stretch[0], to_s: stretch[1] });
  }

  mark(end) {
    if (!this.times || this.ui.stretch.hidden) return;
    super.mark(end);
    syncMarks(this);
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
    this.ui.saveLink.hidden = !this.state.sample;
    if (!this.ui.menu.hidden) this.ui.menu.querySelector('button').focus();
    else this.ui.save.focus();
  }

  /** The address of this view, into the address bar and the clipboard; only ready studies have one. */
  copyLink() {
    this.saveMenu();
    const link = linkTo(this, location);
    if (!link) return;
    history.replaceState(history.state, '', link);
    const told = (text) => { this.ui.note.hidden = false; this.ui.note.textContent = text; };
    if (!navigator.clipboard) told(TEXT.linkInBar);
    else navigator.clipboard.writeText(link).then(() => told(TEXT.linkCopied), () => told(TEXT.linkInBar));
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
      this.table = this.store.tableFor(this.window.level, this.window.width, this.inverted);
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
    this.store.prefetch(index, this.direction || 1);
    if (root.dataset.ready !== 'true') {
      root.dataset.ready = 'true';
      root.dataset.seen = 'true'; // from now on an empty stage is one that was left empty
      const first = Math.round(performance.now() - this.loader.started);
      root.dataset.firstMs = String(first);
      this.trigger('viewer_ready', { content_id: this.header.content_id, first_ms: first });
    }
  }
}
