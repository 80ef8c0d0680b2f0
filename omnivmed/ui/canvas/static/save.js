// Take it with you: the picture with its tokens, and the mask as JSON or NPZ. Made here; no request.
import { TEXT, say, num } from './texts.js';
import { thresholdMeaning } from './tokens.js';

function offer(blob, name) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

/** What every file carries, so that it can be understood later; nothing that names a patient. */
export function facts(viewer) {
  const { header, scope } = viewer;
  const { run, now, wanted } = scope;
  return {
    schema: 'omnivmed.viewer_export/1',
    program: TEXT.viewerProgram,
    note: TEXT.clinical,
    model: viewer.state.model || null,
    version: viewer.state.version || null,
    kind: header.kind,
    modality: header.modality,
    frame: viewer.cursor[0],
    time_s: viewer.times ? viewer.times[viewer.cursor[0]] : null,
    window_shown: viewer.window ? [viewer.window.level, viewer.window.width] : null,
    window_model: run ? run.window : null,
    unit: header.unit,
    threshold: run ? wanted.threshold : null,
    threshold_meaning: run ? (scope.isRun ? run.threshold_meaning : meaningText(wanted.threshold, run)) : null,
    threshold_run: run ? run.threshold : null,
    what_if: run ? !scope.isRun : false,
    reference: run ? wanted.reference : null,
    scale: run ? run.scale : null,
    min_tokens: run ? run.min_tokens : null,
    kept: now ? now.kept : null,
    total: now ? now.total : null,
    mode: run && viewer.overlay ? viewer.mode : null,
  };
}

/** The line below an exported picture: what it shows and under which settings. */
export function caption(f) {
  const place = f.kind === 'video' ? TEXT.frame : f.kind === 'image' ? TEXT.picture : TEXT.slice;
  const parts = [TEXT.program + (f.version ? ' ' + f.version : ''), f.model ? TEXT.model + ' ' + f.model : TEXT.noModel];
  if (f.kind !== 'image') parts.push(place + ' ' + (f.frame + 1));
  if (f.total) {
    parts.push(f.kept + ' / ' + f.total + ' ' + TEXT.keptTokens);
    parts.push(TEXT.threshold.toLowerCase() + ' ' + f.threshold + (f.what_if ? ' ' + TEXT.whatIfMark : '') + ' = ' + f.threshold_meaning);
    parts.push(TEXT.mode + ': ' + (f.mode ? modeName(f.mode).toLowerCase() : TEXT.noOverlay));
  }
  if (f.window_shown) {
    const [level, width] = f.window_shown.map((v) => num(v, 4));
    parts.push(say(TEXT.captionWindow, { level, width }) + (f.unit === 'HU' ? ' HU' : ''));
  }
  parts.push(TEXT.clinical);
  return parts;
}

function modeName(mode) {
  return { kept: TEXT.modeKept, distance: TEXT.modeDistance, run: TEXT.modeRun }[mode];
}

/** What stands on the picture as page elements, written into it: letters of the edges, a measured length. */
function writeMarks(ctx, pane, width, height) {
  const { marks, ratio } = pane;
  ctx.textBaseline = 'middle';
  const write = (text, x, y, align, color) => {
    ctx.textAlign = align;
    ctx.lineWidth = 3 * ratio;
    ctx.strokeStyle = 'rgba(0,0,0,0.8)';
    ctx.strokeText(text, x, y);
    ctx.fillStyle = color;
    ctx.fillText(text, x, y);
  };
  ctx.font = 'bold ' + Math.round(14 * ratio) + 'px sans-serif';
  const edge = 10 * ratio;
  write(marks.l.textContent, edge, height / 2, 'left', '#ffd479');
  write(marks.r.textContent, width - edge, height / 2, 'right', '#ffd479');
  write(marks.t.textContent, width / 2, 1.5 * edge, 'center', '#ffd479');
  write(marks.b.textContent, width / 2, height - 1.5 * edge, 'center', '#ffd479');
  if (pane.measure) {
    const at = (name) => parseFloat(pane.length.style[name]) * ratio;
    ctx.font = Math.round(12 * ratio) + 'px sans-serif';
    write(pane.length.textContent, at('left') + 6 * ratio, at('top') + 10 * ratio, 'left', '#9be9ff');
  }
  ctx.textAlign = 'left';
  ctx.textBaseline = 'alphabetic';
}

/** The picture with its tokens as on screen, its settings written below and, for programs, in a text chunk of the file. */
export function savePng(viewer) {
  const { canvas, ratio } = viewer.pane;
  const out = document.createElement('canvas');
  const ctx = out.getContext('2d');
  const font = Math.round(12 * ratio) + 'px sans-serif';
  const f = facts(viewer);
  ctx.font = font;
  const lines = wrap(caption(f), (text) => ctx.measureText(text).width <= canvas.width - 16 * ratio);
  const step = Math.round(17 * ratio);
  out.width = canvas.width;
  out.height = canvas.height + lines.length * step + Math.round(8 * ratio);
  ctx.fillStyle = '#0b0e12';
  ctx.fillRect(0, 0, out.width, out.height);
  ctx.drawImage(canvas, 0, 0);
  writeMarks(ctx, viewer.pane, canvas.width, canvas.height);
  ctx.fillStyle = '#cdd6e0';
  ctx.font = font; // a resized canvas forgets it
  lines.forEach((line, i) => ctx.fillText(line, 8 * ratio, canvas.height + (i + 1) * step - 2 * ratio));
  out.toBlob(async (blob) => {
    const bytes = withText(new Uint8Array(await blob.arrayBuffer()), 'OmniV-Med', JSON.stringify(f));
    offer(new Blob([bytes], { type: 'image/png' }), 'omnivmed-tokens.png');
  }, 'image/png');
}

/** Parts joined into as few lines as `fits` allows. */
export function wrap(parts, fits) {
  const lines = [];
  for (const part of parts) {
    const longer = lines.length ? lines.at(-1) + '  ·  ' + part : part;
    if (lines.length && fits(longer)) lines[lines.length - 1] = longer;
    else lines.push(part);
  }
  return lines;
}

/** A PNG with one tEXt chunk (PNG 11.3.4.3) behind its header; characters outside ASCII are written as \u escapes. */
export function withText(png, keyword, text) {
  const plain = text.replace(/[^\x20-\x7e]/g, (c) => '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0'));
  const body = new TextEncoder().encode('tEXt' + keyword + '\0' + plain);
  const chunk = new Uint8Array(body.length + 8);
  const view = new DataView(chunk.buffer);
  view.setUint32(0, body.length - 4);
  chunk.set(body, 4);
  view.setUint32(body.length + 4, crc32(body));
  const head = 33; // signature 8, IHDR 25
  const out = new Uint8Array(png.length + chunk.length);
  out.set(png.subarray(0, head));
  out.set(chunk, head);
  out.set(png.subarray(head), head + chunk.length);
  return out;
}

/**
 * The mask on screen in the schema of KeepMask.to_dict() (omnivmed.keep_mask/1), with `viewer` beside: model, version,
 * and whether it is a what-if. Numbers are rounded as there.
 */
export function maskJson(viewer) {
  const { header, times, scope } = viewer;
  const { now, run, wanted } = scope;
  const round = (value, digits) => Number(value.toFixed(digits));
  const rows = (make) => Array.from({ length: now.frames }, (_, t) => make(t * now.n, (t + 1) * now.n, t));
  const index = Array.from(now.index);
  return {
    schema: 'omnivmed.keep_mask/1',
    grid_thw: [now.frames, now.h, now.w],
    source_size: now.source_size,
    frame_index: index,
    times_s: times && header.kind === 'video' ? index.map((k) => round(times[k], 4)) : null,
    threshold: wanted.threshold,
    threshold_meaning: scope.isRun ? run.threshold_meaning : meaningText(wanted.threshold, run),
    scale: run.scale,
    reference: wanted.reference,
    min_tokens: run.min_tokens,
    budget: run.budget,
    rule: run.rule,
    span_s: run.span_s,
    window: run.window,
    unit: run.unit,
    kept: now.kept,
    total: now.total,
    kept_ratio: round(now.kept / now.total, 6),
    kept_per_frame: Array.from(now.perFrame),
    rects: Array.from({ length: now.n }, (_, j) => Array.from(now.rects.subarray(4 * j, 4 * j + 4), (v) => round(v, 3))),
    keep: rows((a, b) => Array.from(now.keep.subarray(a, b)).join('')),
    distance: rows((a, b, t) => (t === 0 ? null : Array.from(now.distance.subarray(a, b), (v) => round(v, 4)))),
    viewer: facts(viewer),
  };
}

function meaningText(threshold, run) {
  const { unit, value, width } = thresholdMeaning(threshold, run.window, run.unit, run.scale);
  const short = (v, digits) => String(Number(v.toPrecision(digits)));
  if (unit === 'grey') return say(TEXT.savedGrey, { v: short(value, 3) });
  const name = unit === 'HU' ? 'HU' : TEXT.units;
  return say(TEXT.savedMeaning, { v: short(value, 3), w: short(width, 4), unit: name });
}

export function saveJson(viewer) {
  offer(new Blob([JSON.stringify(maskJson(viewer))], { type: 'application/json' }), 'omnivmed-mask.json');
}

/** One .npy file: format 1.0, C order. */
export function npy(array, shape, descr) {
  const tuple = shape.length === 1 ? shape[0] + ',' : shape.join(', ');
  let text = "{'descr': '" + descr + "', 'fortran_order': False, 'shape': (" + tuple + '), }';
  text += ' '.repeat((64 - ((10 + text.length + 1) % 64)) % 64) + '\n';
  const head = new Uint8Array(10 + text.length);
  head.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, text.length & 255, text.length >> 8]);
  for (let i = 0; i < text.length; i++) head[10 + i] = text.charCodeAt(i);
  const body = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  const out = new Uint8Array(head.length + body.length);
  out.set(head);
  out.set(body, head.length);
  return out;
}

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  return c >>> 0;
});

export function crc32(bytes) {
  let c = 0xffffffff;
  for (const b of bytes) c = CRC[(c ^ b) & 255] ^ (c >>> 8);
  return (c ^ 0xffffffff) >>> 0;
}

/** An uncompressed zip of {name: bytes}; an .npz is one of .npy files. */
export function zip(files) {
  const parts = [];
  const central = [];
  let at = 0;
  for (const [name, bytes] of Object.entries(files)) {
    const label = new TextEncoder().encode(name);
    const fixed = new DataView(new ArrayBuffer(26));
    fixed.setUint16(0, 20, true);
    fixed.setUint16(8, 0x21, true); // 1 January 1980: files carry no time of their own
    fixed.setUint32(10, crc32(bytes), true);
    fixed.setUint32(14, bytes.length, true);
    fixed.setUint32(18, bytes.length, true);
    fixed.setUint16(22, label.length, true);
    const common = new Uint8Array(fixed.buffer);
    parts.push(Uint8Array.of(0x50, 0x4b, 3, 4), common, label, bytes);
    const tail = new DataView(new ArrayBuffer(14));
    tail.setUint32(10, at, true);
    central.push(Uint8Array.of(0x50, 0x4b, 1, 2, 20, 0), common, new Uint8Array(tail.buffer), label);
    at += 30 + label.length + bytes.length;
  }
  const size = central.reduce((sum, p) => sum + p.length, 0);
  const end = new DataView(new ArrayBuffer(22));
  const n = Object.keys(files).length;
  end.setUint32(0, 0x06054b50, true);
  end.setUint16(8, n, true);
  end.setUint16(10, n, true);
  end.setUint32(12, size, true);
  end.setUint32(16, at, true);
  return [...parts, ...central, new Uint8Array(end.buffer)];
}

export function maskNpz(viewer) {
  const { now } = viewer.scope;
  const shape = [now.frames, now.h, now.w];
  const json = new TextEncoder().encode(JSON.stringify(facts(viewer)));
  return zip({
    'keep.npy': npy(now.keep, shape, '|b1'),
    'distance.npy': npy(now.distance, shape, '<f4'),
    'run_length.npy': npy(now.runs, shape, '<i4'),
    'rects.npy': npy(now.rects, [now.h, now.w, 4], '<f4'),
    'frame_index.npy': npy(now.index, [now.frames], '<i4'),
    'facts.json.npy': npy(json, [json.length], '|u1'),
  });
}

export function saveNpz(viewer) {
  offer(new Blob(maskNpz(viewer), { type: 'application/octet-stream' }), 'omnivmed-mask.npz');
}
