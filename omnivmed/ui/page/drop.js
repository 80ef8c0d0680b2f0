// Files and folders, dropped anywhere on the page or chosen by the folder button, go to the page's own upload field.
// Names are listed here, in the browser; to the server they never go.
(() => {
  'use strict';
  if (window.omnivmedDrop) return;
  window.omnivmedDrop = true;
  /** @type {{[name: string]: string}} */
  const words = window.omnivmedWords || {};
  const say = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
  const MOST = 4000; // as many as the server takes of one study
  const LISTED = 200;
  const CLUTTER = /^(\.|__MACOSX$|Thumbs\.db$|desktop\.ini$)/;

  const host = () => document.querySelector('.gradio-container') || document.body;
  const field = () => {
    const box = document.querySelector('.ov-upload');
    return /** @type {HTMLInputElement | null} */ (box && box.querySelector('[type=file]'));
  };

  /** @returns {Promise<{files: File[], left: [string, string][]}>} everything below these entries, and what was left */
  async function gather(entries) {
    const files = [];
    const left = [];
    const walk = async (entry) => {
      if (CLUTTER.test(entry.name)) {
        left.push([entry.name, words.hidden]);
        return;
      }
      if (entry.isFile) {
        await new Promise((done) => entry.file((file) => { files.push(file); done(); }, () => { left.push([entry.name, words.unreadable]); done(); }));
        return;
      }
      const reader = entry.createReader();
      for (;;) {
        const some = await new Promise((done) => reader.readEntries(done, () => { left.push([entry.name, words.unreadable]); done([]); }));
        if (!some.length) return;
        for (const one of some) await walk(one);
      }
    };
    for (const entry of entries) await walk(entry);
    return { files, left };
  }

  /** The same file under its number: a name stays here, and none is of a form in which no upload can carry it (a quote, a
   * line break, a backslash at its end). What is left of it is the ending, by which a format is known. */
  const nameless = (file, k) => {
    const ending = /(?:\.nii|\.img|\.hdr)?\.[A-Za-z0-9]{1,8}$/.exec(file.name);
    return new File([file], `file${k + 1}${ending ? ending[0] : ''}`);
  };
  let sending = false;
  // The field itself, clicked or dropped on, goes the same way.
  document.addEventListener('change', (event) => {
    const input = field();
    if (sending || !input || event.target !== input || !input.files || !input.files.length) return;
    event.stopImmediatePropagation();
    send([...input.files], []);
  }, true);

  /** What was sent and what was not, with the reason; goes when it is clicked away or another study is sent. */
  function list(files, left, message) {
    const old = document.getElementById('ov-sent');
    if (old) old.remove();
    if (!message && files.length + left.length < 2) return;
    const box = document.createElement('aside');
    box.id = 'ov-sent';
    box.setAttribute('role', 'status');
    const head = document.createElement('details');
    const line = document.createElement('summary');
    line.textContent = message || say(left.length ? words.sentLeft : words.sent, { sent: files.length, left: left.length });
    const rows = document.createElement('ul');
    const row = (name, why) => {
      const item = document.createElement('li');
      item.textContent = why ? name + ' · ' + why : name;
      rows.append(item);
    };
    left.slice(0, LISTED).forEach(([name, why]) => row(name, why));
    files.slice(0, LISTED).forEach((file) => row(file.name, ''));
    if (files.length + left.length > 2 * LISTED) row('…', '');
    head.append(line, rows);
    const close = document.createElement('button');
    close.type = 'button';
    close.textContent = '×';
    close.setAttribute('aria-label', words.close);
    close.addEventListener('click', () => box.remove());
    box.append(head, close);
    host().append(box);
  }

  function send(files, left) {
    const input = field();
    if (!files.length) list([], left, words.nothing);
    else if (files.length > MOST) list([], left, say(words.many, { count: files.length, most: MOST }));
    else if (!input) list([], left, words.busy);
    else {
      const carried = new DataTransfer();
      // In order of their paths: parts of a pair and slices of a series come as they lie in the folder.
      const path = (file) => file.webkitRelativePath || file.name;
      files.sort((a, b) => path(a).localeCompare(path(b), undefined, { numeric: true }));
      files.forEach((file, k) => carried.items.add(nameless(file, k)));
      sending = true;
      input.files = carried.files;
      input.dispatchEvent(new Event('change', { bubbles: true }));
      sending = false;
      list(files, left, '');
    }
  }

  const carries = (event) => event.dataTransfer && [...event.dataTransfer.types].includes('Files');
  let depth = 0;
  const sign = document.createElement('div');
  sign.id = 'ov-drop-here';
  sign.textContent = words.here;
  const over = (on) => {
    if (on) host().append(sign);
    else sign.remove();
  };
  window.addEventListener('dragenter', (event) => {
    if (!carries(event)) return;
    depth++;
    over(true);
  }, true);
  window.addEventListener('dragleave', (event) => {
    if (!carries(event)) return;
    depth = Math.max(0, depth - 1);
    if (!depth) over(false);
  }, true);
  window.addEventListener('dragover', (event) => { if (carries(event)) event.preventDefault(); }, true);
  window.addEventListener('drop', (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    event.stopPropagation();
    depth = 0;
    over(false);
    const items = [...event.dataTransfer.items].filter((item) => item.kind === 'file');
    const entries = items.map((item) => item.webkitGetAsEntry && item.webkitGetAsEntry());
    const plain = items.filter((_, i) => !entries[i]).map((item) => item.getAsFile()).filter(Boolean);
    gather(entries.filter(Boolean)).then(({ files, left }) => send([...files, ...plain], left));
  }, true);

  document.addEventListener('click', (event) => {
    if (!(event.target instanceof Element) || !event.target.closest('.ov-folder')) return;
    const chooser = document.createElement('input');
    chooser.type = 'file';
    chooser.webkitdirectory = true;
    chooser.hidden = true;
    host().append(chooser);
    chooser.addEventListener('cancel', () => chooser.remove());
    chooser.addEventListener('change', () => {
      chooser.remove();
      const all = [...chooser.files];
      const clutter = (file) => (file.webkitRelativePath || file.name).split('/').some((part) => CLUTTER.test(part));
      send(all.filter((file) => !clutter(file)), all.filter(clutter).map((file) => [file.name, words.hidden]));
    });
    chooser.click();
  });
})();
