// Small manners of the page around the viewer. No network. In this tab's own storage: a random word and the view (place,
// window, look of the tokens), never a pixel, a question or an answer.
(() => {
  'use strict';
  if (window.omnivmedPage) return;
  window.omnivmedPage = true;

  // What this page uploads only this page may open: a random word goes along with its requests to the own server. A tab
  // that is loaded anew, or comes back, says the same word and so finds its study and conversation again; a copy of a tab
  // that is still there says a new one.
  const KEY = 'omnivmed';
  const read = () => { try { return JSON.parse(sessionStorage.getItem(KEY) || 'null'); } catch { return null; } };
  const write = () => { try { sessionStorage.setItem(KEY, JSON.stringify(kept)); } catch { /* a browser that keeps nothing */ } };
  const before = read();
  const entry = /** @type {PerformanceNavigationTiming | undefined} */ (performance.getEntriesByType('navigation')[0]);
  const reloaded = entry && entry.type === 'reload';
  const linked = entry && entry.type === 'navigate' && new URLSearchParams(location.search).has('study');
  const again = Boolean(before && (before.left || reloaded) && !linked);
  const random = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, '0')).join('');
  const kept = again ? { ...before, left: false } : { word: random(), left: false, view: null };
  const { word } = kept;
  const from = before && !again ? before.word : null; // the page that opened this one, whose study a lesson may begin with
  window.omnivmedKept = kept;
  if (location.pathname.endsWith('/teach')) kept.lesson = true;
  else write();
  window.addEventListener('pagehide', () => {
    if (kept.lesson) return;
    kept.left = true;
    const viewer = window.omnivmedViewer && window.omnivmedViewer.view();
    if (viewer) kept.view = viewer;
    write();
  });
  window.addEventListener('pageshow', (event) => { if (event.persisted) location.reload(); });

  const plainFetch = window.fetch.bind(window);
  window.fetch = (input, init = {}) => {
    const request = input instanceof Request;
    const url = new URL(request ? input.url : input, location.href);
    if (url.origin !== location.origin || !url.pathname.includes('/gradio_api/')) return plainFetch(input, init);
    const headers = new Headers(init.headers || (request ? input.headers : undefined));
    headers.set('x-omnivmed-page', word);
    if (from) headers.set('x-omnivmed-from', from);
    return plainFetch(input, { ...init, headers });
  };

  // The lesson has a tab of its own and begins with the study of this one; its way back leads to this one.
  document.addEventListener('click', (event) => {
    const link = event.target instanceof Element && event.target.closest('.ov-other');
    if (!(link instanceof HTMLAnchorElement) || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (link.pathname.endsWith('/teach')) {
      if (window.open(link.href, '_blank')) event.preventDefault();
    } else if (window.opener && !window.opener.closed) {
      event.preventDefault();
      window.close();
    }
  });

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

  // A slice or a time named in an answer (or a picture under "What it saw") moves the viewer.
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
