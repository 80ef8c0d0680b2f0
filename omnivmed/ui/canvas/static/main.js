// The page's way in: mounting, and moving viewers from elsewhere (links in answers).
import { Viewer } from './viewer.js';

const CSS = "@viewer.css@";
const viewers = new Map();

function style() {
  if (document.getElementById('omv-style')) return;
  const node = document.createElement('style');
  node.id = 'omv-style';
  node.textContent = CSS;
  document.head.appendChild(node);
}

/** Called by Gradio once per component; later values come through `watch`. */
function mount(element, props, trigger, watch, events) {
  style();
  const root = element.querySelector('.omv') || element;
  const known = new Set(events);
  const viewer = new Viewer(root, (name, data) => { if (known.has(name)) trigger(name, data); });
  viewers.set(element, viewer);
  const host = element.closest('[id]');
  viewer.id = host ? host.id : '';
  const take = () => viewer.loader.apply(props.value);
  watch('value', take);
  take();
  return viewer;
}

/** goto({index | number | time_s}, elemId?) moves the viewers on the page. */
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

/** What the page's model card says of the model: its state, and its seconds per token once they are measured. */
function model(html) {
  const said = (name) => (new RegExp('data-' + name + '="([^"]*)"').exec(html) || [])[1];
  for (const viewer of viewers.values()) {
    viewer.state.model_state = said('state');
    viewer.state.seconds_per_token = Number(said('seconds-per-token')) || null;
    viewer.scope.sync();
  }
}

window.omnivmedViewer = { mount, goto, model, viewers, version: 1 };
