// Reads the payload written by omnivmed/ui/canvas/payload.py: gzip( magic, version, header, arrays ).

const MAGIC = 'OMNIVIEW';
const VERSION = 1;
const VIEWS = {
  uint8: Uint8Array, int8: Int8Array, uint16: Uint16Array, int16: Int16Array,
  uint32: Uint32Array, int32: Int32Array, float32: Float32Array, float64: Float64Array,
};

/** Header and start of the data, or null while too few bytes have come. Throws on anything not ours.
 * @param {Uint8Array} bytes @returns {{header: import('./types').Header, start: number} | null} */
export function parseHead(bytes) {
  if (bytes.length < 16) return null;
  const magic = String.fromCharCode(...bytes.subarray(0, 8));
  if (magic !== MAGIC) throw new Error('not a viewer payload');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = view.getUint32(8, true);
  if (version !== VERSION) throw new Error('payload version ' + version + ', expected ' + VERSION);
  const size = view.getUint32(12, true);
  if (bytes.length < 16 + size) return null;
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(16, 16 + size)));
  return { header, start: 16 + size };
}

/** Typed view of one array of the header, on the buffer that holds the data section; null where there is none.
 * @param {import('./types').Header} header @param {ArrayBuffer} data @param {string} name
 * @returns {any} the view its dtype names */
export function arrayOf(header, data, name) {
  const spec = header.arrays[name];
  if (!spec) return null;
  const View = VIEWS[spec.dtype];
  if (!View) throw new Error('unknown dtype ' + spec.dtype);
  return new View(data, spec.offset, spec.bytes / View.BYTES_PER_ELEMENT);
}

// A message to a closed port is dropped at once, with all that was handed over. (ArrayBuffer.transfer would not do: the
// browser keeps its own hold on the chunks of a stream, and no longer counts them when it decides to tidy up.)
const { port1: nowhere, port2: end } = new MessageChannel();
end.close();

/**
 * Give a buffer's memory back now, not when the browser next tidies up; nobody may use it afterwards.
 * In a page only: Node's gunzip still reads a chunk whose write it has reported as done.
 */
export function free(buffer) {
  if (typeof document !== 'undefined' && buffer && buffer.byteLength) nowhere.postMessage(null, [buffer]);
}

/** The same for a chunk that was copied or consumed, if it is alone on its buffer. */
function freeChunk(chunk) {
  if (chunk.byteLength === chunk.buffer.byteLength) free(chunk.buffer);
}

/** Write a body into `writable` chunk by chunk, each given back once it is consumed; errors go on to the other end. */
async function feed(body, writable) {
  const reader = body.getReader();
  const writer = writable.getWriter();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      await writer.write(value);
      freeChunk(value);
    }
    await writer.close();
  } catch (error) {
    await Promise.allSettled([reader.cancel(error), writer.abort(error)]);
  }
}

/**
 * Fetch and read one payload as a stream. A large study passes through in chunks of some kilobytes: kept until the
 * browser tidied up, they would take as much memory again as the study, twice.
 * onHeader(header, data) is called once, as soon as the header is there; `data` (ArrayBuffer) then fills up
 * from the front, and onBytes(loaded) says how far. Resolves to {header, data}.
 *
 * @param {string} url
 * @param {{signal?: AbortSignal, onHeader?: (header: any, data: ArrayBuffer) => void, onBytes?: (loaded: number) => void}} [told]
 * @returns {Promise<{header: any, data: ArrayBuffer}>}
 */
export async function fetchPayload(url, { signal, onHeader, onBytes } = {}) {
  const response = await fetch(url, { signal, credentials: 'same-origin' });
  if (!response.ok) throw new Error('HTTP ' + response.status);
  const gunzip = new DecompressionStream('gzip');
  feed(response.body, gunzip.writable);
  const reader = gunzip.readable.getReader();
  let head = new Uint8Array(0);
  let header = null;
  let data = null;
  let bytes = null;
  let loaded = 0;
  const take = (chunk) => {
    if (signal) signal.throwIfAborted(); // the buffer may be given back already
    bytes.set(chunk, loaded);
    loaded += chunk.length;
    freeChunk(chunk);
    if (onBytes) onBytes(loaded);
  };
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (header) {
      take(value);
      continue;
    }
    const grown = new Uint8Array(head.length + value.length);
    grown.set(head);
    grown.set(value, head.length);
    head = grown;
    const parsed = parseHead(head);
    if (!parsed) continue;
    header = parsed.header;
    data = new ArrayBuffer(header.data_bytes);
    bytes = new Uint8Array(data);
    if (onHeader) onHeader(header, data);
    take(head.subarray(parsed.start));
  }
  if (!header || loaded !== header.data_bytes) throw new Error('payload ended early');
  return { header, data };
}
