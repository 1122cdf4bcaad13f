"""Text in which one letter passes for another, shown so that it cannot. A leaf, and pure.

A word that reads as plain letters and is none (`аpp` with a Cyrillic а) has its strangers escaped; a word that is
honestly of another script stays as it is.
"""

from __future__ import annotations

from claudebox.text import escaped, printable

# Letters of other scripts that most fonts draw as a plain one.
LOOKING = frozenset(
    "АВЕЅЗІЈКМНОРСТУХЬЫаѕеіјһкмоорстухԁԛԝүӏҮҺԌԍ"  # Cyrillic
    "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧαγεικνορτυχωϲϳ"  # Greek
    "ԱՍՏՕՈզոսցօհյւ"  # Armenian
    "ᎪᏴᏟᎠᎬᎰᎶᎻᎥᎫᏦᏞᎷᏢᏒᏚᎢᏙᏔᏃ"  # Cherokee
    "ıȷɑɡɩɪʏʀʟɴʜᴀᴄᴅᴇᴊᴋᴍᴏᴘᴛᴜᴠᴡᴢǀꓲ"  # Latin that passes for other Latin
)
# Signs that pass for those that part a name, and for those of our own lines.
SIGNS = frozenset("∕⁄⧸⟋╱⼃ノ／＼∖⧵․‥…·•∙⋅ꞏ։︰：꞉∶‐‑‒–—―−﹣－＿‗→⇒➜⟶＋±✚﹢＝﹦〝〞＂＇‘’“”´｀˝‚")


def shown(text: str) -> str:
    """The text with all escaped that a terminal would obey or hide, and what passes for something else."""
    if text.isascii():
        return printable(text)
    from unicodedata import combining

    words, word = [], ""
    for character in text:
        if character.isalpha() or combining(character):
            word += character
            continue
        words += [_word(word), escaped(character) if character in SIGNS else printable(character)]
        word = ""
    return "".join((*words, _word(word)))


def _word(word: str) -> str:
    """One run of letters."""
    if word.isascii():
        return word
    from unicodedata import combining

    deceives = all(one.isascii() or _looks(one) for one in word)
    mixed = any(one.isascii() for one in word) and any(one in LOOKING for one in word)
    if not deceives and not mixed and not combining(word[0]):
        return word
    return "".join(escaped(one) if _looks(one) or combining(one) else one for one in word)


def _looks(character: str) -> bool:
    """Whether a letter passes for a plain one: by its form, or as a wide, bold or small variant of it."""
    if character.isascii():
        return False
    from unicodedata import normalize

    plain = normalize("NFKC", character)
    return character in LOOKING or (plain.isascii() and plain.isprintable())
