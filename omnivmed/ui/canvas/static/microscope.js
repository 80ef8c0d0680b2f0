// The token side of the viewer: the mask the run used, what-ifs on top of it, and the panel that shows both.
import { TEXT, say, num } from './texts.js';
import { arrayOf, fetchPayload } from './container.js';
import { keepAll, keepFrom, lastKept, keptPerFrame, runLength, nextChange, histogram, thresholdMeaning, givenAt } from './tokens.js';
import { paintHistogram, heatAt, HEAT_TOP } from './paint.js';
import { viridis } from './lut.js';

export const HIST_TOP = 0.5;
const HIST_BINS = 100;
const SPARSE_S = 5; // more than this between two frames is told
const MODES = ['kept', 'distance', 'run'];

export class Microscope {
  constructor(viewer) {
    this.viewer = viewer;
    this.clear();
  }

  clear() {
    this.serial = 0;
    this.run = null; // what the run sent; never changed here
    this.now = null; // what is on screen: the run's own arrays, or a what-if
    this.pixels = null; // the model's own, {url, array}; fetched when a what-if needs them
    this.pending = null;
    this.wanted = null;
    this.before = null; // what-if of the page before it was loaded anew
  }

  /** Take a mask from a payload (header with `mask`, its data). */
  setRun(header, data, role) {
    const { mask } = header;
    const [frames, h, w] = mask.shape;
    const get = (name) => arrayOf(header, data, 'mask.' + name);
    const keep = get('keep');
    this.run = {
      ...mask, role, frames, h, w, n: h * w, rects: get('rects'), index: get('frame_index'),
      keep, distance: get('distance'), runs: get('run_length'), perFrame: keptPerFrame(keep, frames),
    };
    if (!this.wanted || !this.viewer.holding) this.wanted = { threshold: mask.threshold, reference: mask.reference };
    if (this.before) this.wanted = this.before;
    this.before = null;
    this.recompute();
  }

  get isRun() {
    const { run, wanted } = this;
    return !run || (wanted.reference === run.reference && (wanted.reference === 'off' || wanted.threshold === run.threshold));
  }

  /** True when the what-if needs the model's own pixels: any rule but the run's distances to the previous frame. */
  get needsPixels() {
    if (this.isRun || this.run.frames < 2 || this.wanted.reference === 'off') return false;
    return this.wanted.reference === 'last_kept' || this.run.reference === 'last_kept';
  }

  /** Recompute what is on screen for `wanted`. */
  recompute() {
    const { run, wanted } = this;
    if (!run) return;
    if (this.isRun) this.now = run;
    else if (!this.needsPixels) {
      const keep = wanted.reference === 'off' ? keepAll(run.distance) : keepFrom(run.distance, run.frames, wanted.threshold, run.min_tokens);
      this.now = this.derived(keep, run.distance);
    } else if (this.ownPixels) {
      const pixels = this.ownPixels;
      const factor = run.scale === 'x255' ? 255 : 1;
      if (wanted.reference === 'last_kept') {
        const { keep, distance } = lastKept(pixels, run.frames, run.n, wanted.threshold, run.min_tokens, factor);
        this.now = this.derived(keep, distance);
      } else {
        // Comparing with the previous frame is the same rule with everything kept.
        const { distance } = lastKept(pixels, run.frames, run.n, -1, 0, factor);
        this.now = this.derived(keepFrom(distance, run.frames, wanted.threshold, run.min_tokens), distance);
      }
    } else {
      this.loadPixels();
      return;
    }
    this.serial = (this.serial || 0) + 1;
    this.counts = histogram(this.now.distance, HIST_TOP, HIST_BINS);
    this.viewer.invalidate();
    this.sync();
  }

  derived(keep, distance) {
    const { frames } = this.run;
    const perFrame = keptPerFrame(keep, frames);
    const kept = perFrame.reduce((a, b) => a + b, 0);
    return { ...this.run, keep, distance, perFrame, kept, runs: runLength(keep, frames) };
  }

  get pixelsUrl() {
    const { value } = this.viewer;
    return (value && value.pixels && value.pixels.url) || null;
  }

  /** The pixels when they are at hand and belong to the run on screen, else null. */
  get ownPixels() {
    const { run, pixels } = this;
    const fits = pixels && pixels.url === this.pixelsUrl && pixels.array.length % (run.frames * run.n) === 0;
    return fits ? pixels.array : null;
  }

  async loadPixels() {
    const url = this.pixelsUrl;
    const { referenceNote } = this.viewer.ui;
    if (url && this.pending === url) return;
    this.pending = url;
    referenceNote.textContent = url ? TEXT.refLoading : '';
    try {
      if (!url) throw new Error('none were sent');
      const { header, data } = await fetchPayload(url);
      if (this.pixelsUrl !== url || !this.run) return;
      this.pixels = { url, array: arrayOf(header, data, 'pixels') };
      if (!this.ownPixels) throw new Error('they belong to another choice of frames');
      referenceNote.textContent = '';
      this.recompute();
    } catch (error) {
      referenceNote.textContent = TEXT.refMissing;
      this.backToRun();
      if (url) console.warn('viewer: pixels of the tokens could not be used', error);
    } finally {
      this.pending = null;
    }
  }

  setThreshold(value) {
    if (!this.run || !Number.isFinite(value)) return;
    if (this.wanted.reference === 'off') this.wanted.reference = 'previous'; // who moves the threshold wants to prune
    this.wanted.threshold = Math.min(Math.max(value, 0), 2 * (this.run.scale === 'x255' ? 255 : 1));
    this.recompute();
  }

  setReference(reference) {
    if (!this.run) return;
    this.wanted.reference = reference;
    this.recompute();
  }

  backToRun() {
    if (!this.run) return;
    this.wanted = { threshold: this.run.threshold, reference: this.run.reference };
    this.recompute();
  }

  /** What there is to draw over study frame `index`, or null when it was not given to the model. */
  at(index) {
    const { now } = this;
    if (!now) return null;
    const k = givenAt(now.index, index).at;
    if (k < 0) return null;
    const part = (array) => array.subarray(k * now.n, (k + 1) * now.n);
    return { k, rects: now.rects, w: now.w, h: now.h, frames: now.frames, keep: part(now.keep), distance: part(now.distance), run: part(now.runs) };
  }

  /** Study frame of the next change from `index` in direction `step`, or -1. */
  change(index, step) {
    const { now } = this;
    if (!now) return -1;
    const { at, before, after } = givenAt(now.index, index);
    const from = at >= 0 ? at : step > 0 ? before : after < 0 ? now.frames : after;
    const k = nextChange(now.perFrame, from, step, now.min_tokens);
    return k < 0 ? -1 : now.index[k];
  }

  /** Study frame given to the model next to `index`, or -1. */
  given(index, step) {
    const { now } = this;
    if (!now) return -1;
    const { at, before, after } = givenAt(now.index, index);
    const k = at >= 0 ? at + step : step > 0 ? after : before;
    return k >= 0 && k < now.frames ? now.index[k] : -1;
  }

  // ------------------------------------------------------------------------------------------- the panel

  sync() {
    const { run, now, viewer } = this;
    const { ui, root } = viewer;
    ui.tokens.hidden = !run;
    if (!run) return;
    const share = Math.round((now.kept / now.total) * 100);
    const off = this.wanted.reference === 'off' && run.frames > 1;
    ui.keptNumber.textContent = off ? say(TEXT.keptAll, { total: num(now.total, 9) }) : num(now.kept, 9) + ' / ' + num(now.total, 9);
    ui.keptRest.textContent = off ? TEXT.keptAllRest : say(TEXT.keptShare, { share });
    ui.cost.textContent = this.cost();
    const still = run.frames < 2;
    ui.still.hidden = !still;
    ui.still.textContent = TEXT.still;
    ui.rule.hidden = ui.look.hidden = still;
    ui.floor.hidden = still || !run.all_at_floor || !this.isRun;
    const t = this.wanted.threshold;
    const runText = run.reference === 'off' ? TEXT.off : num(run.threshold) + ' ' + TEXT.reference.toLowerCase() + ' ' + refName(run.reference);
    ui.runLine.textContent = still ? '' : (run.role === 'answer' ? TEXT.runAnswer : TEXT.runPreview) + ': ' + runText;
    ui.takenLine.textContent = this.taken();
    const gap = this.widestGap();
    ui.sparse.hidden = gap <= SPARSE_S;
    ui.sparse.textContent = say(TEXT.sparse, { s: num(gap, 3) });
    ui.whatIf.hidden = this.isRun;
    ui.whatIfText.textContent = say(TEXT.whatIf, { a: ruleText(this.wanted), b: ruleText(run) });
    ui.backToRun.textContent = say(TEXT.backToRun, { b: run.reference === 'off' ? TEXT.off : num(run.threshold) });
    if (document.activeElement !== ui.thresholdBox) ui.thresholdBox.value = String(Number(t.toFixed(4)));
    ui.threshold.value = String(Math.min(t, HIST_TOP));
    const meaning = thresholdMeaning(t, run.window, run.unit, run.scale);
    const words = { HU: TEXT.meaningHU, raw: TEXT.meaningRaw, grey: TEXT.meaningGrey }[meaning.unit];
    ui.meaning.textContent = say(words, { v: num(meaning.value), w: num(meaning.width, 4) });
    ui.beyond.textContent = this.counts.beyond ? say(TEXT.beyond, { n: num(this.counts.beyond, 9), v: HIST_TOP }) + ' →' : '';
    ui.mode.set(viewer.mode);
    ui.reference.set(this.wanted.reference);
    ui.opacity.value = String(viewer.opacity);
    this.legend();
    this.drawHistogram();
    root.dataset.kept = String(now.kept);
    root.dataset.total = String(now.total);
    root.dataset.threshold = String(t);
    root.dataset.reference = this.wanted.reference;
    root.dataset.whatif = String(!this.isRun);
  }

  /** Beside every count: how many slices or frames were taken of how many, under which budget. */
  taken() {
    const { run, viewer } = this;
    const budget = say(TEXT.budget, { name: run.budget });
    if (run.frames < 2) return budget;
    const unit = viewer.header.kind === 'video' ? TEXT.unitVideo : TEXT.unitVolume;
    return say(TEXT.taken, { taken: num(run.frames, 9), frames: num(viewer.header.shape[0], 9), unit }) + ' · ' + budget;
  }

  /** The longest time between two frames the model is given, in seconds; 0 where there are no times. */
  widestGap() {
    const { run, viewer: { times } } = this;
    let widest = 0;
    for (let k = 1; times && k < run.index.length; k++) widest = Math.max(widest, times[run.index[k]] - times[run.index[k - 1]]);
    return widest;
  }

  /** What reading the kept tokens would take, as measured with the model in use; or why that is not known. */
  cost() {
    const { seconds_per_token: perToken, model_state: state } = this.viewer.state;
    if (state === 'failed') return TEXT.costNone;
    if (perToken) return say(TEXT.cost, { s: num(perToken * this.now.kept, 2) });
    return state === 'ready' ? TEXT.costLater : TEXT.costLoading;
  }

  /** Kept here, for the frame on screen. */
  syncFrame(index) {
    const { ui } = this.viewer;
    const tokens = this.at(index);
    ui.keptHere.textContent = tokens && this.now.frames > 1 ? say(TEXT.here, { kept: this.now.perFrame[tokens.k], total: this.now.n }) : '';
  }

  legend() {
    const { viewer, now } = this;
    const { legend } = viewer.ui;
    const key = [viewer.mode, this.wanted.threshold, now.frames].join();
    if (legend.dataset.key === key) return;
    legend.dataset.key = key;
    if (viewer.mode === 'kept') {
      legend.innerHTML = '<span><i class="omv-sw omv-sw-kept"></i>' + TEXT.keptWord + '</span><span><i class="omv-sw omv-sw-pruned"></i>' + TEXT.prunedWord + '</span>';
      return;
    }
    const stops = [0, 0.25, 0.5, 0.75, 1].map((x) => 'rgb(' + viridis(x).join(',') + ')').join(',');
    const distance = viewer.mode === 'distance';
    const tick = distance ? '<b style="left:' + 100 * heatAt(this.wanted.threshold) + '%"></b>' : '';
    legend.innerHTML = '<span>' + (distance ? '0' : '1') + '</span><i class="omv-ramp" style="background:linear-gradient(90deg,' + stops + ')">' + tick
      + '</i><span>' + (distance ? '≥ ' + HEAT_TOP : now.frames) + '</span>';
  }

  drawHistogram() {
    const canvas = this.viewer.ui.histogram;
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * ratio);
    const height = Math.round(canvas.clientHeight * ratio);
    if (!width || !height) return;
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    const style = getComputedStyle(canvas);
    paintHistogram(canvas.getContext('2d'), {
      width, height, ratio, counts: this.counts.counts, top: HIST_TOP, threshold: this.wanted.threshold, run: this.run.threshold,
      ink: style.color, edge: style.getPropertyValue('--omv-kept').trim(), veil: style.getPropertyValue('--omv-pruned').trim(),
    });
  }

  hoverText(index, j) {
    const tokens = this.at(index);
    if (!tokens || j < 0) return '';
    const d = tokens.distance[j];
    const first = tokens.k === 0;
    const what = first ? TEXT.firstWord : tokens.keep[j] ? TEXT.keptWord : TEXT.prunedWord;
    return say(TEXT.hoverToken, {
      n: tokens.k * this.now.n + j + 1, total: this.now.total, r: Math.floor(j / tokens.w) + 1, c: (j % tokens.w) + 1,
      d: first ? '–' : num(d), what: what + ' · ' + say(TEXT.runWord, { n: tokens.run[j] }),
    });
  }

  /** The same in a few words, for the corner of the picture. */
  hoverShort(index, j) {
    const tokens = this.at(index);
    if (!tokens || j < 0) return '';
    const first = tokens.k === 0;
    const what = first ? TEXT.firstShort : tokens.keep[j] ? TEXT.keptWord : TEXT.prunedWord;
    return say(TEXT.tokenShort, { n: tokens.k * this.now.n + j + 1, d: first ? '–' : num(tokens.distance[j]), what });
  }

  nextMode(mode) { return MODES[(MODES.indexOf(mode) + 1) % MODES.length]; }
}

/** A rule in a few words: "0.1 (previous)", or "pruning off". */
function ruleText({ threshold, reference }) {
  return reference === 'off' ? TEXT.off : num(threshold) + ' (' + refName(reference) + ')';
}

function refName(reference) {
  return reference === 'last_kept' ? TEXT.refLast : TEXT.refPrevious;
}
