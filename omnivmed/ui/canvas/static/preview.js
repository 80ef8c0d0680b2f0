// The small picture that a payload of large ones begins with: on a slow line it is what one sees first.
import { arrayOf } from './container.js';

export class Preview {
  constructor(viewer) {
    this.viewer = viewer;
    this.clear();
  }

  clear() {
    if (this.image) this.image.close();
    this.image = null;
    this.asked = null; // the study it was decoded for
    this.shown = false; // it is on the screen, so the picture itself has to be drawn once it is there
  }

  /** So many bytes of the study's data have come: decode it as soon as it is whole. */
  loaded(bytes) {
    const { header, data, store, cursor } = this.viewer;
    const spec = header.arrays.preview;
    if (!spec || this.asked === header || bytes < spec.offset + spec.bytes) return;
    this.asked = header;
    if (store.has(cursor[0])) return; // a fast line: the picture itself is there
    const blob = new Blob([arrayOf(header, data, 'preview')], { type: header.preview.type });
    createImageBitmap(blob).then((image) => {
      if (this.viewer.header !== header) return;
      this.image = image;
      this.viewer.invalidate();
    }, () => {});
  }

  /** What to draw for slice or frame `index` as long as its picture has not come; else null.
   * @returns {{image: ImageBitmap, index: number} | null} */
  at(index) {
    const { header, store } = this.viewer;
    if (!this.image || store.has(index) || header.preview.index !== index) {
      this.shown = false;
      return null;
    }
    this.shown = true;
    return { image: this.image, index };
  }
}
