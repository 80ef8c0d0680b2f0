// What is written round the picture: slice and window, the read-out under the pointer, the strip.
import { TEXT, say, num } from './texts.js';
import { givenAt } from './tokens.js';
import { paintStrip } from './paint.js';
import { clock } from './view2d.js';

/** Says so when the slice on screen was not among those given to the model. */
export function givenNote(viewer) {
  const { now } = viewer.scope;
  const { note } = viewer.ui;
  note.hidden = true;
  if (viewer.state.glimpse) {
    note.hidden = false;
    note.textContent = TEXT.glimpse;
  }
  if (!now || !viewer.overlay || now.frames < 2) return;
  const { at, before, after } = givenAt(now.index, viewer.cursor[0]);
  if (at > 0) return;
  note.hidden = false;
  const name = (k) => now.index[k] + 1;
  if (at === 0) note.textContent = TEXT.firstWhole;
  else if (before >= 0 && after >= 0) note.textContent = say(TEXT.notGivenTwo, { a: name(before), b: name(after) });
  else note.textContent = say(TEXT.notGiven, { a: name(before >= 0 ? before : after) });
}

/** Buttons and words of the stretch that was marked. */
export function syncMarks({ ui, marks, stretch, root }) {
  ui.fromHere.setAttribute('aria-pressed', String(marks.from !== null));
  ui.toHere.setAttribute('aria-pressed', String(marks.to !== null));
  ui.askStretch.hidden = !stretch;
  const text = stretch ? say(TEXT.stretch, { a: clock(stretch[0]), b: clock(stretch[1]) }) : '';
  ui.askStretch.title = stretch ? TEXT.askStretch + ': ' + text : TEXT.askStretch;
  ui.askStretch.setAttribute('aria-label', ui.askStretch.title);
  if (text) ui.live.textContent = text;
  if (stretch) root.dataset.stretch = stretch.join();
  else delete root.dataset.stretch;
}

export function syncWindow(viewer) {
  const { ui } = viewer;
  if (!viewer.grey || viewer.header.background != null) {
    ui.differs.hidden = true;
    return;
  }
  const { level, width } = viewer.window;
  const k = viewer.header.presets.findIndex((p) => Math.abs(p[1] - level) < 1e-6 && Math.abs(p[2] - width) < 1e-6);
  ui.presets.value = k < 0 ? '' : String(k);
  viewer.root.dataset.window = level + ',' + width;
  const given = viewer.givenWindow;
  ui.differs.hidden = !(viewer.scope.run && viewer.windowDiffers);
  ui.differsText.textContent = TEXT.differs;
  if (given) ui.differs.title = say(TEXT.differsHint, { level: num(given.level, 4), width: num(given.width, 4) });
}

export function labelPane(viewer, pane, index) {
  const { header } = viewer;
  const { marks, spec } = pane;
  const set = (name, text) => { if (marks[name].textContent !== text) marks[name].textContent = text; };
  set('tl', [header.modality, spec.name || header.plane].filter(Boolean).join(' · '));
  if (viewer.grey && header.background == null) {
    const { level, width } = viewer.window;
    set('tr', say(TEXT.window, { level: num(level, 4), width: num(width, 4) }) + (viewer.inverted ? ' · ' + TEXT.inverted : ''));
  }
  const n = header.shape[spec.axis];
  const word = header.kind === 'video' ? TEXT.frame : header.kind === 'image' ? TEXT.picture : TEXT.slice;
  const i = spec.axis === 0 ? index : viewer.cursor[spec.axis];
  const lines = [n > 1 ? word + ' ' + say(TEXT.of, { i: i + 1, n }) : ''];
  const scale = pane.shownScale || header.scale;
  if (scale > 1.01) lines.push(say(TEXT.reduced, { scale: num(scale, 2) }));
  set('bl', lines.filter(Boolean).join('\n'));
  readout(viewer, pane);
}

/** Position and value under the pointer. */
export function readout(viewer, pane) {
  const { header } = viewer;
  const voxel = pane.hover && pane.voxel(pane.hover);
  const mark = pane.marks.br;
  if (!voxel) {
    if (mark.textContent) mark.textContent = '';
    return;
  }
  const source = voxel.map((v, axis) => (axis === 0 ? v : (v + 0.5) * header.scale - 0.5));
  const lines = [];
  if (header.affine) {
    const placed = [header.slice_index ? header.slice_index[voxel[0]] : source[0], source[1], source[2], 1];
    const mm = [0, 1, 2].map((k) => header.affine[k].reduce((sum, a, c) => sum + a * placed[c], 0));
    lines.push(mm.map((v, k) => 'RAS'[k] + ' ' + v.toFixed(1)).join('  ') + ' mm');
  } else if (header.spacing_mm) {
    lines.push('↓ ' + (source[1] * header.spacing_mm[1]).toFixed(1) + '  → ' + (source[2] * header.spacing_mm[2]).toFixed(1) + ' mm'
      + (TEXT.lengthsAt[header.spacing_at] ? ' ' + TEXT.lengthsAt[header.spacing_at] : ''));
  }
  let value = '';
  const at = viewer.store.has(voxel[0]) ? viewer.store.value(voxel[0], voxel[1], voxel[2]) : null;
  if (at !== null) {
    const unit = header.unit === 'HU' ? ' HU' : '';
    const label = header.background == null ? null : header.labels.find(([number]) => number === at);
    if (label) lines.push(label[1]);
    value = (header.exact ? '' : TEXT.exactNot + ' ') + num(at, 5) + unit + '  ·  ';
  }
  lines.push(value + '↓ ' + Math.round(source[1]) + '  → ' + Math.round(source[2]) + ' px');
  const token = pane.spec.axis === 0 && viewer.overlay ? viewer.scope.hoverShort(viewer.cursor[0], viewer.hoverToken) : '';
  if (token) lines.unshift(token);
  const text = lines.join('\n');
  if (mark.textContent !== text) mark.textContent = text;
}

/** The strip's size on the page, read before a draw writes anything. */
export function readStrip(viewer) {
  const { strip } = viewer.ui;
  viewer.stripBox = strip.hidden ? [0, 0] : [strip.clientWidth, strip.clientHeight];
}

export function drawStrip(viewer) {
  const { strip } = viewer.ui;
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = viewer.stripBox.map((n) => Math.round(n * ratio));
  if (!width || !height) return;
  if (strip.width !== width || strip.height !== height) {
    strip.width = width;
    strip.height = height;
  }
  const { now } = viewer.scope;
  paintStrip(strip.getContext('2d'), {
    width, height, ratio, total: viewer.header.shape[0], current: viewer.cursor[0], faint: !viewer.scope.isRun,
    marks: viewer.stretch && viewer.marks,
    index: now && now.index, perFrame: now && now.perFrame, n: now && now.n, at: now ? givenAt(now.index, viewer.cursor[0]).at : -1,
  });
}
