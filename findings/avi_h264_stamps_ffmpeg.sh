#!/usr/bin/env bash
# H.264 with B-frames in AVI: FFmpeg's demuxer gives every packet a presentation stamp, none missing and all rising, yet
# they count the order of the file. Decoded frames come out in the right order with stamps that jump to and fro, so
# sorting frames by their stamp, or asking for a frame by its stamp, shows another picture. The same stream in MP4 is
# right. No warning, no flag: only has_b_frames of the codec together with the container tells.
#
# Seen with PyAV 18.1.0 (FFmpeg 8.1.2): stamps of decoded frames, minus the first
#   mp4: 0 1 2 3 4 5 6 7 …      avi: 0 3 2 4 1 7 6 8 5 …
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q av==18.1.0 numpy
"$work/venv/bin/python" - <<'PY'
import io
import sys

import av
import numpy as np

seen = {}
for container in ("mp4", "avi"):
    out = io.BytesIO()
    with av.open(out, "w", format=container) as target:
        stream = target.add_stream("libx264", rate=25, options={"bf": "3", "b-adapt": "0", "g": "40", "crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.max_b_frames = 3
        for k in range(24):
            picture = np.full((48, 64, 3), 10 * k, np.uint8)
            target.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        target.mux(stream.encode(None))
    with av.open(io.BytesIO(out.getvalue())) as source:
        packets = [p.pts for p in source.demux(video=0) if p.size]
    with av.open(io.BytesIO(out.getvalue())) as source:
        frames = [(f.pts, int(f.to_ndarray(format="gray")[24, 32])) for f in source.decode(video=0)]
    step = max(1, sorted({p for p in packets})[1] - min(packets))
    stamps = [(p - frames[0][0]) // step for p, _ in frames]
    seen[container] = {
        "every packet stamped": None not in packets,
        "decoded in order of showing": [g for _, g in frames] == sorted(g for _, g in frames),
        "stamps rise": stamps == sorted(stamps),
    }
    print(container, *stamps[:12], seen[container])
right = {"every packet stamped": True, "decoded in order of showing": True, "stamps rise": True}
sys.exit(0 if seen == {"mp4": right, "avi": right | {"stamps rise": False}} else 1)
PY
