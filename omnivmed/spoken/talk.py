"""What is said to questions that are about no study: greetings, the program itself, its words, other languages.

A language model of this size would make something up; these replies are written by people, and each ends in what can be
asked. Names in braces: name, description, trust: of the model; noun: what the study is called.
"""

from __future__ import annotations

# ruff: noqa: E501 -- a pattern or a sentence is read as one line

NOUNS = {"image": "picture", "volume": "volume", "video": "clip"}

TALK: dict[str, str] = {
    "hello": "Hello. {name} is here. Ask about this {noun}: what it is, how it was made, what the file tells.",
    "thanks": "You are welcome.",
    "bye": "Goodbye. The study is deleted from this program when it is closed.",
    "sure": "What is marked “from the file” is read from the file, not guessed. All else {name} says from the picture alone, and it is "
    "sometimes wrong: how often stands in the list beside its name.",
    "trust": "Not for anything about a patient. What is marked “from the file” is read from the file. All else is {name}’s: {trust}",
    "what-can": "{name} is {description}. It answers what the file tells of this {noun} (kind, size, spacing, window, times), and from "
    "the picture only what it was measured to know{knows}. It finds no disease, measures nothing and writes no report.",
    "who": "{name}: {description}. It is a program, not a doctor.",
    "privacy": "The study is opened by the computer that runs this program and goes nowhere else from there; it is deleted when it is "
    "closed. Questions and pictures are not used for training. On a server of somebody else, ask who runs it.",
    "larger": "{larger}",
    "joke": "That is not what {name} is for.",
    "chat": "{name} can only talk about the study that is open.",
    "translate": "Questions are understood, and answered, in English only.",
    "orders": "{name} answers questions about the study that is open, and nothing else.",
    "code": "{name} writes no programs and no letters. The program itself can be used from Python and a shell: see its README.",
    "language": "Questions are understood in English only, for now.",
    "word:pruning": "Most of a slice or frame looks like the one before it. Each is cut into tokens; a token that differs from its "
    "neighbour by less than the threshold is dropped, so the language model reads fewer. Blue tiles are dropped ones. The page “How "
    "pruning works” shows it step by step.",
    "word:token": "A token is one square of the picture as the model reads it: 28 × 28 pixels of the resized slice or frame.",
    "word:hu": "A Hounsfield unit is CT’s measure of how much X-rays are weakened: water is 0, air about -1,000, soft tissue about 40, "
    "dense bone about 1,000.",
    "word:window": "The window says which numbers become grey: the level is the middle of the range shown, the width its size. All below "
    "is black, all above white. The model is given the picture in that window too.",
    "word:plane": "Axial slices lie across the body, seen from the feet; coronal ones face you; sagittal ones are seen from the side.",
    "word:view": "PA: the beam goes from back to front, the usual standing chest film. AP: from front to back, often taken in bed; the "
    "heart looks larger.",
    "word:kinds": "A radiograph (X-ray) is one shadow picture. CT computes slices from X-rays all around. MRI uses magnetic fields and "
    "no X-rays. Ultrasound listens to the echo of sound.",
    "word:dicom": "DICOM is the file format of hospital imaging: pixels with a header. NIfTI is a simpler one, common in research, that "
    "keeps geometry but names no modality.",
}
LARGER = (
    "A larger model can be loaded in place of {name}: convert a public checkpoint of the same architecture with “omnivmed convert FOLDER "
    "NEW”, then start with “omnivmed serve --model NEW”. It wants a graphics card."
)
LARGER_SHORT = "A larger model may know more (“omnivmed serve --model FOLDER”)."

#: Why a question cannot be answered, by topic of `spoken.questions`; {name}, {noun} as above.
BEYOND: dict[str, str] = {
    "report": "{name} writes no reports.",
    "person": "Nothing about the person is read from the file or guessed from the {noun}.",
    "advice": "{name} gives no medical advice.",
    "finding": "{name} cannot tell: it was not shown to find or rule out anything in a {noun}.",
    "measure": "{name} measures and counts nothing in a {noun}. The viewer has a ruler (D).",
    "where": "{name} cannot point at places in a {noun}.",
    "organs": "{name} cannot say which structures can be seen in a {noun}.",
    "moment": "{name} cannot tell what happens in a {noun}.",
    "unknown": "{name} does not know that about a {noun}.",
}
#: The same for what only the picture could tell.
CANNOT_PICTURE: dict[str, str] = {
    "modality": "The file does not name the kind of {noun}, and {name} was not shown to know it here.",
    "organ": "The file does not name the body part, and {name} was not shown to tell it from such a {noun}.",
    "plane": "The file does not tell the plane, and {name} was not shown to know it here.",
    "sequence": "The MR sequence: the file does not name its weighting, and {name} was not shown to tell it.",
    "view": "The file does not name the view, and {name} was not shown to tell it from such a {noun}.",
    "describe": "{name} was not shown to describe such a {noun} rightly.",
}
UNFAMILIAR = "{name} cannot tell: this {noun} is unlike what it was trained on ({kinds}), so anything it said would be a guess."
OFFER = "You can ask: {offers}"
