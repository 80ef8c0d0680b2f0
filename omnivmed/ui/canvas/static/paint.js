// Drawing on canvases: tokens over the picture, the strip, the histogram. No state of their own.
import { viridis } from './lut.js';

export const VEIL = [30, 58, 138]; // pruned: blue
export const EDGE = [255, 176, 0]; // kept: amber. Blue and amber stay apart for every kind of colour vision.
export const HEAT_TOP = 0.4; // distance at the bright end; the scale is a square root, so 0.1 lies in the middle

const rgba = (c, a) => 'rgba(' + c[0] + ',' + c[1] + ',' + c[2] + ',' + a + ')';
const BINS = 24;
const RAMP = Array.from({ length: BINS + 1 }, (_, i) => viridis(i / BINS));

/** 0..1 on the colour scale for a distance. */
export function heatAt(distance) {
  return Math.sqrt(Math.min(Math.max(distance, 0) / HEAT_TOP, 1));
}

/** 0..1 on the colour scale for a run of `run` out of `frames`. */
export function runAt(run, frames) {
  return frames > 1 ? Math.log2(Math.max(run, 1)) / Math.log2(frames) : 0;
}

/**
 * Tokens of one frame. `rect(j)` gives [x, y, w, h] on the canvas; `now` holds keep, distance, run of the frame.
 * mode: 'kept' | 'distance' | 'run'. A still has nothing to tell apart: its grid is drawn.
 */
export function paintTokens(ctx, { mode, opacity, line, w, h, frames, rect, keep, distance, run }) {
  const n = w * h;
  if (frames === 1) {
    ctx.strokeStyle = rgba(EDGE, 0.2 + opacity / 2);
    ctx.lineWidth = line / 2;
    ctx.beginPath();
    for (let j = 0; j < n; j++) ctx.rect(...rect(j));
    ctx.stroke();
    return;
  }
  if (mode === 'kept') {
    ctx.fillStyle = rgba(VEIL, opacity);
    ctx.beginPath();
    for (let j = 0; j < n; j++) if (!keep[j]) ctx.rect(...rect(j));
    ctx.fill();
    ctx.strokeStyle = rgba(EDGE, Math.min(1, 0.35 + opacity));
    ctx.lineWidth = line;
    ctx.beginPath();
    for (let j = 0; j < n; j++) if (keep[j]) edges(ctx, rect(j), j, w, h, keep, line / 2);
    ctx.stroke();
    return;
  }
  const groups = new Map();
  for (let j = 0; j < n; j++) {
    const d = distance[j];
    if (mode === 'distance' && !Number.isFinite(d)) continue;
    const bin = Math.round((mode === 'distance' ? heatAt(d) : runAt(run[j], frames)) * BINS);
    if (!groups.has(bin)) groups.set(bin, []);
    groups.get(bin).push(j);
  }
  for (const [bin, list] of groups) {
    ctx.fillStyle = rgba(RAMP[bin], opacity);
    ctx.beginPath();
    for (const j of list) ctx.rect(...rect(j));
    ctx.fill();
  }
}

/** The sides of token j that border a pruned token or the picture's end, drawn just inside the token. */
function edges(ctx, [x, y, tw, th], j, w, h, keep, inset) {
  const col = j % w;
  const row = (j - col) / w;
  const x1 = x + tw - inset;
  const y1 = y + th - inset;
  const x0 = x + inset;
  const y0 = y + inset;
  if (row === 0 || !keep[j - w]) { ctx.moveTo(x, y0); ctx.lineTo(x + tw, y0); }
  if (row === h - 1 || !keep[j + w]) { ctx.moveTo(x, y1); ctx.lineTo(x + tw, y1); }
  if (col === 0 || !keep[j - 1]) { ctx.moveTo(x0, y); ctx.lineTo(x0, y + th); }
  if (col === w - 1 || !keep[j + 1]) { ctx.moveTo(x1, y); ctx.lineTo(x1, y + th); }
}

/** Where the bar of given frame k lies on the strip: [left, right] in 0..1 of the study's length. */
export function barSpan(index, k, total) {
  const mid = (a, b) => (a + b + 1) / 2 / total;
  const left = k === 0 ? 0 : mid(index[k - 1], index[k]);
  const right = k === index.length - 1 ? 1 : mid(index[k], index[k + 1]);
  return [left, right];
}

/** The strip: one bar per frame given to the model, as high as the share of tokens it keeps. */
export function paintStrip(ctx, { width, height, ratio, index, total, perFrame, n, current, at, faint, marks }) {
  ctx.clearRect(0, 0, width, height);
  if (marks) { // the stretch that was marked, and its two ends
    const [from, to] = [((marks.from ?? 0) + 0.5) / total, ((marks.to ?? total - 1) + 0.5) / total].map((v) => v * width);
    ctx.fillStyle = 'rgba(88,183,255,0.28)';
    ctx.fillRect(from, 0, to - from, height);
    ctx.fillStyle = '#58b7ff';
    for (const x of [from, to]) ctx.fillRect(Math.round(x - ratio), 0, 2 * ratio, height);
  }
  if (index) {
    for (let k = 0; k < index.length; k++) {
      const [l, r] = barSpan(index, k, total).map((v) => v * width);
      const gap = r - l > 3 * ratio ? ratio : 0;
      const tall = Math.max(1.5 * ratio, (perFrame[k] / n) * (height - 2 * ratio));
      ctx.fillStyle = k === at ? 'rgba(255,255,255,0.16)' : 'rgba(255,255,255,0.06)';
      ctx.fillRect(l, 0, r - l - gap, height);
      ctx.fillStyle = rgba(EDGE, faint ? 0.45 : k === at ? 1 : 0.72);
      ctx.fillRect(l, height - tall, r - l - gap, tall);
    }
  }
  const x = ((current + 0.5) / total) * width;
  ctx.fillStyle = '#fff';
  ctx.fillRect(Math.round(x - ratio), 0, 2 * ratio, height);
}

/** Distances: bars left of the threshold in the pruned colour, right of it in the kept one. */
export function paintHistogram(ctx, { width, height, ratio, counts, top, threshold, run, ink, edge, veil }) {
  ctx.clearRect(0, 0, width, height);
  const most = Math.log1p(Math.max(1, ...counts));
  const step = width / counts.length;
  for (let i = 0; i < counts.length; i++) {
    if (!counts[i]) continue;
    const tall = Math.max(ratio, (Math.log1p(counts[i]) / most) * (height - 4 * ratio));
    ctx.fillStyle = ((i + 0.5) / counts.length) * top > threshold ? edge : veil;
    ctx.fillRect(i * step, height - tall, Math.max(step - ratio * 0.75, ratio * 0.75), tall);
  }
  const mark = (value, dashed) => {
    const x = Math.min(Math.max((value / top) * width, ratio), width - ratio);
    ctx.strokeStyle = ink;
    ctx.lineWidth = (dashed ? 1 : 2) * ratio;
    ctx.setLineDash(dashed ? [3 * ratio, 3 * ratio] : []);
    ctx.beginPath();
    ctx.moveTo(x, 0);
    ctx.lineTo(x, height);
    ctx.stroke();
  };
  if (run !== threshold) mark(run, true);
  mark(threshold, false);
  ctx.setLineDash([]);
}

/** Outlines [x, y, w, h] that are seen on any picture: dashes of red over a dark line. */
export function paintBoxes(ctx, boxes, line) {
  for (const [style, width, dash] of [['rgba(0,0,0,0.75)', 3.5 * line, []], ['#ff7b7b', 2 * line, [6 * line, 4 * line]]]) {
    ctx.strokeStyle = style;
    ctx.lineWidth = width;
    ctx.setLineDash(dash);
    for (const box of boxes) ctx.strokeRect(...box);
  }
  ctx.setLineDash([]);
}

/** A measured line with end marks. */
export function paintMeasure(ctx, a, b, line) {
  for (const [style, width] of [['rgba(0,0,0,0.7)', 3 * line], ['#7fe3ff', 1.5 * line]]) {
    ctx.strokeStyle = style;
    ctx.lineWidth = width;
    ctx.beginPath();
    ctx.moveTo(...a);
    ctx.lineTo(...b);
    const length = Math.hypot(b[0] - a[0], b[1] - a[1]) || 1;
    const nx = (-(b[1] - a[1]) / length) * 6 * line;
    const ny = ((b[0] - a[0]) / length) * 6 * line;
    for (const p of [a, b]) { ctx.moveTo(p[0] - nx, p[1] - ny); ctx.lineTo(p[0] + nx, p[1] + ny); }
    ctx.stroke();
  }
}

/** Crosshair lines with a gap round the point. */
export function paintCross(ctx, x, y, width, height, line) {
  const gap = 12 * line;
  ctx.strokeStyle = 'rgba(127,227,255,0.75)';
  ctx.lineWidth = line;
  ctx.beginPath();
  for (const [x0, y0, x1, y1] of [[0, y, x - gap, y], [x + gap, y, width, y], [x, 0, x, y - gap], [x, y + gap, x, height]]) {
    ctx.moveTo(x0, y0);
    ctx.lineTo(x1, y1);
  }
  ctx.stroke();
}
