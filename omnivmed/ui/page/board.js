// The board of drawn pictures: one large, the others small; before and after of a changed one under a slider.
(() => {
  'use strict';
  if (window.omnivmedBoard) return;

  /** @param {string} tag @param {Record<string, any>} [props] @param {(Node|string)[]} [children] */
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

  class Board {
    constructor(element, trigger) {
      this.root = element.querySelector('.ov-board');
      this.trigger = trigger;
      this.value = null;
      this.chosen = null; // id of the picture shown large
      this.split = 50;
      this.heat = 60;
      this.newest = null;
    }

    set(value) {
      this.value = value;
      const pictures = (value && value.pictures) || [];
      const newest = pictures.length ? pictures[0].id : null;
      if (newest !== this.newest) { // a picture was finished, or the shown one went
        this.newest = newest;
        this.chosen = newest;
      }
      if (!pictures.some((picture) => picture.id === this.chosen)) this.chosen = newest;
      this.draw();
    }

    draw() {
      const value = this.value;
      if (!value) { this.root.replaceChildren(); return; }
      const { pictures, preview, words } = value;
      const shown = pictures.find((picture) => picture.id === this.chosen);
      const parts = [];
      if (preview) parts.push(this.previewed(preview, words));
      else if (shown) parts.push(this.large(shown, words));
      else parts.push(make('p', { class: 'ov-board-empty' }, [words.empty]));
      if (pictures.length > 1 || (preview && pictures.length)) parts.push(this.strip(pictures, words));
      this.root.replaceChildren(...parts);
      this.root.dataset.pictures = String(pictures.length);
      this.root.dataset.preview = preview ? 'true' : 'false';
      this.root.dataset.shown = shown && !preview ? shown.id : '';
    }

    previewed(preview, words) {
      return make('figure', { class: 'ov-board-large' }, [
        make('div', { class: 'ov-board-stage' }, [make('img', { src: preview.uri, alt: words.previewAlt })]),
        make('figcaption', {}, [preview.said]),
      ]);
    }

    large(picture, words) {
      const stage = make('div', { class: 'ov-board-stage' }, [
        make('img', { src: picture.file.url, alt: `${words.alt}: ${picture.prompt}` }),
      ]);
      const caption = [make('b', {}, [picture.prompt]), make('small', { class: 'ov-facts' }, [picture.facts])];
      if (picture.text) caption.splice(1, 0, make('p', {}, [picture.text]));
      if (picture.note) caption.splice(1, 0, make('p', { class: 'ov-board-note' }, [picture.note]));
      const tools = [];
      if (picture.before) {
        const before = make('img', { src: picture.before.url, alt: words.beforeAlt, class: 'ov-board-before' });
        const heat = make('img', { src: picture.heat.url, alt: '', class: 'ov-board-heat' });
        const line = make('i', { class: 'ov-board-line' });
        stage.append(before, heat, line);
        const place = () => {
          before.style.clipPath = `inset(0 ${100 - this.split}% 0 0)`;
          line.style.left = `${this.split}%`;
          heat.style.opacity = String(this.heat / 100);
        };
        place();
        const range = (label, key) => make('label', {}, [
          make('span', {}, [label]),
          make('input', { type: 'range', min: '0', max: '100', value: String(this[key]),
            oninput: (event) => { this[key] = Number(event.target.value); place(); } }),
        ]);
        tools.push(make('div', { class: 'ov-board-ranges' }, [range(words.split, 'split'), range(words.heat, 'heat')]));
      }
      tools.push(make('div', { class: 'ov-board-tools' }, [
        make('a', { href: picture.file.url, download: picture.name, class: 'ov-board-save' }, [words.save]),
        make('button', { type: 'button', class: 'ov-board-ask', onclick: () => this.ask(picture) }, [words.ask]),
        make('button', { type: 'button', class: 'ov-board-seed', onclick: () => this.trigger('use_seed', { seed: picture.seed }) }, [words.seed]),
      ]));
      return make('figure', { class: 'ov-board-large' }, [stage, make('figcaption', {}, [...caption, ...tools])]);
    }

    strip(pictures, words) {
      return make('div', { class: 'ov-board-strip', role: 'group', 'aria-label': words.strip }, pictures.map((picture) =>
        make('button', { type: 'button', 'aria-pressed': String(picture.id === this.chosen), title: picture.prompt,
          onclick: () => { this.chosen = picture.id; this.draw(); } },
        [make('img', { src: picture.file.url, alt: picture.prompt })])));
    }

    /** To the tab where one asks; the study comes on the screen meanwhile. */
    ask(picture) {
      this.trigger('ask_about', { id: picture.id });
      const first = document.querySelector('#ov-tabs [role="tab"]');
      if (first instanceof HTMLElement) first.click();
    }
  }

  window.omnivmedBoard = {
    mount(element, props, trigger, watch) {
      const board = new Board(element, trigger);
      element.board = board;
      board.set(props.value);
      watch('value', () => board.set(props.value));
    },
  };
})();
