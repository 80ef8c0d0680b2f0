// The page's way in: mounting, and moving viewers from elsewhere (links in answers).
import { viewOf } from './keep.js';
import { Viewer } from './viewer.js';

const CSS = "@viewer.css@";
/** @type {Map<Element, Viewer>} */
const viewers = new Map();

function style() {
  if (document.getElementById('omv-style')) return;
  const node = document.createElement('style');
  node.id = 'omv-style';
  node.textContent = CSS;
  document.head.appendChild(node);
}

/** Called by Gradio once per component; later values come through `watch`.
 * @param {HTMLElement} element @param {{value: import('./types').Value | null}} props
 * @param {(name: string, data?: object) => void} trigger @param {(name: string, take: () => void) => void} watch
 * @param {string[]} events */
function mount(element, props, trigger, watch, events) {
  style();
  const root = /** @type {HTMLElement} */ (element.querySelector('.omv') || element);
  const known = new Set(events);
  const viewer = new Viewer(root, (name, data) => { if (known.has(name)) trigger(name, data); });
  viewers.set(element, viewer);
  const take = () => viewer.loader.apply(props.value);
  watch('value', take);
  take();
  return viewer;
}

/** Moves the viewers on the page, or the one with this elem_id.
 * @param {import('./types').Place} place @param {string} [id] */
function goto(place, id) {
  for (const [element, viewer] of viewers) {
    if (!element.isConnected) {
      viewers.delete(element);
      continue;
    }
    const host = id && document.getElementById(id);
    if (!id || (host && host.contains(viewer.root))) viewer.jump(place);
  }
}

/** The app knows more of the model: its state, and its seconds per token once they are measured.
 * @param {import('./types').ModelFacts | null} facts */
function model(facts) {
  if (!facts) return;
  for (const viewer of viewers.values()) {
    viewer.state.model_state = facts.state;
    viewer.state.seconds_per_token = facts.seconds_per_token;
    viewer.scope.sync();
  }
}

/** What the page's own viewer shows, as a few numbers; null when it shows nothing. */
function view() {
  const own = [...viewers.values()].find((viewer) => viewer.root.closest('#viewer'));
  return own ? viewOf(own) : null;
}

window.omnivmedViewer = { mount, goto, model, view, viewers, version: 1 };
