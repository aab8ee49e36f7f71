"""Words and n-grams, exactly as src/emotion/words.rs makes them. Change both or neither."""

SENTENCE_START = "^"


def words(text):
    """Lowercase words, single emoji, and runs of `!` and `?` cut to two characters."""
    found, word, marks = [], [], ""
    for character in text + " ":
        if character == "\u2019":
            character = "'"
        if character in "!?":
            _end(word, found)
            marks += character
            continue
        if marks:
            found.append("?!" if "?" in marks and "!" in marks else marks[:2])
            marks = ""
        code = ord(character)
        if code < 0x80:
            if not (character.isalnum() or character in "'_"):
                _end(word, found)
                continue
            character = character.lower()
            # "soooo" is "soo".
            if character.isalpha() and word[-2:] == [character, character]:
                continue
            word.append(character)
        elif 0x2600 <= code <= 0x27BF or 0x1F000 <= code <= 0x1FAFF:
            _end(word, found)
            found.append(character)
        elif code < 0xC0 or 0x2000 <= code < 0x2070 or code == 0xFE0F:
            _end(word, found)
        else:
            word.append(character)
    return found


def _end(word, found):
    kept = "".join(word).strip("'")
    if kept:
        found.append(kept)
    word.clear()


def ngrams(text):
    """Words, pairs of neighbours (the first with the start), and pieces of 4 and 5 characters."""
    singles = words(text)
    pairs = [f"{a} {b}" for a, b in zip([SENTENCE_START, *singles], singles)]
    pieces = []
    for word in singles:
        if len(word) > 2:
            edged = f"<{word}>"
            for size in (4, 5):
                pieces += [f"#{edged[i:i + size]}" for i in range(len(edged) - size + 1)]
    return singles + pairs + pieces


def key(ngram):
    """FNV-1a of 64 bits over the UTF-8 bytes, its halves xored to 32."""
    value = 0xCBF29CE484222325
    for byte in ngram.encode():
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return (value >> 32) ^ (value & 0xFFFFFFFF)
