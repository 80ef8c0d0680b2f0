// The board of pruning rules: one slice large, where a region is drawn, and the same slice under every rule.
(() => {
  'use strict';
  if (window.omnivmedRules) return;

  /** @param {string} tag @param {Record<string, any>} [props] @param {(Node|string)[]} [children] @returns {any} */
  const make = (tag, props = {}, children = []) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(props)) {
      if (name === 'class') node.className = value;
      else if (name in node && !name.startsWith('aria')) node[name] = value;
      else node.setAttribute(name, value);
    }
    node.append(...children);
    return node;
  };
  const TOOLS = ['ellipse', 'box', 'free'];
  const CORNERS = 48; // of an ellipse
  const MOST = 400; // points of a line drawn by hand
  const KEPT = '#f0a92e';

  /** The corners of what was drawn from a to b, each [x, y] in 0..1. */
  const corners = (tool, a, b, trail) => {
    if (tool === 'box') return [[a[0], a[1]], [b[0], a[1]], [b[0], b[1]], [a[0], b[1]]];
    if (tool === 'free') {
      const step = Math.max(1, Math.ceil(trail.length / MOST));
      return trail.filter((_, i) => i % step === 0);
    }
    const [cx, cy] = [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
    const [rx, ry] = [Math.abs(a[0] - b[0]) / 2, Math.abs(a[1] - b[1]) / 2];
    return Array.from({ length: CORNERS }, (_, i) => {
      const angle = (2 * Math.PI * i) / CORNERS;
      return [cx + rx * Math.cos(angle), cy + ry * Math.sin(angle)];
    });
  };

  /** Bits, most significant first, as booleans. */
  const bits = (text, count) => {
    const bytes = atob(text);
    return Array.from({ length: count }, (_, i) => Boolean(bytes.charCodeAt(i >> 3) & (128 >> (i & 7))));
  };

  class Rules {
    constructor(element, trigger) {
      this.root = element.querySelector('.ov-rules');
      this.trigger = trigger;
      this.value = null;
      this.of = '';
      this.study = '';
      this.images = [];
      this.outlines = [];
      this.tool = 'ellipse';
      this.through = 'here'; // this slice, its neighbours, or all
      this.k = 0;
      this.drag = null;
    }

    set(value) {
      if (!value || !value.rules.length) {
        this.value = null;
        this.root.replaceChildren();
        return;
      }
      const study = value.of.split(' ')[0];
      if (study !== this.study) this.outlines = [];
      const other = value.of !== this.of;
      const before = this.value;
      this.value = { ...value, size: value.size || this.value.size };
      if (value.frames.length) {
        this.images = value.frames.map((src) => { const image = new Image(); image.src = src; return image; });
        this.k = before && study === this.study ? this.nearest(before.frame_index[this.k]) : Math.floor(value.frames.length / 2);
      }
      [this.of, this.study] = [value.of, study];
      const [h, w] = [value.edges_y.length - 1, value.edges_x.length - 1];
      this.keeps = value.rules.map((rule) => bits(rule.keep, value.frame_index.length * h * w));
      this.build();
      this.show();
      this.root.dataset.rules = String(value.rules.length);
      // Another budget or match: what was drawn is asked for anew.
      if (other && this.outlines.length) this.send();
    }

    /** The place, among the frames that are taken now, of the one nearest to a frame of the study. */
    nearest(frame) {
      const far = this.value.frame_index.map((other) => Math.abs(other - frame));
      return far.indexOf(Math.min(...far));
    }

    build() {
      const { value } = this;
      const { words } = value;
      const [width, height] = value.size;
      this.stage = make('canvas', { class: 'ov-rules-stage', width: 2 * width, height: 2 * height, tabIndex: 0,
        'aria-label': words.stage });
      this.stage.style.aspectRatio = `${width} / ${height}`;
      this.slider = make('input', { type: 'range', min: '0', max: String(value.frame_index.length - 1), value: String(this.k),
        class: 'ov-rules-slider', 'aria-label': words.place, oninput: () => { this.k = Number(this.slider.value); this.show(); } });
      this.said = make('output', { class: 'ov-rules-place' });
      const tools = TOOLS.map((tool) => make('button', { type: 'button', 'aria-pressed': String(tool === this.tool),
        class: `ov-rules-${tool}`, onclick: () => { this.tool = tool; this.press(tools, TOOLS.indexOf(tool)); } }, [words[tool]]));
      const reach = ['here', 'near', 'all'].map((name) => make('option', { value: name, selected: name === this.through }, [words[name]]));
      const through = make('select', { class: 'ov-rules-reach', 'aria-label': words.reach,
        onchange: () => { this.through = through.value; } }, reach);
      const clear = make('button', { type: 'button', class: 'ov-rules-clear', disabled: !this.outlines.length,
        onclick: () => { this.outlines = []; this.send(); } }, [words.clear]);
      const save = make('button', { type: 'button', class: 'ov-rules-save', onclick: () => this.save() }, [words.save]);
      this.cells = value.rules.map((rule) => {
        const picture = make('canvas', { width, height, 'aria-hidden': 'true' });
        picture.style.aspectRatio = `${width} / ${height}`;
        const chart = make('canvas', { class: 'ov-rules-bars', width: 300, height: 48, 'aria-hidden': 'true' });
        const caption = [make('b', {}, [rule.name]), ...(rule.note ? [' ', make('small', {}, [rule.note])] : []),
          make('br'), make('span', {}, [rule.words])];
        if (rule.region) caption.push(make('br'), make('strong', { class: 'ov-rules-region' }, [rule.region]));
        return { picture, chart, node: make('figure', {}, [picture, chart, make('figcaption', {}, caption)]) };
      });
      this.bindStage();
      this.root.replaceChildren(
        make('div', { class: 'ov-rules-mark' }, [this.stage, make('div', { class: 'ov-rules-side' }, [
          make('label', {}, [this.said, this.slider]),
          make('p', {}, [words.mark]),
          make('div', { class: 'ov-rules-tools', role: 'group', 'aria-label': words.tools }, [...tools, through, clear]),
          make('p', { class: 'ov-rules-note', role: 'status' }, [value.note]), save,
        ])]),
        make('div', { class: 'ov-rules-cells' }, this.cells.map((cell) => cell.node)),
      );
    }

    press(buttons, chosen) {
      buttons.forEach((button, i) => button.setAttribute('aria-pressed', String(i === chosen)));
    }

    show() {
      const { value, k } = this;
      this.said.textContent = value.places[k];
      const image = this.images[k];
      if (!image.complete) { image.onload = () => this.show(); return; }
      this.paint();
      const [h, w] = [value.edges_y.length - 1, value.edges_x.length - 1];
      this.cells.forEach((cell, r) => {
        const pen = cell.picture.getContext('2d');
        const [W, H] = value.size;
        pen.drawImage(image, 0, 0, W, H);
        pen.fillStyle = 'rgba(6, 9, 14, 0.8)';
        for (let i = 0; i < h; i += 1) {
          for (let j = 0; j < w; j += 1) {
            if (this.keeps[r][(k * h + i) * w + j]) continue;
            const [x0, x1] = [value.edges_x[j] * W, value.edges_x[j + 1] * W];
            const [y0, y1] = [value.edges_y[i] * H, value.edges_y[i + 1] * H];
            pen.fillRect(x0, y0, x1 - x0, y1 - y0);
          }
        }
        this.bars(cell.chart, value.rules[r].shares);
      });
      this.root.dataset.place = String(k);
    }

    bars(chart, shares) {
      const pen = chart.getContext('2d');
      const step = chart.width / shares.length;
      pen.clearRect(0, 0, chart.width, chart.height);
      shares.forEach((share, i) => {
        pen.fillStyle = i === this.k ? '#ffffff' : KEPT;
        pen.fillRect(i * step, chart.height * (1 - share), Math.max(1, 0.8 * step), chart.height * share);
      });
    }

    /** The large picture with what was drawn on this slice. */
    paint() {
      const pen = this.stage.getContext('2d');
      const [W, H] = [this.stage.width, this.stage.height];
      pen.drawImage(this.images[this.k], 0, 0, W, H);
      const frame = this.value.frame_index[this.k];
      const drawn = this.outlines.filter((one) => one.first <= frame && frame <= one.last).map((one) => one.points);
      if (this.drag) drawn.push(corners(this.tool, this.drag.from, this.drag.to, this.drag.trail));
      pen.lineWidth = 3;
      pen.strokeStyle = KEPT;
      for (const points of drawn) {
        pen.beginPath();
        points.forEach(([x, y], i) => (i ? pen.lineTo(x * W, y * H) : pen.moveTo(x * W, y * H)));
        pen.closePath();
        pen.stroke();
      }
    }

    bindStage() {
      const at = (event) => {
        const box = this.stage.getBoundingClientRect();
        const inside = (value) => Math.min(Math.max(value, 0), 1);
        return [inside((event.clientX - box.left) / box.width), inside((event.clientY - box.top) / box.height)];
      };
      this.stage.addEventListener('pointerdown', (event) => {
        event.preventDefault();
        this.stage.setPointerCapture(event.pointerId);
        const from = at(event);
        this.drag = { from, to: from, trail: [from] };
      });
      this.stage.addEventListener('pointermove', (event) => {
        if (!this.drag) return;
        this.drag.to = at(event);
        this.drag.trail.push(this.drag.to);
        this.paint();
      });
      const done = () => {
        const drag = this.drag;
        this.drag = null;
        if (!drag) return;
        const points = corners(this.tool, drag.from, drag.to, drag.trail);
        const far = Math.max(...drag.trail.map(([x, y]) => Math.hypot(x - drag.from[0], y - drag.from[1])));
        if (points.length < 3 || far < 0.01) { this.paint(); return; } // a click draws nothing
        const index = this.value.frame_index;
        const reach = { here: 0, near: 2, all: index.length }[this.through];
        const [first, last] = [index[Math.max(0, this.k - reach)], index[Math.min(index.length - 1, this.k + reach)]];
        this.outlines.push({ first, last, points });
        this.paint();
        this.send();
      };
      this.stage.addEventListener('pointerup', done);
      this.stage.addEventListener('pointercancel', () => { this.drag = null; this.paint(); });
      this.stage.addEventListener('keydown', (event) => {
        const step = { ArrowUp: -1, ArrowLeft: -1, ArrowDown: 1, ArrowRight: 1 }[event.key];
        if (!step) return;
        event.preventDefault();
        this.k = Math.min(Math.max(this.k + step, 0), this.value.frame_index.length - 1);
        this.slider.value = String(this.k);
        this.show();
      });
    }

    send() { this.trigger('region', { outlines: this.outlines }); }

    save() {
      const blob = new Blob([this.value.report], { type: 'application/json' });
      const link = make('a', { href: URL.createObjectURL(blob), download: 'omnivmed-rules.json' });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    }
  }

  window.omnivmedRules = {
    mount(element, props, trigger, watch) {
      const rules = new Rules(element, trigger);
      element.rules = rules;
      rules.set(props.value);
      watch('value', () => rules.set(props.value));
    },
  };
})();
