// The view as a few numbers: to find it again when the page is loaded anew, and as a link for a class.

/** Slice or frame, look of the tokens, window, zoom, measure: nothing of the picture itself.
 * @returns {object | null} */
export function viewOf(viewer) {
  const { header, cursor, mode, overlay, opacity, window: shown, inverted, scope } = viewer;
  if (!header || viewer.state.glimpse) return null;
  const { pane } = viewer;
  return {
    study: header.nonce, cursor: [...cursor], mode, overlay, opacity, window: shown && [shown.level, shown.width], inverted,
    wanted: scope.isRun ? null : { ...scope.wanted }, measure: pane && pane.measure, panes: viewer.panes.length,
  };
}

/** Put a kept view on the screen, if it is of this very payload. */
export function putView(viewer, view) {
  const { header } = viewer;
  if (!view || view.study !== header.nonce) return false;
  if (view.panes > 1 && header.planes.length > 1) viewer.setPanes(view.panes);
  if (view.cursor && view.cursor.every((v, axis) => v >= 0 && v < header.shape[axis])) viewer.cursor = [...view.cursor];
  if (view.window && viewer.grey) viewer.setWindow(...view.window);
  if (Boolean(view.inverted) !== viewer.inverted) viewer.invert();
  viewer.mode = view.mode;
  viewer.opacity = view.opacity;
  viewer.showOverlay(Boolean(view.overlay));
  if (view.measure) viewer.pane.setMeasure(view.measure);
  viewer.scope.before = view.wanted; // a what-if, once there is a mask
  viewer.invalidate();
  return true;
}

const MODES = ['kept', 'distance', 'run'];

/** What the page's address says of the view of a ready study; see omnivmed/ui/visit/link.py.
 * @param {URLSearchParams} query */
export function putLink(viewer, query) {
  const { header, state } = viewer;
  if (!query.has('study') || query.get('study') !== state.sample) return;
  const slice = Number(query.get('slice'));
  if (Number.isInteger(slice) && slice >= 1 && slice <= header.shape[0]) viewer.cursor[0] = slice - 1;
  if (MODES.includes(query.get('view'))) viewer.mode = query.get('view');
  const window = (query.get('window') || '').split(',').map(Number);
  if (viewer.grey && window.length === 2 && window.every(Number.isFinite) && window[1] > 0) viewer.setWindow(window[0], window[1]);
  viewer.showOverlay(query.get('view') !== 'picture');
}

/** Address of what is on the screen; null for a visitor's own study, of which no address speaks.
 * @param {Location} place @returns {string | null} */
export function linkTo(viewer, place) {
  const { state, cursor, scope, window: shown } = viewer;
  if (!state.sample || !viewer.header) return null;
  const query = new URLSearchParams({ study: state.sample });
  if (viewer.header.shape[0] > 1) query.set('slice', String(cursor[0] + 1));
  if (scope.wanted) query.set('threshold', String(Number(scope.wanted.threshold.toFixed(4))));
  query.set('view', viewer.overlay ? viewer.mode : 'picture');
  if (viewer.grey && shown) query.set('window', [shown.level, shown.width].map((v) => Number(v.toFixed(2))).join(','));
  return place.origin + place.pathname + '?' + query;
}
