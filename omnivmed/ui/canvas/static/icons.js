// Line icons, 20 x 20, drawn with the current colour.

const PATHS = {
  window: '<circle cx="10" cy="10" r="7"/><path d="M10 3v14a7 7 0 0 0 0-14z" fill="currentColor" stroke="none"/>',
  pan: '<path d="M10 2.5v15M2.5 10h15M10 2.5 8 4.5M10 2.5l2 2M10 17.5l-2-2M10 17.5l2-2M2.5 10l2-2M2.5 10l2 2M17.5 10l-2-2M17.5 10l-2 2"/>',
  scroll: '<rect x="3.5" y="6.5" width="10" height="10" rx="1"/><path d="M6.5 6.5v-3h10v10h-3"/>',
  measure: '<path d="M3 13.5 13.5 3 17 6.5 6.5 17zM6 10.5l1.8 1.8M8.6 7.9l1.8 1.8M11.2 5.3 13 7.1"/>',
  fit: '<path d="M3 7V3h4M13 3h4v4M17 13v4h-4M7 17H3v-4"/><rect x="7" y="7" width="6" height="6"/>',
  plus: '<circle cx="8.5" cy="8.5" r="5.5"/><path d="m12.7 12.7 4.3 4.3M8.5 6v5M6 8.5h5"/>',
  minus: '<circle cx="8.5" cy="8.5" r="5.5"/><path d="m12.7 12.7 4.3 4.3M6 8.5h5"/>',
  invert: '<rect x="3" y="3" width="14" height="14" rx="1.5"/><path d="M17 3 3 17h12.5a1.5 1.5 0 0 0 1.5-1.5z" fill="currentColor" stroke="none"/>',
  reset: '<path d="M4 4v4h4"/><path d="M4.5 8a6.5 6.5 0 1 1-.6 4"/>',
  layout: '<rect x="3" y="3" width="14" height="14" rx="1"/><path d="M11 3v14M11 10h6"/>',
  overlay: '<rect x="3" y="3" width="14" height="14" rx="1"/><path d="M3 7.7h14M3 12.3h14M7.7 3v14M12.3 3v14"/><path d="M7.7 7.7h4.6v4.6H7.7z" fill="currentColor" stroke="none"/>',
  save: '<path d="M10 3v9M6.5 8.5 10 12l3.5-3.5M3.5 14v3h13v-3"/>',
  help: '<rect x="2.5" y="5" width="15" height="10" rx="1.5"/><path d="M5.5 8h1M9.5 8h1M13.5 8h1M6.5 12h7"/>',
  full: '<path d="M3 7.5V3h4.5M12.5 3H17v4.5M17 12.5V17h-4.5M7.5 17H3v-4.5"/>',
  play: '<path d="M6 3.5v13l11-6.5z" fill="currentColor"/>',
  pause: '<path d="M6.5 4v12M13.5 4v12" stroke-width="3"/>',
  prev: '<path d="m12.5 4-6 6 6 6"/>',
  next: '<path d="m7.5 4 6 6-6 6"/>',
  prevChange: '<path d="m13.5 4-6 6 6 6M4.5 4v12"/>',
  nextChange: '<path d="m6.5 4 6 6-6 6M15.5 4v12"/>',
  from: '<path d="M6 3.5v13M6 10h10.5M13.5 7l3 3-3 3"/>',
  to: '<path d="M14 3.5v13M14 10H3.5M6.5 7l-3 3 3 3"/>',
  stretch: '<path d="M3 3h14v8H9l-3.5 3v-3H3zM3 14.5v3M17 14.5v3M3 16h14"/>',
  moment: '<path d="M3 3h14v8H9l-3.5 3v-3H3zM10 14v4M6.5 16h1M12.5 16h1"/>',
  ask: '<path d="M3 4.5h14v9H9l-3.5 3v-3H3z"/>',
};

/** SVG markup of an icon; hidden from screen readers, the button around it has the name. */
export function icon(name) {
  return '<svg viewBox="0 0 20 20" width="18" height="18" fill="none" stroke="currentColor" stroke-width="1.5" '
    + 'stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">' + PATHS[name] + '</svg>';
}
