#!/usr/bin/env bash
# Lossless JPEG (process 14, the transfer syntaxes ...4.57 and ...4.70 of DICOM) writes differences modulo 2**16 (ITU-T
# T.81, H.1.2.1): a rise of 148 in an 8-bit picture may be written as a fall of 108, and some scanners do so. The decoder of
# pylibjpeg-libjpeg limits the sum to the range of the samples instead of wrapping it: such samples come back white (or
# black), without an error. FFmpeg's decoder wraps.
#
# Seen with pylibjpeg-libjpeg 2.5.0: 52 and 200 come back as 52 and 255; with PyAV 18.1.0 (FFmpeg 8.1): 52 and 200.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q pylibjpeg-libjpeg==2.5.0 av==18.1.0 numpy
cd "$work"
"$work/venv/bin/python" - <<'PY'
import sys

import av
import libjpeg
import numpy as np

picture = np.full((16, 16), 52, np.uint8)
picture[4:12, 4:12] = 200
left = np.concatenate([np.zeros((16, 1), int), picture[:, :-1].astype(int)], axis=1)
left[1:, 0] = picture[:-1, 0]
left[0, 0] = 128
bits = ""
for difference in (picture - left).ravel().tolist():
    difference = (difference + 128) % 256 - 128  # the shorter way round, modulo 2**8
    size = abs(difference).bit_length()
    code = difference if difference > 0 else difference + (1 << size) - 1
    bits += f"{size:05b}" + (f"{code:0{size}b}" if size else "")
bits += "1" * (-len(bits) % 8)
coded = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\x00")
table = bytes([0, 0, 0, 0, 0, 17, *[0] * 11, *range(17)])
parts = [(0xC3, b"\x08\0\x10\0\x10\x01\x01\x11\0"), (0xC4, table), (0xDA, b"\x01\x01\0\x01\0\0")]
head = b"".join(b"\xff" + bytes([m]) + (len(b) + 2).to_bytes(2, "big") + b for m, b in parts)
stream = b"\xff\xd8" + head + coded + b"\xff\xd9"

one = np.asarray(libjpeg.decode(stream))
context = av.CodecContext.create("mjpeg", "r")
other = [*context.decode(av.Packet(stream)), *context.decode(None)][0].to_ndarray()
print("written", np.unique(picture), "libjpeg", np.unique(one), "FFmpeg", np.unique(other))
sys.exit(0 if np.unique(one).tolist() == [52, 255] and np.array_equal(other, picture) else 1)
PY
