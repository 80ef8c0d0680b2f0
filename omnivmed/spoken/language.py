"""Whether a question is in English: by script and by small words, not by a model.

Few and common words on purpose: a medical term out of Latin must not make a question foreign.
"""

from __future__ import annotations

# ruff: noqa: E501 -- lists of words
import re
import unicodedata

#: Small words that English does not have, by language.
FOREIGN: dict[str, frozenset[str]] = {
    name: frozenset(words.split())
    for name, words in {
        "German": "ist das der die den dem ein eine einen einem was wie wo wer warum welche welcher welches auf diesem dieses "
        "dieser bild zu sehen sehe ich und oder nicht kein keine sind hat habe haben gibt es bitte kannst kann du sie wieviel "
        "viele lunge herz knochen aufnahme röntgenbild mir zeigt liegt vor guten tag hallo danke",
        "French": "est ce que qu'est quel quelle quels quelles une les des dans cette cet sur où qui pourquoi comment y-a-t-il "
        "il elle sont avec pour pas voir montre vois je tu vous nous le la du bonjour merci est-ce combien image-là",
        "Spanish": "qué que es esta este esto una el los las del en cuál cuáles cómo dónde quién por hay imagen muestra ves veo "
        "puedes hola gracias tipo parte cuerpo cuántos cuántas con para son",
        "Italian": "che cosa è questa questo quale quali dove chi perché come c'è ci sono una il lo gli della del nella immagine "
        "mostra vedi ciao grazie tipo parte corpo quanti quante per",
        "Portuguese": "o que é esta este isto uma qual quais como onde quem por há imagem mostra você olá obrigado tipo parte corpo "
        "quantos quantas com para são não",
        "Dutch": "wat is dit deze een het de op welke hoe waar wie waarom zie zien je ik er niet geen zijn foto afbeelding hallo dank "
        "hoeveel van",
        "Swedish": "vad är det här den en ett på bild bilden vilken vilket hur var vem varför inte finns visar hej tack",
        "Polish": "co to jest na tym obrazie jaki jaka jakie czy gdzie kto dlaczego jak widać nie są dziękuję cześć",
        "Turkish": "bu nedir ne nasıl hangi var mı görüntü merhaba teşekkürler bir değil",
        "Latin script": "",
    }.items()
}
ENGLISH = frozenset(
    [
        "the",
        "a",
        "an",
        "is",
        "are",
        "was",
        "were",
        "what",
        "which",
        "how",
        "who",
        "why",
        "where",
        "when",
        "do",
        "does",
        "did",
        "can",
        "could",
        "i",
        "you",
        "it",
        "this",
        "that",
        "these",
        "there",
        "here",
        "in",
        "on",
        "of",
        "to",
        "from",
        "at",
        "be",
        "been",
        "have",
        "has",
        "had",
        "with",
        "and",
        "or",
        "not",
        "no",
        "yes",
        "my",
        "your",
        "please",
        "show",
        "me",
        "see",
        "any",
        "tell",
        "about",
        "look",
        "looking",
    ]
)


def foreign(question: str) -> bool:
    """Whether the question is in another language than English, as far as its letters and small words tell."""
    letters = [c for c in question if c.isalpha()]
    if letters and sum(not _latin(c) for c in letters) > 0.3 * len(letters):
        return True
    if re.search(r"[¿¡]", question):
        return True
    words = re.findall(r"[^\W\d_]+(?:['’-][^\W\d_]+)*", question.lower().replace("’", "'"))
    if not words:
        return False
    english = sum(w in ENGLISH for w in words)
    best = max(sum(w in some for w in words) for some in FOREIGN.values())
    only = max(sum(w in some and w not in ENGLISH for w in words) for some in FOREIGN.values())
    return (
        only >= 1
        and best > english
        and (best >= 2 or (len(words) <= 2 and english == 0 and only == len(words)))
    )


def _latin(character: str) -> bool:
    return unicodedata.name(character, "").startswith(("LATIN", "MICRO", "FEMININE", "MASCULINE"))
