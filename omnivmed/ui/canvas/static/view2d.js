// Where the picture lies on the canvas. A view is {scale, x, y}: canvas pixels per "unit" and the canvas position
// of the picture's top-left corner. A unit is the finer pixel side; ax, ay stretch pixels to their mm aspect.

/** Stretch factors (ax, ay) >= 1 of pixels that are dx wide and dy high (mm). */
export function aspect(dx, dy) {
  const fine = Math.min(dx, dy);
  return fine > 0 ? { ax: dx / fine, ay: dy / fine } : { ax: 1, ay: 1 };
}

/** The view that shows the whole picture, centred. */
export function fitView(cols, rows, { ax, ay }, width, height) {
  const scale = Math.min(width / (cols * ax), height / (rows * ay));
  return { scale, x: (width - cols * ax * scale) / 2, y: (height - rows * ay * scale) / 2 };
}

/** Zoom by `factor` keeping the canvas point (cx, cy) where it is; scale is kept between lo and hi. */
export function zoomView(view, factor, cx, cy, lo, hi) {
  const scale = Math.min(Math.max(view.scale * factor, lo), hi);
  const k = scale / view.scale;
  return { scale, x: cx - (cx - view.x) * k, y: cy - (cy - view.y) * k };
}

/** Keep at least a quarter of the picture, or of the canvas, in sight. */
export function clampView(view, cols, rows, { ax, ay }, width, height) {
  const w = cols * ax * view.scale;
  const h = rows * ay * view.scale;
  const mx = Math.min(w, width) / 4;
  const my = Math.min(h, height) / 4;
  return {
    scale: view.scale,
    x: Math.min(Math.max(view.x, mx - w), width - mx),
    y: Math.min(Math.max(view.y, my - h), height - my),
  };
}

/** Picture position (column, row; fractions; pixel i spans i..i+1) -> canvas. */
export function toCanvas(view, { ax, ay }, col, row) {
  return [view.x + col * ax * view.scale, view.y + row * ay * view.scale];
}

/** Canvas -> picture position (column, row). */
export function toPicture(view, { ax, ay }, cx, cy) {
  return [(cx - view.x) / (ax * view.scale), (cy - view.y) / (ay * view.scale)];
}

/** A round length in mm (1, 2 or 5 times a power of ten) that is at most `limit` mm. */
export function scaleBar(limit) {
  if (!(limit > 0)) return 0;
  const power = 10 ** Math.floor(Math.log10(limit));
  const lead = limit / power;
  return (lead >= 5 ? 5 : lead >= 2 ? 2 : 1) * power;
}

/** Seconds as 0:07.4 or 1:02:09. */
export function clock(seconds) {
  const s = Math.max(0, seconds);
  const h = Math.floor(s / 3600);
  const m = Math.floor((s % 3600) / 60);
  const pad = (v) => String(v).padStart(2, '0');
  if (h) return h + ':' + pad(m) + ':' + pad(Math.floor(s % 60));
  return m + ':' + (s % 60).toFixed(1).padStart(4, '0');
}

/** The frame whose time is nearest; times rise. */
export function frameAt(times, time) {
  let low = 0;
  let high = times.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (times[middle] <= time) low = middle;
    else high = middle;
  }
  return time - times[low] <= times[high] - time ? low : high;
}

/** A time well inside frame k: halfway to the next one. */
export function middleOf(times, k) {
  const last = times.length - 1;
  const next = k < last ? times[k + 1] : times[k] + (last > 0 ? (times[last] - times[0]) / last : 0.04);
  return (times[k] + next) / 2;
}
