// Time: cine of stacks by a timer, clips by a hidden <video> that this program itself encoded at a constant rate,
// frame k of it being frame k of the study.
import { TEXT } from './texts.js';
import { icon } from './icons.js';
import { el } from './panel.js';

/** One transcoded clip. `shown` is the frame whose pixels the element holds, known from the presented frame's time. */
export class Clip {
  constructor(viewer, url, fps) {
    this.viewer = viewer;
    this.url = url;
    this.fps = fps;
    this.shown = -1;
    this.target = -1;
    this.seeking = false;
    this.ready = false;
    this.video = el('video', { class: 'omv-video', preload: 'auto', 'aria-hidden': 'true', tabindex: '-1' });
    this.video.muted = true;
    this.video.playsInline = true;
    this.video.src = url;
    viewer.root.append(this.video);
    this.video.addEventListener('loadeddata', () => { this.loaded(); });
    this.video.addEventListener('ended', () => viewer.player.stop());
    this.video.addEventListener('error', () => { this.ready = false; });
    this.listen();
  }

  loaded() {
    const { viewer } = this;
    const first = !this.ready;
    this.ready = true;
    viewer.root.dataset.clip = 'true';
    if (first && viewer.player.playing) { // from sampled frames to the clip itself
      viewer.player.stop();
      viewer.player.start();
    }
    viewer.invalidate();
  }

  listen() {
    this.video.requestVideoFrameCallback((_, frame) => {
      this.shown = Math.round(frame.mediaTime * this.fps);
      this.seeking = false;
      if (!this.video.paused) this.viewer.showPlayed(this.shown);
      else if (this.target >= 0 && this.target !== this.shown) this.seek(this.target);
      else this.viewer.invalidate();
      this.listen();
    });
  }

  seek(k) {
    this.target = k;
    if (this.seeking) return; // the frame under way is shown first, then the newest wish
    this.seeking = true;
    this.video.currentTime = (k + 0.5) / this.fps; // the middle of the frame: no rounding can miss it
  }

  /** The element when it holds frame k; else null, and the seek is on its way. */
  at(k) {
    if (!this.ready) return null;
    if (this.shown === k) return this.video;
    if (this.video.paused && (this.target !== k || !this.seeking)) this.seek(k);
    return null;
  }

  close() {
    this.video.pause();
    this.video.removeAttribute('src');
    this.video.load();
    this.video.remove();
    delete this.viewer.root.dataset.clip;
  }
}

export class Player {
  constructor(viewer) {
    this.viewer = viewer;
    this.clip = null;
    this.playing = false;
    this.factor = 10;
  }

  /** A clip has come, or gone (null). */
  setClip(url, fps) {
    if (this.clip && this.clip.url === url) return;
    if (this.clip) this.clip.close();
    this.clip = url && fps ? new Clip(this.viewer, url, fps) : null;
  }

  get hasClip() { return Boolean(this.clip && this.clip.ready); }

  /** Frames per second for stacks; a multiple of real time for clips. */
  speed(value) {
    this.factor = value;
    if (this.clip) this.clip.video.playbackRate = Math.min(Math.max(value, 0.1), 8);
  }

  /** Frames per second on the screen. */
  get rate() {
    const { header, times } = this.viewer;
    if (!header || header.kind !== 'video') return this.factor;
    const seconds = times && times.length > 1 ? times[times.length - 1] - times[0] : 0;
    return this.factor * (seconds > 0 ? (times.length - 1) / seconds : 10);
  }

  toggle() {
    if (this.playing) this.stop();
    else this.start();
  }

  start() {
    const { viewer } = this;
    if (!viewer.header || viewer.header.shape[0] < 2) return;
    this.playing = true;
    this.button('pause', TEXT.pause);
    if (this.hasClip) this.startClip();
    else this.startTimer();
  }

  startClip() {
    const { video, fps } = this.clip;
    const { viewer } = this;
    const last = viewer.header.shape[0] - 1;
    const from = viewer.cursor[0] >= last ? 0 : viewer.cursor[0];
    this.clip.target = -1;
    video.currentTime = (from + 0.5) / fps;
    video.playbackRate = Math.min(Math.max(this.factor, 0.1), 8);
    video.play().catch(() => this.stop());
  }

  startTimer() {
    const { viewer } = this;
    let last = performance.now();
    this.place = viewer.cursor[0]; // where time is; on the screen the last picture at or before it
    const run = (now) => {
      if (!this.playing) return;
      const steps = Math.floor((now - last) / (1000 / this.rate));
      if (steps) {
        last += steps * (1000 / this.rate);
        this.place += Math.min(steps, 4);
        if (this.place >= viewer.header.shape[0]) this.place = 0;
        this.ticking = true;
        viewer.goto(viewer.lastAtHand(this.place));
        this.ticking = false;
      }
      requestAnimationFrame(run);
    };
    requestAnimationFrame(run);
  }

  /** The person moved while it plays: it goes on from there. */
  moved(k) {
    if (this.ticking) return;
    this.place = k;
    if (this.playing && this.hasClip) this.clip.video.currentTime = (k + 0.5) / this.clip.fps;
  }

  stop() {
    if (this.playing && this.clip) {
      this.clip.video.pause();
      this.clip.shown = -1; // the element may be a frame ahead of what was drawn: seek to that one exactly
      this.clip.seeking = false;
    }
    this.playing = false;
    this.button('play', TEXT.play);
    this.viewer.invalidate();
  }

  button(name, text) {
    const { play } = this.viewer.ui;
    play.innerHTML = icon(name);
    play.title = text;
    play.setAttribute('aria-label', text);
  }
}
