// The viewer's words: the section `viewer` of texts.json, beside those of the page. {name} is replaced by say().
// When the script is joined, the section is put in place of this import (omnivmed/ui/canvas/viewer.py).
import words from '../../texts.json' with { type: 'json' };

export const TEXT = words.viewer;

/** say('of {n}', {n: 3}) -> 'of 3'. */
export function say(text, values = {}) {
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/** A number for reading: 3 significant digits, no exponent, thousands apart. */
export function num(value, digits = 3) {
  if (!Number.isFinite(value)) return '–';
  const rounded = Number(value.toPrecision(digits));
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString('en-US');
  return String(rounded);
}
