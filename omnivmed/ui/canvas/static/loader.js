// From a value of the app to pixels and masks: fetches what changed, keeps what did not.
import { TEXT, say } from './texts.js';
import { fetchPayload } from './container.js';
import { putLink, putView } from './keep.js';
import { syncWindow } from './labels.js';

const urlOf = (file) => (file && file.url) || null;
const seqOf = (value) => (value && value.state && value.state.goto_seq) || 0;

export class Loader {
  constructor(viewer) {
    this.viewer = viewer;
    this.studyUrl = null;
    this.maskUrl = null;
    this.abort = null;
    this.started = 0;
  }

  /** A new value from the app, or null for the empty state. */
  apply(value) {
    const { viewer } = this;
    const before = viewer.value;
    viewer.value = value || null;
    viewer.state = (value && value.state) || {};
    const study = urlOf(value && value.study);
    if (!study) {
      if (this.abort) this.abort.abort();
      this.studyUrl = null;
      viewer.clear();
      return;
    }
    const mask = urlOf(value.mask);
    if (study !== this.studyUrl) {
      this.maskUrl = mask;
      // One slice of this very study may be on the screen already: it stays until the rest has come.
      const seen = before && before.state && before.state.glimpse;
      this.loadStudy(study, Boolean(seen && seen === viewer.state.follows && viewer.header));
    } else if (mask !== this.maskUrl) {
      this.maskUrl = mask;
      if (mask) this.loadMask(mask);
      else this.ownMask();
    } else if (viewer.scope.run) {
      viewer.scope.run.role = viewer.state.role;
      viewer.scope.sync();
    }
    this.syncClip();
    if (JSON.stringify(before && before.state && before.state.text_boxes) !== JSON.stringify(viewer.state.text_boxes)) viewer.invalidate();
    if (viewer.header && viewer.state.goto != null && seqOf(value) !== seqOf(before)) viewer.goto(viewer.state.goto);
  }

  async loadStudy(url, keep = false) {
    const { viewer } = this;
    if (this.abort) this.abort.abort();
    this.abort = new AbortController();
    if (!keep) viewer.clear();
    this.studyUrl = url;
    this.started = performance.now();
    this.percent = -1;
    this.progress(0);
    let pixelsAt = 0;
    try {
      await fetchPayload(url, {
        signal: this.abort.signal,
        onHeader: (header, data) => {
          pixelsAt = (header.arrays.voxels || header.arrays.pictures).offset;
          if (keep) viewer.clear();
          viewer.ui.empty.hidden = true;
          viewer.open(header, data);
          this.asBefore();
          this.syncClip();
        },
        onBytes: (bytes) => {
          this.progress(bytes / viewer.header.data_bytes);
          if (viewer.header.mask && !viewer.scope.run && bytes >= pixelsAt) this.ownMask();
          // Redraw only when what is wanted may have come; the rest arrives unseen.
          const more = viewer.store.setLoaded(bytes);
          viewer.preview.loaded(bytes);
          if (more && (viewer.shown !== viewer.cursor[0] || viewer.preview.shown)) viewer.invalidate();
        },
      });
      viewer.ui.load.hidden = true;
      viewer.root.dataset.loaded = 'true';
      viewer.invalidate();
      if (this.maskUrl) this.loadMask(this.maskUrl);
    } catch (error) {
      if (error.name === 'AbortError') return;
      viewer.ui.load.hidden = false;
      viewer.ui.loadText.textContent = TEXT.failed;
      console.warn('viewer: the study could not be loaded', error);
    }
  }

  /** The first study of a page that was loaded anew, or opened by a link, is shown as it was. */
  asBefore() {
    const { viewer } = this;
    if (this.placed || viewer.state.glimpse || viewer.root.closest('#viewer') === null) return;
    this.placed = true;
    const kept = window.omnivmedKept;
    if (!putView(viewer, kept && kept.view)) putLink(viewer, new URLSearchParams(location.search));
  }

  /** The mask that came with the picture. */
  ownMask() {
    const { viewer } = this;
    if (viewer.header && viewer.header.mask) this.setMask(viewer.header, viewer.data);
  }

  async loadMask(url) {
    try {
      const { header, data } = await fetchPayload(url);
      if (this.maskUrl === url) this.setMask(header, data);
    } catch (error) {
      console.warn('viewer: the mask could not be loaded', error);
    }
  }

  setMask(header, data) {
    const { viewer } = this;
    if (!viewer.header) return;
    if (header.content_id && header.content_id !== viewer.header.content_id) return; // belongs to another study
    viewer.scope.setRun(header, data, viewer.state.role);
    syncWindow(viewer);
    viewer.invalidate();
  }

  /** The whole clip, once the app has prepared it; until then how far it is. */
  syncClip() {
    const { viewer } = this;
    const { video, state } = viewer.value || {};
    const progress = state && state.video_progress;
    viewer.ui.clip.textContent = progress == null || progress >= 1 ? '' : say(TEXT.preparing, { percent: Math.floor(progress * 100) });
    const failed = (state && state.video_failed) || '';
    if (failed) viewer.ui.clip.textContent = failed;
    viewer.ui.play.disabled = Boolean(failed);
    if (failed) viewer.ui.play.title = failed;
    if (viewer.header && viewer.header.kind === 'video') viewer.player.setClip(urlOf(video), state.video_fps);
  }

  progress(share) {
    const { ui } = this.viewer;
    const percent = Math.floor(share * 100);
    if (percent === this.percent) return;
    this.percent = percent;
    ui.empty.hidden = true;
    ui.load.hidden = share >= 1;
    ui.loadText.textContent = say(TEXT.loading, { percent });
    ui.loadBar.style.width = share * 100 + '%';
  }
}
