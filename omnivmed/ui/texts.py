"""Every sentence the page shows, in English, in one place."""

from __future__ import annotations

TITLE = "OmniV-Med"
TAGLINE = "Open a study. See which tokens the model keeps. Ask."
NOT_CLINICAL = "Not for clinical use"
NOT_CLINICAL_LONG = (
    "For teaching and research. Nothing here is a diagnosis, and no decision about a patient may rest on it."
)
PUBLIC_BANNER = (
    "Teaching demo, open to anyone. Not for diagnosis. Please do not upload patient data: "
    "use a sample, or images that may be shown to everybody."
)

# Picking a study
SAMPLES = "Samples"
UPLOAD = "Your own study"
UPLOAD_DROP = r"Drop your own study, or click\a DICOM, zip, NIfTI, NRRD, picture, video"
UPLOAD_HINT = "DICOM, a zip of a series, NIfTI, NRRD, MHA, PNG, JPEG, TIFF, MP4, MOV, AVI, MKV, WebM"
UPLOAD_PRIVACY = "Stays on this computer; file name and header text are not kept."
UPLOAD_PRIVACY_PUBLIC = "Kept for this visit only; file name and header text are dropped at once."
SERIES = "This upload holds several series"
CONFIRM_LABEL = "I have looked: no name, number or date of a patient is written into this picture"
CONFIRM_ASK = (
    "This picture may have text burned into it. Look at it first, and cut off what should not be seen; the model "
    "gets it only after you have ticked the box."
)
CONFIRM_NOBODY = (
    "This picture may have text burned into it, and nobody has looked at it. Open it on the page, where it can be "
    "cut and confirmed, or send it without that text."
)
CROP = "Cut off edges"
CROP_INFO = (
    "For names and numbers written into the picture: what is darkened here is cut off every slice or frame, in the "
    "viewer and for the model."
)
CROP_SIDES = ("Top, %", "Bottom, %", "Left, %", "Right, %")
CROP_CUT = "Cut"
CROP_WHOLE = "Whole picture again"
CROP_ALT = "The picture; what would be cut off is dark"
CROP_TOO_MUCH = "Too little of the picture would be left; cut off less."
SYNTHETIC = "Drawn by code, not a patient."

# Opening
OPENING = "Opening"
UPLOADING_DONE = "Checking the file"
STAGES = {
    "opening": "Opening",
    "looking at files": "Looking at the files",
    "reading headers": "Reading headers",
    "reading times": "Reading time stamps",
    "reading": "Reading",
    "decoding": "Decoding",
    "indexing": "Reading time stamps",
    "sorting": "Sorting slices",
    "unpacking": "Unpacking",
    "preparing the picture": "Preparing the picture",
    "drawing": "Drawing the overlay",
    "transcoding": "Converting the clip for the browser",
    "downloading": "Downloading the weights",
    "converting": "Converting the weights, once",
    "checking": "Checking the weights",
    "loading": "Loading the weights",
    "waiting": "Waiting for your turn",
    "patches": "Cutting into patches",
    "pruning": "Pruning",
    "encoding": "Encoding",
    "reading the study": "Reading the study",
    "answering": "Answering",
}
STAGE_UNITS = {
    "reading": "frames",
    "decoding": "slices",
    "preparing the picture": "slices",
    "transcoding": "frames",
    "reading headers": "files",
    "patches": "frames",
    "encoding": "frames",
    "reading the study": "tokens",
}

# The model
MODEL_LOADING = "Model is loading"
MODEL_READY = "Model ready"
MODEL_FAILED = "No model"
MODEL_WAIT = "The model is still loading. Your question runs as soon as it is ready."
MODEL_MISSING = "There is no model to answer. Viewing and pruning work all the same."

MAY_ASK = "What it may be asked, and how often it was right"
MAY_ASK_KINDS = {"image": "Of a picture", "volume": "Of a volume", "video": "Of a clip"}
MAY_ASK_NONE = "nothing that it was shown to know"
# Asking
QUESTION = "Question"
ASK_TAB = "Ask"
ASK = "Ask"
STOP = "Stop"
ASK_PLACEHOLDER = "Ask about the study on the left"
CHAT_EMPTY = "Ask a question, or take one of those below."
CHAT_LABEL = "Conversation"
SUGGESTED = "It can be asked"
NEW_CHAT = "Start over"
STOPPED = "stopped"
LENGTH = "cut at the token limit"
NO_STUDY = "Choose a sample or upload a study first."
STILL_OPENING = "The study is still being read; ask as soon as it is there."
NO_QUESTION = "Please type a question."
ALREADY = "The answer before is still being written; stop it or wait."
TOO_LONG = "The question is too long: at most {limit} characters."
BUSY = "Many people are asking right now; please try again in a moment."
BUSY_PAGE = "This page has asked for many things at once; please wait until some of them are done."
NO_ROOM = "Many files are waiting to be opened right now; please try again in a moment."
TOO_MUCH_DATA = "The request is larger than any this page would send."
STUDY_CHANGED = "Another study was opened; the answer was stopped."
OUT_OF_MEMORY = (
    "Not enough memory for this many tokens. Take fewer frames or a higher threshold in the settings."
)
UNEXPECTED = "Something went wrong here, and it is not your file's fault. Please try again."

# Settings
SETTINGS = "Settings"
THRESHOLD = "Pruning threshold"
THRESHOLD_INFO = (
    "Tokens that changed less than this are dropped. 0.1 is the paper's; 0 keeps all that changed at all."
)
REFERENCE = "Compare with"
REFERENCES = {"the frame before": "previous", "the token last kept": "last_kept"}
REFERENCE_INFO = "The frame before misses slow drift; the token last kept lets it add up."
MAX_FRAMES = "Slices or frames at most"
MAX_FRAMES_INFO = "0 leaves it to the model's own budget."
MAX_NEW_TOKENS = "Longest answer, tokens"
REMEMBER = "Tell the model the earlier questions, too"
REMEMBER_INFO = "Off for nano: how well it follows a conversation has not been measured. Larger models do."
LIMITS = "Limits of this page"

# What the model saw
SAW = "What the model saw"
SAW_EMPTY = "Ask something: the slices or frames the model was given, and what was pruned, appear here."
SAW_PLANNED = "This is what the model would be given; nothing has been asked yet."
SAW_FLOOR = (
    "Nearly every frame is down to a single token: the model sees almost nothing beyond the first one. "
    "Lower the threshold, or narrow the window."
)
PRUNING_SAVES = "Pruning saves the language model's tokens and memory; the encoder sees every frame taken."
DOWNLOAD_JSON = "Mask and numbers (JSON)"
DOWNLOAD_CHAT = "Conversation (Markdown)"
MAKE_CLIP = "Make overlay clip"
DOWNLOAD_OVERLAY = "Overlay clip (MP4)"

# Side by side
COMPARE = "Side by side"
COMPARE_INFO = (
    "The same question twice, one after the other, at two thresholds. 0 keeps every token that changed."
)
COMPARE_COPY = "The table, to copy"
COMPARE_NOTE = (
    "Both runs are given the same frames and start from nothing: before each, the model forgets the study. Encoding "
    "is the same work in both; reading and writing differ with the tokens."
)
COMPARE_RUN = "Compare"
COMPARE_LEFT = "Left threshold"
COMPARE_RIGHT = "Right threshold"
COMPARE_EMPTY = "Ask the same question at two thresholds: tokens, seconds and memory appear here."

# Default questions, by kind of study, where the model does not bring its own
QUESTIONS = {
    "image": ("What kind of image is this?", "Which part of the body is shown?", "Is there a fracture?"),
    "volume": ("What kind of scan is this?", "Which organ is shown?", "In which plane are the slices?"),
    "video": ("What kind of video is this?", "Which organ is shown?", "What is happening in the clip?"),
}

API_ASK = (
    "Ask a question about a medical study (DICOM, zip of a series, NIfTI, NRRD, MHA, picture, video). Streams "
    "the answer. Teaching demo, not for diagnosis; do not send patient data to a public instance."
)
API_PRUNE = (
    "Which visual tokens of a study would be pruned: counts and the keep mask as JSON; needs no model. "
    "Teaching demo, not for diagnosis; do not send patient data to a public instance."
)

# Pages
TO_TEACH = "How pruning works"
TO_APP = "Back to the viewer"
TEACH_TITLE = "How pruning works"
TEACH_TAGLINE = "Five steps on a real study"

TEACH_STUDY = "Study"
TEACH_PLACE = "Which slice or frame"
TEACH_MEANS = (
    "Here the threshold means {meaning}: less than that, on average over a token, and it is dropped."
)
TEACH_ALONE = (
    "This is a single picture: it has no neighbour to be compared with, so every token is kept. "
    "Choose a volume or a clip to see pruning."
)
TEACH_SLICE = "slice"
TEACH_FRAME_AT = "frame at"
TEACH_TOKENS = "{total} tokens"
TEACH_CHANGE = "what changed from the one to the other: the brighter, the more"
TEACH_DISTANCES = "distance of each token of {what}"
TEACH_KEPT = "{kept} of {total} tokens kept (outlined); blue is pruned"
TEACH_GIVEN = "what is left of it for the language model"
TEACH_COUNT = "{kept:,} of {total:,}"
TEACH_LEFT = "tokens are left, {share:.0f} %."
TEACH_HISTOGRAM = "Histogram of distances"
TEACH_HISTOGRAM_CAPTION = "distance of every token to its predecessor; bar heights by square root"
TEACH_THRESHOLD = "threshold {value:g}"
TEACH_COST_HEAD = ("", "all", "kept", "")
TEACH_COST = {
    "prompt": "visual tokens in the prompt",
    "cache": "memory for them in {model} (keys and values, 16 bit)",
    "attention": "token pairs in attention",
    "encoder": "frames through the encoder",
}
TEACH_OWN = "Now your own"
TEACH_OWN_WORDS = (
    "Open a volume or a clip of yours: the same five figures are drawn from it. Still scopes and thin slices prune "
    "well; pans, zooms and thick slices do not."
)
TEACH_STEPS = (
    (
        "A picture becomes tokens",
        "Every slice or frame is cut into squares. Each square will be one token for the language model. "
        "Neighbouring slices look much alike: compare these two.",
        "",
    ),
    (
        "How far did each token move?",
        "Windowed pixels are put on a scale from -1 to 1. The distance of a token is the mean absolute difference "
        "to the same square one slice (or frame) before.",
        "d = mean |x - x before|,  x in [-1, 1]   so d lies between 0 and 2",
    ),
    (
        "One threshold decides",
        "Tokens above the threshold are news and stay; those below repeat what the model has seen. 0.1 is the "
        "published value. Because it is measured after windowing, it means something in the units of the scan.",
        "keep  if  d > threshold",
    ),
    (
        "The mask",
        "The first frame is always whole. Of the others only the news is kept, and at least one token. With "
        '"the token last kept" slow drift adds up until it counts; with "the frame before" it can slip through.',
        "",
    ),
    (
        "What it saves",
        "The language model reads fewer tokens: less time before the first word, less memory while it writes. "
        "The encoder still looks at every frame that was taken.",
        "",
    ),
)

# Names of studies, made of technical facts; the line of facts below the samples
MODALITIES = {
    "CR": "X-ray",
    "DX": "X-ray",
    "RF": "X-ray",
    "MG": "mammogram",
    "CT": "CT",
    "MR": "MR",
    "PT": "PET",
    "US": "ultrasound",
    "ES": "endoscopy",
    "XA": "angiography",
    "NM": "scintigraphy",
}
KINDS = {"image": "image", "volume": "volume", "video": "clip"}
PICTURE = "picture"
SAMPLE_NAMES = {
    "chest_xray": "Chest X-ray",
    "ct_abdomen": "CT, trunk",
    "mr_head": "MR, head",
    "echo_cine": "Echo",
    "endoscopy_phantom": "Endoscopy",
}
FACTS_IMAGE = "{columns} × {rows}"
FACTS_VOLUME = "{frames} {plane}slices of {columns} × {rows}"
FACTS_VIDEO = "{frames} frames of {columns} × {rows}, {seconds:.1f} s"
FACTS_WINDOW = "window {level:g} / {width:g}{unit}"
NOTES_LABEL = "Warnings about this study"

# The line below an answer
ANSWER_TOKENS = "{after:,} of {before:,} visual tokens{share}"
ANSWER_OUT = "{count} tokens out"
ANSWER_FIRST = "first word {seconds:.1f} s"
ANSWER_TOTAL = "{seconds:.1f} s in all"
ANSWER_CACHED = "study not encoded again"
STOPPED_AFTER = "stopped after {seconds:.1f} s"
NO_ANSWER = "(no answer)"
ASK_AT_TIME = "At {seconds:.1f} s: "
ASK_ON_SLICE = "On slice {number}: "

# What the model saw, in numbers
SAW_UNITS = {"image": "picture", "volume": "slices", "video": "frames"}
SAW_TAKEN = "{taken} of {frames} {unit}"
SAW_TAKEN_IMAGE = "the picture"
SAW_KEPT = (
    "{taken}, each {rows} × {columns} = {tokens} tokens. Kept {kept:,} of {total:,} ({share:.0f} %) at threshold "
    "{threshold:g} = {meaning}, compared with {reference}."
)
SAW_ALONE = "{taken}, {rows} × {columns} = {tokens} tokens. A single picture is never pruned."
SAW_FRAME = "{where}: {kept} of {total} tokens kept"
SAW_TOKENS = "Tokens"
SAW_TIME = "Time on this machine"
SAW_USAGE = {
    "visual_tokens_before": "visual tokens before pruning",
    "visual_tokens_after": "visual tokens after",
    "prompt_tokens": "prompt tokens",
    "cached_tokens": "of them kept from an earlier question",
    "output_tokens": "answer tokens",
    "encoder_frames": "frames encoded for this answer",
}
SAW_TIMES = {
    "wait": "waited for others",
    "read": "read the frames",
    "patches": "cut into patches",
    "prune": "pruned",
    "encode": "encoded",
    "prefill": "read the prompt",
    "decode": "wrote the answer",
    "total": "in all",
}

# Side by side, in numbers
COMPARE_TITLE = "Threshold {value:g}"
COMPARE_HEAD = ("", "left", "right")
COMPARE_ROWS = {
    "threshold": "threshold",
    "meaning": "means",
    "visual_tokens_after": "visual tokens kept",
    "visual_tokens_before": "of",
    "prompt_tokens": "prompt tokens",
    "encoder_frames": "frames encoded",
    "encode": "encoding",
    "prefill": "reading the prompt",
    "decode": "writing the answer",
    "total": "in all",
    "memory": "memory kept for follow-ups",
    "same": "same words",
    "model": "model",
}
YES, NO = "yes", "no"

# The conversation as a file
EXPORT_TITLE = "Conversation about a study"
EXPORT_STUDY = "Study: {facts}"
EXPORT_PROGRAM = "Program: OmniV-Med {version}"
EXPORT_MODEL = "Model: {name}"
EXPORT_PRUNING = "Pruning: threshold {threshold:g} ({meaning}), reference {reference}"
EXPORT_WINDOW = "Window: level {level:g}, width {width:g}"
EXPORT_NO_WINDOW = "Window: none (colour)"
