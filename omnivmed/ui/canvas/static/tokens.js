// The pruning rule once more, for what-ifs: pure functions on flat arrays, raster order over (t, h, w).
// The same rule as omnivmed/pruning/rule.py, held equal by tests; the mask on screen at the run's own setting is
// always the one the run sent.

/** keep (Uint8Array) of `distance` (Float32Array, +inf in the first frame): strictly greater than the threshold. */
export function keepFrom(distance, frames, threshold, minTokens) {
  const n = distance.length / frames;
  const limit = Math.fround(threshold);
  const keep = new Uint8Array(distance.length);
  for (let t = 0; t < frames; t++) {
    let kept = 0;
    for (let j = t * n; j < (t + 1) * n; j++) {
      if (t === 0 || distance[j] > limit) {
        keep[j] = 1;
        kept++;
      }
    }
    if (kept < minTokens) keep.fill(1, t * n, t * n + Math.min(minTokens, n));
  }
  return keep;
}

/** "off": every token is kept, whatever its distance. */
export const keepAll = (distance) => new Uint8Array(distance.length).fill(1);

/** "last kept": keep and distance from the model's 8-bit pixels (t, n, D). D counts all three channels as given. */
export function lastKept(pixels, frames, n, threshold, minTokens, factor = 1) {
  const D = pixels.length / (frames * n);
  const keep = new Uint8Array(frames * n).fill(1);
  const distance = new Float32Array(frames * n).fill(Infinity);
  const anchor = new Int32Array(n); // frame whose patch was last kept at this place
  const limit = Math.fround(threshold);
  for (let t = 1; t < frames; t++) {
    let kept = 0;
    for (let j = 0; j < n; j++) {
      const a = (t * n + j) * D;
      const b = (anchor[j] * n + j) * D;
      let sum = 0;
      for (let k = 0; k < D; k++) sum += Math.abs(pixels[a + k] - pixels[b + k]);
      distance[t * n + j] = (sum / (D * 127.5)) * factor;
      keep[t * n + j] = distance[t * n + j] > limit ? 1 : 0;
      kept += keep[t * n + j];
    }
    if (kept < minTokens) keep.fill(1, t * n, t * n + Math.min(minTokens, n));
    for (let j = 0; j < n; j++) if (keep[t * n + j]) anchor[j] = t;
  }
  return { keep, distance };
}

/** Kept tokens of every frame. */
export function keptPerFrame(keep, frames) {
  const n = keep.length / frames;
  const out = new Int32Array(frames);
  for (let t = 0; t < frames; t++) for (let j = t * n; j < (t + 1) * n; j++) out[t] += keep[j];
  return out;
}

/** For every token: how many frames the kept token standing at its place speaks for, itself included. */
export function runLength(keep, frames) {
  const n = keep.length / frames;
  const out = new Int32Array(keep.length);
  for (let j = 0; j < n; j++) {
    let start = 0;
    for (let t = 1; t <= frames; t++) {
      if (t < frames && !keep[t * n + j]) continue;
      for (let k = start; k < t; k++) out[k * n + j] = t - start;
      start = t;
    }
  }
  return out;
}

/** Nearest frame after (step 1) or before (step -1) `from` that keeps more than its minimum, or -1. */
export function nextChange(perFrame, from, step, minTokens) {
  for (let t = from + step; t >= 0 && t < perFrame.length; t += step) {
    if (t === 0 || perFrame[t] > minTokens) return t;
  }
  return -1;
}

/** Counts of finite distances in `bins` equal steps of 0..top, and how many lie beyond. */
export function histogram(distance, top, bins) {
  const counts = new Int32Array(bins);
  let beyond = 0;
  for (const d of distance) {
    if (!Number.isFinite(d)) continue;
    if (d >= top) beyond++;
    else counts[Math.floor((d / top) * bins)]++;
  }
  return { counts, beyond };
}

/** What a threshold means: {unit: 'HU' | 'raw' | 'grey', value, width}. */
export function thresholdMeaning(threshold, window, unit, scale) {
  const t = scale === 'x255' ? threshold / 255 : threshold;
  if (!window) return { unit: 'grey', value: (t / 2) * 255, width: 255 };
  return { unit: unit === 'HU' ? 'HU' : 'raw', value: (t / 2) * window[1], width: window[1] };
}

/** Position in sorted `index` (frames given to the model) of study frame `i`, or -1; and its neighbours. */
export function givenAt(index, i) {
  let lo = 0;
  let hi = index.length;
  while (lo < hi) {
    const mid = (lo + hi) >> 1;
    if (index[mid] < i) lo = mid + 1;
    else hi = mid;
  }
  const at = lo < index.length && index[lo] === i ? lo : -1;
  return { at, before: at >= 0 ? at : lo - 1, after: at >= 0 ? at : lo < index.length ? lo : -1 };
}

/** The token under a picture position (source pixels): flat index in the frame, or -1. */
export function tokenAt(rects, x, y) {
  for (let j = 0; j < rects.length / 4; j++) {
    if (x >= rects[4 * j] && x < rects[4 * j + 2] && y >= rects[4 * j + 1] && y < rects[4 * j + 3]) return j;
  }
  return -1;
}
