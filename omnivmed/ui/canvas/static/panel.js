// The viewer's page elements: toolbar, stage, time line, strip, token panel. Built once, filled by the viewer.
import { TEXT, say } from './texts.js';
import { icon } from './icons.js';

const PROPS = new Set(['hidden', 'disabled', 'checked', 'value', 'textContent', 'innerHTML']);
let serial = 0;

/** el('button', {class: 'x', onclick: f}, child, 'text') -> element. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else if (PROPS.has(name)) node[name] = value;
    else if (value !== undefined && value !== null) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

/** An icon button; the text is its name and its tooltip. */
export function iconButton(name, text, onclick, extra = {}) {
  return el('button', { type: 'button', class: 'omv-btn', title: text, 'aria-label': text, innerHTML: icon(name), onclick, ...extra });
}

/** A small set of choices of which one is on: radio buttons that look like one control. */
function segmented(label, options, onpick) {
  const name = 'omv-seg-' + ++serial;
  const group = el('div', { class: 'omv-seg', role: 'radiogroup', 'aria-label': label });
  const inputs = {};
  for (const [value, text, hint] of options) {
    const input = el('input', { type: 'radio', name, value, onchange: () => onpick(value) });
    inputs[value] = input;
    group.append(el('label', { title: hint || text }, input, el('span', {}, text)));
  }
  return { group, inputs, set: (value) => { if (inputs[value]) inputs[value].checked = true; } };
}

function field(label, ...controls) {
  return el('div', { class: 'omv-field' }, el('span', { class: 'omv-label' }, label), ...controls);
}

/** All elements of a viewer; `act` holds what the controls do. */
export function buildPanel(root, act) {
  const ui = {};
  buildBar(ui, act);
  buildStage(ui, act);
  buildTime(ui, act);
  buildTokens(ui, act);
  ui.live = el('div', { class: 'omv-hidden', 'aria-live': 'polite' });
  ui.labels = el('ul', { class: 'omv-labels', 'aria-label': TEXT.legend, hidden: true, tabindex: 0 });
  ui.dark = el('div', { class: 'omv-dark' }, ui.stage, ui.labels, ui.time, ui.strip);
  root.replaceChildren(el('div', { class: 'omv-body' }, ui.bar, ui.dark, ui.tokens), ui.live);
  root.setAttribute('role', 'group');
  root.setAttribute('aria-label', TEXT.root);
  return ui;
}

/** Colour and name of each label of a label map. */
export function fillLabels(list, header) {
  list.hidden = !header.labels || !header.labels.length;
  list.replaceChildren(...(header.labels || []).map(([, name, colour]) =>
    el('li', {}, el('i', { style: 'background:rgb(' + colour.join(',') + ')' }), name)));
}

function buildBar(ui, act) {
  const tool = (name, text) => iconButton(name, text, () => act.setTool(name), { 'aria-pressed': 'false' });
  ui.toolButtons = {
    window: tool('window', TEXT.toolWindow),
    scroll: tool('scroll', TEXT.toolScroll),
    pan: tool('pan', TEXT.toolPan),
    measure: tool('measure', TEXT.toolMeasure),
  };
  ui.presets = el('select', { class: 'omv-select', title: TEXT.presets, 'aria-label': TEXT.presets, onchange: (e) => act.pickPreset(e.target.value) });
  ui.invert = iconButton('invert', TEXT.invert, act.invert, { 'aria-pressed': 'false' });
  ui.zoomOut = iconButton('minus', TEXT.zoomOut, () => act.zoom(1 / 1.25), { class: 'omv-btn omv-zoom' });
  ui.zoomIn = iconButton('plus', TEXT.zoomIn, () => act.zoom(1.25), { class: 'omv-btn omv-zoom' });
  ui.fit = iconButton('fit', TEXT.fit, act.fit);
  ui.reset = iconButton('reset', TEXT.reset, act.reset);
  ui.layout = iconButton('layout', TEXT.layout, act.layout, { 'aria-pressed': 'false' });
  ui.overlay = iconButton('overlay', TEXT.overlay, act.toggleOverlay, { 'aria-pressed': 'true' });
  ui.ask = iconButton('ask', TEXT.ask, act.ask);
  ui.fromHere = iconButton('from', TEXT.fromHere, () => act.mark('from'), { 'aria-pressed': 'false' });
  ui.toHere = iconButton('to', TEXT.toHere, () => act.mark('to'), { 'aria-pressed': 'false' });
  ui.stretch = el('div', { class: 'omv-group omv-stretch', hidden: true }, ui.fromHere, ui.toHere);
  ui.moment = iconButton('moment', TEXT.askMoment, act.askMoment, { hidden: true });
  ui.askStretch = iconButton('stretch', TEXT.askStretch, act.askStretch, { hidden: true });
  ui.save = iconButton('save', TEXT.saveMenu, act.saveMenu, { 'aria-haspopup': 'menu', 'aria-expanded': 'false' });
  ui.help = iconButton('help', TEXT.help, act.help, { 'aria-expanded': 'false' });
  ui.full = iconButton('full', TEXT.full, act.full);
  const group = (...nodes) => el('div', { class: 'omv-group' }, ...nodes);
  ui.bar = el(
    'div', { class: 'omv-bar', role: 'toolbar', 'aria-label': TEXT.tools },
    group(...Object.values(ui.toolButtons)),
    group(ui.presets, ui.invert),
    group(ui.zoomOut, ui.zoomIn, ui.fit, ui.reset),
    group(ui.layout, ui.overlay),
    el('span', { class: 'omv-space' }),
    ui.stretch,
    group(ui.ask, ui.moment, ui.askStretch, ui.save, ui.help, ui.full),
  );
}

function buildStage(ui, act) {
  ui.panes = el('div', { class: 'omv-panes' });
  ui.empty = el('div', { class: 'omv-empty' }, TEXT.empty);
  ui.loadText = el('span', {});
  ui.loadBar = el('i', {});
  ui.load = el('div', { class: 'omv-load', role: 'status', hidden: true }, ui.loadText, el('div', {}, ui.loadBar));
  ui.differsText = el('span', {});
  ui.differs = el(
    'div', { class: 'omv-differs', hidden: true, role: 'status' }, ui.differsText,
    el('button', { type: 'button', onclick: act.backToWindow }, TEXT.backToWindow),
    (ui.useWindow = el('button', { type: 'button', onclick: act.useWindow }, TEXT.useWindow)),
  );
  ui.note = el('div', { class: 'omv-note', hidden: true });
  ui.card = el('div', { class: 'omv-card', hidden: true, role: 'dialog', 'aria-label': TEXT.keysTitle }, keyTable(act));
  const item = (text, run) => el('button', { type: 'button', role: 'menuitem', onclick: run }, text);
  ui.saveMask = [item(TEXT.saveJson, act.saveJson), item(TEXT.saveNpz, act.saveNpz)];
  ui.menu = el('div', { class: 'omv-menu', role: 'menu', 'aria-label': TEXT.saveMenu, hidden: true }, item(TEXT.savePng, act.savePng), ...ui.saveMask, (ui.saveLink = item(TEXT.saveLink, act.saveLink)));
  ui.stage = el('div', { class: 'omv-stage' }, ui.panes, ui.empty, ui.load, ui.differs, ui.note, ui.card, ui.menu);
}

function keyTable(act) {
  const rows = TEXT.keys.map(([keys, what]) => el('div', {}, el('kbd', {}, keys), el('span', {}, what)));
  const close = el('button', { type: 'button', class: 'omv-close', onclick: act.help }, TEXT.close);
  return el('div', {}, el('b', {}, TEXT.keysTitle), ...rows, close);
}

function buildTime(ui, act) {
  ui.play = iconButton('play', TEXT.play, act.play);
  ui.prevFrame = iconButton('prev', TEXT.prevFrame, () => act.step(-1));
  ui.nextFrame = iconButton('next', TEXT.nextFrame, () => act.step(1));
  ui.prevChange = iconButton('prevChange', TEXT.prevChange, () => act.change(-1));
  ui.nextChange = iconButton('nextChange', TEXT.nextChange, () => act.change(1));
  ui.slider = el('input', { type: 'range', class: 'omv-range', min: 0, max: 0, step: 1, 'aria-label': TEXT.position, oninput: (e) => act.goto(Number(e.target.value)) });
  ui.place = el('output', { class: 'omv-place' });
  ui.clip = el('span', { class: 'omv-clip', role: 'status' });
  ui.speed = el('select', { class: 'omv-select', title: TEXT.speed, 'aria-label': TEXT.speed, onchange: (e) => act.speed(Number(e.target.value)) });
  ui.time = el('div', { class: 'omv-time' }, ui.play, ui.prevFrame, ui.nextFrame, ui.slider, ui.clip, ui.place, ui.prevChange, ui.nextChange, ui.speed);
  ui.strip = el('canvas', { class: 'omv-strip', title: TEXT.strip, role: 'img', 'aria-label': TEXT.strip });
}

function buildTokens(ui, act) {
  ui.keptNumber = el('b', { class: 'omv-big' });
  ui.keptRest = el('span', {});
  ui.keptHere = el('span', { class: 'omv-quiet' });
  ui.cost = el('span', { class: 'omv-quiet' });
  ui.whatIfText = el('span', {});
  ui.backToRun = el('button', { type: 'button', onclick: act.backToRun });
  ui.whatIf = el('div', { class: 'omv-whatif', hidden: true, role: 'status' }, ui.whatIfText, ui.backToRun);
  ui.runLine = el('div', { class: 'omv-quiet omv-run' });
  ui.takenLine = el('div', { class: 'omv-quiet' });
  ui.sparse = el('p', { class: 'omv-warn', hidden: true });
  ui.floor = el('p', { class: 'omv-warn', hidden: true }, TEXT.floor);
  ui.still = el('p', { class: 'omv-quiet', hidden: true });
  ui.histogram = el('canvas', { class: 'omv-hist', title: TEXT.histogram, role: 'img', 'aria-label': TEXT.histogram });
  ui.threshold = el('input', { type: 'range', class: 'omv-range', min: 0, max: 0.5, step: 0.005, 'aria-label': TEXT.threshold, oninput: (e) => act.threshold(Number(e.target.value)), onchange: act.release });
  ui.thresholdBox = el('input', { type: 'number', class: 'omv-number', min: 0, max: 2, step: 0.01, 'aria-label': TEXT.threshold, onchange: (e) => act.typed(e.target) });
  ui.meaning = el('span', { class: 'omv-quiet' });
  ui.beyond = el('span', { class: 'omv-quiet omv-beyond' });
  ui.mode = segmented(TEXT.mode, [['kept', TEXT.modeKept, TEXT.modeKeptHint], ['distance', TEXT.modeDistance, TEXT.modeDistanceHint], ['run', TEXT.modeRun, TEXT.modeRunHint]], act.setMode);
  ui.reference = segmented(TEXT.reference, [['previous', TEXT.refPrevious, TEXT.refPreviousHint], ['last_kept', TEXT.refLast, TEXT.refLastHint], ['off', TEXT.refOff, TEXT.refOffHint]], act.reference);
  ui.referenceNote = el('span', { class: 'omv-quiet' });
  ui.opacity = el('input', { type: 'range', class: 'omv-range', min: 0, max: 1, step: 0.05, 'aria-label': TEXT.opacity, oninput: (e) => act.opacity(Number(e.target.value)) });
  ui.legend = el('div', { class: 'omv-legend' });
  ui.hoverLine = el('div', { class: 'omv-quiet omv-hover' });
  ui.rule = el(
    'div', { class: 'omv-rule' },
    field(TEXT.threshold, ui.thresholdBox, ui.meaning),
    el('div', { class: 'omv-histbox' }, ui.histogram, ui.threshold, ui.beyond),
    field(TEXT.reference, ui.reference.group, ui.referenceNote),
  );
  ui.look = el(
    'div', { class: 'omv-look' },
    field(TEXT.mode, ui.mode.group),
    field(TEXT.opacity, ui.opacity),
    ui.legend,
    ui.hoverLine,
  );
  ui.tokens = el(
    'section', { class: 'omv-tokens', 'aria-label': TEXT.tokens, hidden: true },
    el('div', { class: 'omv-count' }, el('div', {}, ui.keptNumber, ui.keptRest), el('div', {}, ui.keptHere, ui.cost), ui.takenLine, ui.runLine),
    ui.whatIf, ui.floor, ui.sparse, ui.still,
    el('div', { class: 'omv-cols' }, ui.rule, ui.look),
  );
}

/** Fill the preset and speed menus for a study. */
export function fillMenus(ui, header, clip) {
  const options = header.presets.map(([name, level, width], i) => {
    const text = (TEXT.preset[name] || name) + '  ' + Math.round(level) + ' / ' + Math.round(width);
    return el('option', { value: String(i) }, (i < 9 ? i + 1 + '  ' : '') + text);
  });
  ui.presets.replaceChildren(el('option', { value: '' }, TEXT.own), ...options);
  const speeds = clip ? [0.25, 0.5, 1, 2, 4] : [2, 5, 10, 15, 25];
  const label = clip ? TEXT.times : TEXT.fps;
  ui.speed.replaceChildren(...speeds.map((n) => el('option', { value: String(n) }, say(label, { n }))));
  ui.speed.value = clip ? '1' : '10';
}
