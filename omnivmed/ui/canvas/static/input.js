// Wheel, pointer and keys. Everything calls the viewer's own methods; no state beyond the gesture under way.

const NOTCH = 40; // wheel travel of one slice, for touch pads that send many small steps

export function bindPane(viewer, pane) {
  const { canvas } = pane;
  let travel = 0;
  canvas.addEventListener('wheel', (event) => {
    event.preventDefault();
    if (event.ctrlKey || event.metaKey) {
      const box = canvas.getBoundingClientRect();
      pane.zoom(Math.exp(-event.deltaY * 0.0025), (event.clientX - box.left) * pane.ratio, (event.clientY - box.top) * pane.ratio);
      viewer.invalidate();
      return;
    }
    const delta = event.deltaMode === 1 ? event.deltaY * NOTCH : event.deltaY;
    if (Math.sign(delta) !== Math.sign(travel)) travel = 0;
    travel += delta;
    const steps = Math.abs(delta) >= NOTCH * 2 ? Math.sign(delta) : Math.trunc(travel / NOTCH);
    if (steps) {
      travel = 0;
      viewer.stepAxis(pane.spec.axis, steps);
    }
  }, { passive: false });

  const pointers = new Map();
  let drag = null;
  canvas.addEventListener('pointerdown', (event) => {
    canvas.focus({ preventScroll: true });
    pointers.set(event.pointerId, event);
    canvas.setPointerCapture(event.pointerId);
    if (pointers.size === 2) {
      drag = { pinch: spread(pointers) };
      return;
    }
    if (event.button === 2) return;
    let tool = event.button === 1 || event.shiftKey ? 'pan' : viewer.tool;
    if (tool === 'window' && !viewer.table) tool = event.pointerType === 'touch' ? 'scroll' : 'pan';
    drag = { tool, x: event.clientX, y: event.clientY, from: pane.at(event), window: { ...viewer.window }, index: viewer.cursor[pane.spec.axis], moved: false };
    if (event.button === 1) event.preventDefault();
  });
  canvas.addEventListener('pointermove', (event) => {
    viewer.hoverAt(pane, pane.at(event));
    if (!pointers.has(event.pointerId) || !drag) return;
    pointers.set(event.pointerId, event);
    if (drag.pinch) {
      pinch(viewer, pane, drag, pointers);
      return;
    }
    const dx = event.clientX - drag.x;
    const dy = event.clientY - drag.y;
    if (!drag.moved && Math.hypot(dx, dy) < 3) return;
    drag.moved = true;
    dragTo(viewer, pane, drag, event, dx, dy);
  });
  const end = (event) => {
    if (!pointers.delete(event.pointerId)) return;
    if (drag && !drag.pinch && !drag.moved && event.type === 'pointerup') viewer.clickAt(pane, drag.from);
    if (drag && drag.tool === 'window' && drag.moved) viewer.dragEnd();
    drag = null;
  };
  canvas.addEventListener('pointerup', end);
  canvas.addEventListener('pointercancel', end);
  canvas.addEventListener('pointerenter', () => { // keys work at once, but never take the focus from a text field
    const { activeElement: held } = document;
    if (!held || held === document.body || held.tagName === 'BUTTON' || held.tagName === 'A') canvas.focus({ preventScroll: true });
  });
  canvas.addEventListener('pointerleave', () => viewer.hoverAt(pane, null));
  canvas.addEventListener('contextmenu', (event) => event.preventDefault());
  canvas.addEventListener('dblclick', () => { pane.fit(); viewer.invalidate(); });
}

function dragTo(viewer, pane, drag, event, dx, dy) {
  if (drag.tool === 'pan') {
    pane.pan((event.clientX - drag.x) * pane.ratio, (event.clientY - drag.y) * pane.ratio);
    drag.x = event.clientX;
    drag.y = event.clientY;
    viewer.invalidate();
  } else if (drag.tool === 'window') {
    const speed = Math.max(drag.window.width, viewer.span / 64) / 256;
    viewer.dragging = true;
    viewer.setWindow(drag.window.level + dy * speed, drag.window.width + dx * speed * 2);
  } else if (drag.tool === 'measure') {
    pane.setMeasure({ a: drag.from, b: pane.at(event) });
    viewer.invalidate();
  } else if (drag.tool === 'scroll') {
    const axis = pane.spec.axis;
    const n = viewer.header.shape[axis];
    const per = Math.max(3, pane.root.clientHeight / Math.max(n, 1));
    viewer.setAxis(axis, drag.index + Math.round(dy / per));
  }
}

function spread(pointers) {
  const [a, b] = [...pointers.values()];
  return { d: Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY), x: (a.clientX + b.clientX) / 2, y: (a.clientY + b.clientY) / 2 };
}

function pinch(viewer, pane, drag, pointers) {
  const now = spread(pointers);
  const box = pane.canvas.getBoundingClientRect();
  pane.pan((now.x - drag.pinch.x) * pane.ratio, (now.y - drag.pinch.y) * pane.ratio);
  pane.zoom(now.d / Math.max(drag.pinch.d, 1), (now.x - box.left) * pane.ratio, (now.y - box.top) * pane.ratio);
  drag.pinch = now;
  viewer.invalidate();
}

/** Keys work anywhere in the viewer except in text fields; a slider keeps its arrows, nothing else. */
export function bindKeys(viewer, root) {
  root.addEventListener('keydown', (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || !viewer.header) return;
    const { tagName, type } = event.target;
    const typing = tagName === 'TEXTAREA' || tagName === 'SELECT' || (tagName === 'INPUT' && type !== 'range' && type !== 'radio');
    if (typing) return;
    const arrows = event.key.startsWith('Arrow') || event.key.startsWith('Page') || event.key === 'Home' || event.key === 'End';
    if (arrows && tagName === 'INPUT' && (event.target !== viewer.ui.slider || type === 'radio')) return;
    if (event.key === ' ' && tagName === 'BUTTON') return;
    const run = keyAction(viewer, event.key);
    if (!run) return;
    event.preventDefault();
    event.stopPropagation();
    run();
  });
}

function keyAction(viewer, key) {
  const last = viewer.header.shape[0] - 1;
  const keys = {
    ArrowUp: () => viewer.step(-1), ArrowLeft: () => viewer.step(-1),
    ArrowDown: () => viewer.step(1), ArrowRight: () => viewer.step(1),
    PageUp: () => viewer.step(-10), PageDown: () => viewer.step(10),
    Home: () => viewer.goto(0), End: () => viewer.goto(last),
    ',': () => viewer.step(-1), '.': () => viewer.step(1),
    '<': () => viewer.given(-1), '>': () => viewer.given(1), j: () => viewer.given(-1), k: () => viewer.given(1),
    '[': () => viewer.mark('from'), ']': () => viewer.mark('to'), a: () => viewer.askMoment(), t: () => viewer.askStretch(),
    b: () => viewer.change(-1), n: () => viewer.change(1),
    ' ': () => viewer.player.toggle(), c: () => viewer.player.toggle(),
    i: () => viewer.invert(), r: () => viewer.reset(), f: () => viewer.fit(),
    o: () => viewer.toggleOverlay(), m: () => viewer.nextMode(),
    '+': () => viewer.zoom(1.25), '=': () => viewer.zoom(1.25), '-': () => viewer.zoom(1 / 1.25),
    w: () => viewer.setTool('window'), p: () => viewer.setTool('pan'),
    d: () => viewer.setTool('measure'), s: () => viewer.setTool('scroll'),
    x: () => viewer.layout(), z: () => viewer.full(), '?': () => viewer.help(),
    Escape: () => viewer.escape(),
    0: () => viewer.pickPreset('own'),
  };
  if (/^[1-9]$/.test(key)) return () => viewer.pickPreset(String(Number(key) - 1));
  return keys[key.length === 1 ? key.toLowerCase() : key];
}

/** Dragging on a canvas along x: calls move(fraction 0..1) and done(). */
export function bindTrack(canvas, move, done) {
  let held = false;
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    move(Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1));
  };
  canvas.addEventListener('pointerdown', (event) => {
    held = true;
    canvas.setPointerCapture(event.pointerId);
    at(event);
  });
  canvas.addEventListener('pointermove', (event) => { if (held) at(event); });
  const stop = () => {
    if (held && done) done();
    held = false;
  };
  canvas.addEventListener('pointerup', stop);
  canvas.addEventListener('pointercancel', stop);
}
