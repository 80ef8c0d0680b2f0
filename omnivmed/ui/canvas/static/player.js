// Time: cine of stacks by a timer, clips by a hidden <video>: one that this program encoded at a constant rate, or the very
// file that was sent, whose frames have the times of the study. Frame k of either is frame k of the study.
import { TEXT } from './texts.js';
import { icon } from './icons.js';
import { el } from './panel.js';
import { frameAt, middleOf } from './view2d.js';

const LENGTH_S = 1; // by so much a file that was sent may be longer or shorter than the study was found to be

/** One clip. `shown` is the frame whose pixels the element holds, known from the presented frame's time. */
export class Clip {
  constructor(viewer, url, fps) {
    this.viewer = viewer;
    this.url = url;
    this.fps = fps; // null: as it was sent
    this.start = fps ? 0 : null; // of what was sent: the time at which the browser shows the first frame
    this.shown = -1;
    this.target = -1;
    this.seeking = false;
    this.ready = false;
    this.video = el('video', { class: 'omv-video', preload: 'auto', 'aria-hidden': 'true', tabindex: '-1' });
    this.video.muted = true;
    this.video.playsInline = true;
    this.video.src = url;
    viewer.root.append(this.video);
    this.video.addEventListener('loadeddata', () => { if (this.start === null) this.video.currentTime = 0; else this.loaded(); });
    this.video.addEventListener('ended', () => viewer.player.stop());
    this.video.addEventListener('error', () => this.refuse());
    this.listen();
  }

  /** Not a clip that this browser plays, or not the one that was read: the app makes another. */
  refuse() {
    const asked = this.start === null || this.ready;
    this.ready = false;
    if (this.fps || this.refused || !asked || !this.video.getAttribute('src')) return;
    this.refused = true;
    this.viewer.trigger('clip_refused', {});
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

  /** The first frame of a file that was sent is on the element: its time is where the browser's clock begins. */
  found(time) {
    const { times } = this.viewer;
    const length = times[times.length - 1] + (times.length > 1 ? times[times.length - 1] / (times.length - 1) : 0);
    this.start = time;
    if (Math.abs(this.video.duration - time - length) > LENGTH_S + 0.01 * length) this.refuse();
    else this.loaded();
  }

  /** The frame that is presented at this time of the element. */
  frameOf(time) { return this.fps ? Math.round(time * this.fps) : frameAt(this.viewer.times, time - this.start); }

  /** The middle of a frame, so that no rounding can miss it. */
  timeOf(k) { return this.fps ? (k + 0.5) / this.fps : this.start + middleOf(this.viewer.times, k); }

  listen() {
    this.video.requestVideoFrameCallback((_, frame) => {
      if (this.start === null) {
        if (this.video.readyState >= 2) this.found(frame.mediaTime);
      } else {
        this.shown = this.frameOf(frame.mediaTime);
        this.seeking = false;
        if (!this.video.paused) this.viewer.showPlayed(this.shown);
        else if (this.target >= 0 && this.target !== this.shown) this.seek(this.target);
        else this.viewer.invalidate();
      }
      this.listen();
    });
  }

  seek(k) {
    this.target = k;
    if (this.seeking) return; // the frame under way is shown first, then the newest wish
    this.seeking = true;
    this.video.currentTime = this.timeOf(k);
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
    this.clip = url ? new Clip(this.viewer, url, fps) : null;
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
    const { video } = this.clip;
    const { viewer } = this;
    const last = viewer.header.shape[0] - 1;
    const from = viewer.cursor[0] >= last ? 0 : viewer.cursor[0];
    this.clip.target = -1;
    video.currentTime = this.clip.timeOf(from);
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
    if (this.playing && this.hasClip) this.clip.video.currentTime = this.clip.timeOf(k);
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
