// Small manners of the page around the viewer. No network, no storage.
(() => {
  'use strict';
  if (window.omnivmedPage) return;
  window.omnivmedPage = true;

  // A slice or a time named in an answer (or a picture under "What the model saw") moves the viewer.
  document.addEventListener('click', (event) => {
    const link = event.target instanceof Element && event.target.closest('a[href*="#slice-"], a[href*="#time-"]');
    if (!link) return;
    event.preventDefault();
    const found = /#(slice|time)-([\d.]+)$/.exec(link.getAttribute('href') || '');
    if (!found || !window.omnivmedViewer) return;
    const value = Number(found[2]);
    window.omnivmedViewer.goto(found[1] === 'slice' ? { number: value } : { time_s: value });
  }, true);
})();
