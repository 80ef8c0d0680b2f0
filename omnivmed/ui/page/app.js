// Small manners of the page around the viewer. No network, no storage.
(() => {
  'use strict';
  if (window.omnivmedPage) return;
  window.omnivmedPage = true;

  // What this page uploads only this page may open: a random word goes along with its requests to the own server.
  const word = Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, '0')).join('');
  const plainFetch = window.fetch.bind(window);
  window.fetch = (input, init = {}) => {
    const request = input instanceof Request;
    const url = new URL(request ? input.url : input, location.href);
    if (url.origin !== location.origin || !url.pathname.includes('/gradio_api/')) return plainFetch(input, init);
    const headers = new Headers(init.headers || (request ? input.headers : undefined));
    headers.set('x-omnivmed-page', word);
    return plainFetch(input, { ...init, headers });
  };

  // On a phone picture and question take turns.
  window.omnivmedShow = (show) => {
    const work = document.getElementById('ov-work');
    if (work) work.dataset.shown = show;
    for (const button of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('[data-show]'))) button.setAttribute('aria-selected', String(button.dataset.show === show));
  };
  document.addEventListener('click', (event) => {
    const button = event.target instanceof Element && event.target.closest('[data-show]');
    if (button instanceof HTMLElement) window.omnivmedShow(button.dataset.show === 'question' ? 'question' : 'picture');
  });

  // A slice or a time named in an answer (or a picture under "What the model saw") moves the viewer.
  document.addEventListener('click', (event) => {
    const link = event.target instanceof Element && event.target.closest('a[href*="#slice-"], a[href*="#time-"]');
    if (!link) return;
    event.preventDefault();
    const found = /#(slice|time)-([\d.]+)$/.exec(link.getAttribute('href') || '');
    if (!found || !window.omnivmedViewer) return;
    window.omnivmedShow('picture');
    const value = Number(found[2]);
    window.omnivmedViewer.goto(found[1] === 'slice' ? { number: value } : { time_s: value });
  }, true);
})();
