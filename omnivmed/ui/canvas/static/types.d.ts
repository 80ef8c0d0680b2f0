/**
 * Shapes that travel between the app and the viewer, and between the viewer's modules. Read by the type checker only
 * (`make lint`); no browser ever sees this file. `tests/ui/canvas/test_types.py` holds `StudyHeader`, `MaskHeader`,
 * `State` and `ModelFacts` to what Python really sends.
 */

export type Dtype = 'uint8' | 'int8' | 'uint16' | 'int16' | 'uint32' | 'int32' | 'int64' | 'float32' | 'float64';
export type TypedArray = Uint8Array | Int8Array | Uint16Array | Int16Array | Uint32Array | Int32Array | Float32Array | Float64Array;
export type Reference = 'previous' | 'last_kept' | 'off';
export type Mode = 'kept' | 'distance' | 'run';

/** Where one array lies in the data section, in bytes. */
export interface ArraySpec {
  dtype: Dtype;
  shape: number[];
  offset: number;
  bytes: number;
}

/** One plane of a volume: voxel axes 0 slice, 1 row, 2 column; letters are left, right, top, bottom. */
export interface Plane {
  axis: number;
  down: number;
  across: number;
  flip_down: boolean;
  flip_across: boolean;
  letters: string[] | null;
  name: string | null;
}

/** A mask's settings and counts; shape is (frames, rows, columns) of tokens. The arrays are `mask.*` of the payload. */
export interface MaskHeader {
  shape: [number, number, number];
  threshold: number;
  reference: Reference;
  min_tokens: number;
  budget: string;
  rule: string | null;
  span_s: [number, number] | null;
  scale: 'unit' | 'x255';
  window: [number, number] | null;
  unit: string;
  source_size: [number, number];
  kept: number;
  total: number;
  threshold_meaning: string;
  all_at_floor: boolean;
}

/** What every payload begins with. */
export interface Header {
  format: 'study' | 'mask' | 'pixels';
  version: number;
  nonce: string;
  content_id: string | null;
  data_bytes: number;
  arrays: { [name: string]: ArraySpec };
  mask?: MaskHeader;
}

/** The model's own pixels, for what-ifs: array `pixels`, uint8 (frames, tokens, channels x pixels of a token). */
export interface PixelsHeader extends Header {
  channels: number;
}

/** A study on its way to the screen. Lengths in mm, times in s; `window` is (level, width) in the file's units. */
export interface StudyHeader extends Header {
  kind: 'image' | 'volume' | 'video';
  display: 'voxels' | 'pictures';
  shape: [number, number, number]; // frames, rows, columns as sent
  source_shape: [number, number, number]; // as in the file
  scale: number; // source pixels to one sent pixel
  exact: boolean;
  spacing_mm: (number | null)[] | null;
  aspect: number;
  slice_index: number[] | null;
  ladder: { step_mm: number; slices: number[] } | null;
  labels: [number, string, [number, number, number]][]; // of a label map: number, name, colour
  background: number | null; // of a label map: the number that is no label; null for pictures
  spacing_at: 'patient' | 'detector' | 'estimate';
  window: [number, number] | null;
  presets: [string, number, number][];
  inverted: boolean;
  unit: string;
  modality: string | null;
  body_part: string | null;
  plane: string | null;
  warnings: string[];
  notes: string[];
  affine: number[][] | null; // (slice, row, column, 1) -> RAS mm
  planes: Plane[];
  // display: 'voxels'
  order?: number[]; // frames in the order in which they are sent
  slope?: number;
  intercept?: number;
  // display: 'pictures'
  picture_index?: number[];
  picture_ends?: number[];
  picture_type?: string;
  preview?: { index: number; type: string }; // of the array `preview`: a small picture of that slice or frame, sent first
}

/** Settings beside the addresses of a value; `ViewerState` of viewer.py. */
export interface State {
  role?: 'preview' | 'answer';
  goto?: number | null;
  goto_seq?: number;
  video_fps?: number | null;
  video_progress?: number | null;
  video_failed?: string | null;
  seconds_per_token?: number | null;
  model?: string | null;
  model_state?: 'waiting' | 'loading' | 'ready' | 'failed' | null;
  version?: string | null;
  glimpse?: string | null;
  follows?: string | null;
  text_boxes?: [number, number, number, number][] | null; // top, left, bottom, right in the study's pixels
  sample?: string | null; // key of a ready study; links name no other
}

/** What the app says of the model; `ModelFacts` of service.py. */
export interface ModelFacts {
  name: string;
  state: 'waiting' | 'loading' | 'ready' | 'failed';
  seconds_per_token: number | null;
}

export interface FileAddress {
  url?: string;
}

/** The component's value; `ViewerValue` of viewer.py. */
export interface Value {
  study?: FileAddress | null;
  mask?: FileAddress | null;
  pixels?: FileAddress | null;
  video?: FileAddress | null;
  state?: State;
}

/** Where to go: an index from 0, a number counted from 1, or a time in seconds. */
export interface Place {
  index?: number;
  number?: number;
  time_s?: number;
}

/** (level, width) in the file's units. */
export interface Window {
  level: number;
  width: number;
}

/** A mask with its arrays: the run's own, or a what-if. n tokens a frame. */
export interface Run extends MaskHeader {
  role?: 'preview' | 'answer';
  frames: number;
  h: number;
  w: number;
  n: number;
  rects: Float32Array;
  index: Int32Array;
  keep: Uint8Array;
  distance: Float32Array;
  runs: Int32Array;
  perFrame: Int32Array;
}

/**
 * Where the pixels live: voxels as numbers or compressed pictures. Both answer every question; what does not apply is
 * answered by null or by doing nothing, so no caller asks which one it has.
 */
export interface Store {
  frames: number;
  rows: number;
  cols: number;
  /** Frames that can be shown, in order. */
  index: ArrayLike<number>;
  /** Position of a frame in `index`, undefined where it was not sent. */
  at(frame: number): number | undefined;
  /** Bytes of the data section that have come; true when more can be shown than before. */
  setLoaded(bytes: number): boolean;
  has(frame: number): boolean;
  complete(): boolean;
  /** The frame at hand nearest to `frame`, -1 when none is. */
  nearest(frame: number): number;
  /** The frame to show when one moves from `from` to `frame`: the next one sent that way. */
  reachable(frame: number, from: number): number;
  /** The last frame sent at or before `frame`. */
  before(frame: number): number;
  /** RGBA for each stored number under this window; null for pictures, which are shown as they are. */
  tableFor(level: number, width: number, inverted: boolean): Uint32Array | null;
  /** Fill `out` with the plane at `index` through such a table, every `step`-th pixel. */
  fill(spec: Plane, index: number, table: Uint32Array, out: Uint32Array, step?: number): void;
  /** The decoded picture of a frame or null; then `ready` is called once it is there. Null for voxels. */
  bitmap(frame: number, ready?: (frame: number) => void): ImageBitmap | null;
  /** A decoded picture if it is at hand; never decodes. */
  peek(frame: number): ImageBitmap | null;
  /** The file's number (HU for CT) at a voxel, null for pictures. */
  value(frame: number, row: number, col: number): number | null;
  /** Make ready what will be wanted next. */
  prefetch(frame: number, step: number): void;
  /** Let go of what only the browser would tidy up later. */
  close(): void;
}

declare global {
  interface Window {
    omnivmedViewer: {
      mount(element: HTMLElement, props: { value: Value | null }, trigger: (name: string, data?: object) => void,
        watch: (name: string, take: () => void) => void, events: string[]): object;
      goto(place: Place, id?: string): void;
      model(facts: ModelFacts | null): void;
      view(): object | null;
      viewers: Map<Element, object>;
      version: number;
    };
    omnivmedPage?: boolean;
    omnivmedBoard?: object;
    omnivmedRules?: object;
    omnivmedLecture?: boolean;
    omnivmedDrop?: boolean;
    omnivmedWords?: { [name: string]: string };
    omnivmedKept?: { word: string; left: boolean; view?: object | null; lesson?: boolean };
    omnivmedShow?(show: 'picture' | 'question'): void;
  }
  interface HTMLElement {
    view?: object;
  }
}
