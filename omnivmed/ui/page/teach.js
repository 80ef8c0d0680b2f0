// Lecture mode of the teaching page: one step a screen, turned by keys or buttons. No network, no storage.
(() => {
  'use strict';
  if (window.omnivmedLecture) return;
  window.omnivmedLecture = true;
  const screens = () => [.../** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('.ov-step'))].filter((one) => one.offsetParent !== null || !hidden(one));
  const hidden = (one) => one.classList.contains('hide') || one.classList.contains('hidden');
  const on = () => document.body.classList.contains('ov-lecture');
  let place = 0;

  const show = (number) => {
    const all = screens();
    if (!all.length) return;
    place = Math.max(0, Math.min(all.length - 1, number));
    for (const one of document.querySelectorAll('.ov-step')) one.classList.toggle('ov-now', one === all[place]);
    const bar = document.getElementById('ov-lecture-place');
    if (bar) bar.querySelector('output').textContent = `${place + 1} / ${all.length}`;
    // The whole address: the page's base is its root, and a bare # would lead there.
    history.replaceState(history.state, '', `${location.pathname}${location.search}#lecture-${place}`);
    window.scrollTo(0, 0);
    window.dispatchEvent(new Event('resize')); // a chart that was hidden has no width yet
  };

  const begin = (number) => {
    document.body.classList.add('ov-lecture');
    if (!document.getElementById('ov-lecture-place')) {
      const bar = document.createElement('nav');
      bar.id = 'ov-lecture-place';
      const button = (word, turn) => {
        const one = document.createElement('button');
        one.type = 'button';
        one.textContent = word;
        one.dataset.lecture = turn;
        return one;
      };
      bar.append(button('\u2190', 'back'), document.createElement('output'), button('\u2192', 'next'), button('Esc', 'end'));
      document.body.append(bar);
    }
    show(number);
  };

  const end = () => {
    document.body.classList.remove('ov-lecture');
    document.getElementById('ov-lecture-place')?.remove();
    const now = document.querySelector('.ov-step.ov-now');
    history.replaceState(history.state, '', location.pathname + location.search);
    window.dispatchEvent(new Event('resize'));
    now?.scrollIntoView();
  };

  document.addEventListener('click', (event) => {
    const turn = event.target instanceof Element && event.target.closest('[data-lecture]');
    if (!turn) return;
    const what = turn.getAttribute('data-lecture');
    if (what === 'print') print();
    else if (what === 'begin') begin(1);
    else if (what === 'end') end();
    else show(place + (what === 'next' ? 1 : -1));
  });

  document.addEventListener('keydown', (event) => {
    if (!on() || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === 'Escape') { end(); return; }
    const field = event.target instanceof Element && event.target.closest('input,textarea,select,[contenteditable]');
    const kind = field instanceof HTMLInputElement ? field.type : field ? 'text' : '';
    // Arrows belong to a slider or a choice that has them; text fields keep every key.
    if (kind && kind !== 'range' && kind !== 'radio' && kind !== 'checkbox') return;
    const turns = { PageDown: 1, PageUp: -1, ...(kind ? {} : { ArrowRight: 1, ArrowLeft: -1 }) };
    if (!(event.key in turns)) return;
    event.preventDefault();
    show(place + turns[event.key]);
  });

  // A link to a step (teach?study=ct_abdomen#lecture-4) begins the lecture there, once the steps stand.
  const linked = /^#lecture-(\d+)$/.exec(location.hash);
  if (linked) {
    const waiting = setInterval(() => {
      if (!document.querySelector('#teach-5 table,#teach-1 svg')) return;
      clearInterval(waiting);
      begin(Number(linked[1]));
    }, 150);
    setTimeout(() => clearInterval(waiting), 60000);
  }
})();
