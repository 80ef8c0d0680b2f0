// Takes the first picture away once the page stands. Until then the page is not seen half built.
(() => {
  'use strict';
  const { documentElement: root } = document;
  root.classList.add('ov-booting');
  // A page that comes back, or was asked for another study, does not show this one first.
  const kept = (() => { try { return sessionStorage.getItem('omnivmed'); } catch { return null; } })();
  const other = /[?&]study=/.test(location.search) || (kept && JSON.parse(kept).left);
  if (other) root.style.setProperty('--ov-first', 'none');
  const began = performance.now();
  const standing = () => ['.omv-body', '#ov-question', '#ov-chat', '#sample-mr_head'].every((part) => document.querySelector(part));
  const twice = (then) => requestAnimationFrame(() => requestAnimationFrame(then));
  const away = () => {
    root.classList.replace('ov-booting', 'ov-settling'); // seen at once, without any fading in
    twice(() => {
      const boot = document.getElementById('ov-boot');
      if (boot) boot.remove(); // the viewer shows the same picture in the same place until it has drawn its own
      root.classList.remove('ov-settling');
    });
  };
  const look = () => {
    if (standing() || document.querySelector('#teach-place') || performance.now() - began > 20000) twice(away);
    else setTimeout(look, 50);
  };
  look();
})();
