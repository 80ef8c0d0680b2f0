// Stored value -> grey, as omnivmed/window.py does it: 255 * clip((x - level) / width + 0.5, 0, 1), rounded.

const BITS = { uint8: 8, int8: 8, uint16: 16, int16: 16 };

/** Grey (Uint8Array of 256 or 65536) by the stored bit pattern read as an unsigned number. */
export function windowTable(dtype, slope, intercept, level, width, inverted) {
  const bits = BITS[dtype];
  const n = 2 ** bits;
  const signed = dtype[0] === 'i';
  const table = new Uint8Array(n);
  const f = Math.fround; // the same 32-bit steps as in Python, so that both agree to the last grey level
  const l = f(level);
  const k = f(255 / Math.max(width, 1e-6));
  for (let i = 0; i < n; i++) {
    const stored = signed && i >= n / 2 ? i - n : i;
    let v = f(stored * slope + intercept);
    v = f(f(f(v - l) * k) + 127.5);
    v = v < 0 ? 0 : v > 255 ? 255 : v;
    const grey = Math.floor(f(v + 0.5));
    table[i] = inverted ? 255 - grey : grey;
  }
  return table;
}

/** Grey table -> opaque RGBA words in the byte order of ImageData on little-endian machines. */
export function rgbaTable(grey) {
  const out = new Uint32Array(grey.length);
  for (let i = 0; i < grey.length; i++) out[i] = (0xff000000 | (grey[i] * 0x010101)) >>> 0;
  return out;
}

/** RGBA words of a label map by stored number: colours of its labels, the palette for others, black for none. */
export function labelTable(dtype, labels, background) {
  const out = new Uint32Array(2 ** BITS[dtype]);
  /** @param {number[]} rgb */
  const word = ([r, g, b]) => (0xff000000 | (b << 16) | (g << 8) | r) >>> 0;
  for (let i = 0; i < out.length; i++) out[i] = word(PALETTE[(i + PALETTE.length - 1) % PALETTE.length]);
  for (const [number, , colour] of labels) out[number] = word(colour);
  out[background] = 0xff000000;
  return out;
}

// The palette of omnivmed/labels.py; a test holds both equal.
export const PALETTE = [
  [230, 159, 0], [86, 180, 233], [0, 158, 115], [240, 228, 66], [0, 114, 178], [213, 94, 0], [204, 121, 167],
  [255, 214, 153], [190, 226, 247], [140, 220, 196], [250, 245, 175], [138, 180, 222], [247, 178, 138],
  [236, 196, 219],
];

// Viridis (van der Walt and Smith 2015), at nine points: even steps of lightness, safe for colour-blind eyes, and
// nowhere grey, so that it is never mistaken for tissue.
const VIRIDIS = [
  [68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141],
  [39, 173, 129], [92, 200, 99], [170, 220, 50], [253, 231, 37],
];

/** Colour (r, g, b) at x in 0..1. */
export function viridis(x) {
  const at = Math.min(Math.max(x, 0), 1) * (VIRIDIS.length - 1);
  const i = Math.min(Math.floor(at), VIRIDIS.length - 2);
  const f = at - i;
  return VIRIDIS[i].map((c, k) => Math.round(c + (VIRIDIS[i + 1][k] - c) * f));
}
