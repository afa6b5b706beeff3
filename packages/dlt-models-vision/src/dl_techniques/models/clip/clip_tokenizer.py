"""The tokenizer of CLIP: pairs of bytes, merged."""

from __future__ import annotations

import functools
import html
import importlib
import itertools
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from dl_techniques.models.clip.vocabulary import byte_characters, read_merges

_END_OF_WORD: Final = "</w>"
_CONTRACTIONS: Final = ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d")
_SPACES: Final = frozenset(
    "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000"
    + "".join(map(chr, range(0x2000, 0x200B)))
)
_CACHED_WORDS: Final = 1 << 16


class _Convention(NamedTuple):
    """The texts of the special tokens, and whether case matters where they are looked for."""

    start: str
    end: str
    flags: re.RegexFlag


_CONVENTIONS: Final = {
    "transformers": _Convention("<|startoftext|>", "<|endoftext|>", re.NOFLAG),
    "open_clip": _Convention("<start_of_text>", "<end_of_text>", re.IGNORECASE),
}


class CLIPTokenizer:
    r"""Turns texts into the tokens of CLIP, by byte-pair encoding.

    A text is cleaned and put into lower case, cut into words, single digits and runs of other
    characters, each of which is written as bytes; then the two neighbours that the table of merges
    has first are joined, again and again.

    The two conventions give the same tokens for usual texts. `"transformers"` normalizes Unicode
    (NFC) and pads with the end token; `"open_clip"`, as OpenAI's own code, repairs broken Unicode
    with ftfy, resolves HTML entities, and pads with zeros. The models take either.

    Args:
        vocabulary: File of merges: OpenAI's `bpe_simple_vocab_16e6.txt.gz`, or a `merges.txt`.
            `None` for OpenAI's, which is taken from an installed `open_clip_torch` or from the
            cache of weights, and otherwise downloaded.
        context_length: Number of tokens of each text, with those of start, end and padding; longer
            texts are cut.
        convention: `"transformers"` or `"open_clip"`; the latter needs ftfy, which
            `pip install 'dlt-models-vision[text]>=0.1,<1'` brings.
        vocabulary_size: Number of tokens that there are at most; further merges are not used.

    Attributes:
        start_token: Token before each text.
        end_token: Token after each text, the largest of all.
        vocabulary_size: Number of tokens.

    Raises:
        ValueError: If an argument is out of range, or the file is no table of merges.
        WeightsUnavailable: If the vocabulary is nowhere to be had.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from dl_techniques.models.clip import CLIPTokenizer
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder) / "merges.txt"
        ...     _ = path.write_text("#version\nc a\nca t</w>\n")
        ...     tokenizer = CLIPTokenizer(path, context_length=5)
        >>> tokenizer("A cat").tolist()
        [[514, 320, 513, 515, 515]]

    References:
        Sennrich, Haddow and Birch, "Neural Machine Translation of Rare Words with Subword Units",
        arXiv:1508.07909. Radford et al., "Learning Transferable Visual Models From Natural
        Language Supervision", arXiv:2103.00020.
    """

    def __init__(
        self,
        vocabulary: str | os.PathLike[str] | None = None,
        context_length: int = 77,
        convention: str = "transformers",
        vocabulary_size: int = 49408,
    ) -> None:
        least = {"context_length": 2, "vocabulary_size": 2 * 256 + 2}
        for name, value in (
            ("context_length", context_length),
            ("vocabulary_size", vocabulary_size),
        ):
            if not isinstance(value, int) or value < least[name]:
                raise ValueError(
                    f"`{name}` must be an integer of at least {least[name]}. "
                    f"Received: {name}={value!r}"
                )
        if convention not in _CONVENTIONS:
            raise ValueError(
                f"`convention` must be one of {', '.join(map(repr, _CONVENTIONS))}. "
                f"Received: convention={convention!r}"
            )
        self.context_length = context_length
        self.convention = convention
        self._characters = byte_characters()
        merges = read_merges(vocabulary, vocabulary_size - least["vocabulary_size"])
        self._ranks = {merge: rank for rank, merge in enumerate(merges)}
        start, end, flags = _CONVENTIONS[convention]
        bytes_ = list(self._characters.values())
        parts = [*bytes_, *(c + _END_OF_WORD for c in bytes_), *map("".join, merges), start, end]
        self._numbers = {part: number for number, part in enumerate(parts)}
        self._parts = dict(enumerate(parts))
        self._bytes = {character: byte for byte, character in self._characters.items()}
        self.vocabulary_size = len(parts)
        self.start_token, self.end_token = len(parts) - 2, len(parts) - 1
        self._specials = (start, end)
        self._special = re.compile(f"({re.escape(start)}|{re.escape(end)})")
        self._fixed = re.compile(
            "|".join(map(re.escape, (start, end, *_CONTRACTIONS))), re.UNICODE | flags
        )
        self._merged = functools.lru_cache(_CACHED_WORDS)(self._merge)

    def __call__(self, texts: str | Iterable[str]) -> npt.NDArray[np.int32]:
        """Tokenize texts.

        Args:
            texts: A text, or several.

        Returns:
            Integers, (texts, context_length).
        """
        rows = [texts] if isinstance(texts, str) else list(texts)
        padding = 0 if self.convention == "open_clip" else self.end_token
        found = np.full((len(rows), self.context_length), padding, np.int32)
        for row, text in zip(found, rows, strict=True):
            tokens = [self.start_token, *self.encode(text)][: self.context_length - 1]
            row[: len(tokens) + 1] = [*tokens, self.end_token]
        return found

    def encode(self, text: str) -> list[int]:
        """The tokens of a text, without start, end and padding.

        Args:
            text: Any text. The texts of the special tokens become these tokens.

        Raises:
            TypeError: If it is no text.
        """
        if not isinstance(text, str):
            raise TypeError(f"`text` must be a string. Received: text={text!r}")
        return [number for word in self._words(text) for number in self._merged(word)]

    def decode(self, tokens: Sequence[int] | npt.NDArray[Any]) -> str:
        """The text of tokens, up to the first end token; words are parted by single spaces.

        Args:
            tokens: A row of tokens.

        Raises:
            ValueError: If there is no such token.
        """
        parts = []
        for token in np.asarray(tokens).ravel().tolist():
            if token == self.end_token:
                break
            if token not in self._parts:
                raise ValueError(
                    f"`tokens` must be from 0 to {self.end_token}. Received: tokens with {token}"
                )
            if token != self.start_token:
                parts.append(self._parts[token])
        data = bytes(self._bytes[character] for character in "".join(parts))
        return data.decode("utf-8", errors="replace").replace(_END_OF_WORD, " ").strip()

    def _words(self, text: str) -> Iterator[str]:
        """Cleaned words; special tokens are words of their own."""
        if self.convention == "open_clip":
            yield from self._cut(_repaired(text))
            return
        # Only where they are written exactly so, before anything is cleaned.
        for i, part in enumerate(self._special.split(text)):
            if i % 2:
                yield part
                continue
            for word in self._cut(_normalized(part)):
                # Only cleaning made it look like a special token, which it is not.
                special = word in self._specials
                yield from (word[:2], word[2:-2], word[-2:]) if special else (word,)

    def _cut(self, text: str) -> Iterator[str]:
        position = 0
        while position < len(text):
            fixed = self._fixed.match(text, position)
            kind = _kind(text[position])
            end = position + 1
            if fixed is not None:
                end = fixed.end()
            elif kind not in {"space", "number"}:
                while end < len(text) and _kind(text[end]) == kind:
                    end += 1
            if kind != "space":
                yield text[position:end]
            position = end

    def _merge(self, word: str) -> list[int]:
        """The tokens of one word."""
        if word in self._specials:
            return [self._numbers[word]]
        parts = [self._characters[byte] for byte in word.encode("utf-8")]
        parts[-1] += _END_OF_WORD
        while len(parts) > 1:
            best = min(
                itertools.pairwise(parts), key=lambda pair: self._ranks.get(pair, len(self._ranks))
            )
            if best not in self._ranks:
                break
            parts = _joined(parts, best)
        return [self._numbers[part] for part in parts]


def _joined(parts: list[str], pair: tuple[str, str]) -> list[str]:
    """The parts with each occurrence of a pair joined, from the left."""
    found: list[str] = []
    i = 0
    while i < len(parts):
        taken = 2 if tuple(parts[i : i + 2]) == pair else 1
        found.append("".join(parts[i : i + taken]))
        i += taken
    return found


@functools.cache
def _kind(character: str) -> str:
    """Classify a character: white space, a letter, a number, or other."""
    if character in _SPACES:
        return "space"
    category = unicodedata.category(character)[0]
    return {"L": "letter", "N": "number"}.get(category, "other")


def _normalized(text: str) -> str:
    """NFC and lower case, character by character: without the final sigma."""
    return "".join(c.lower() for c in unicodedata.normalize("NFC", text))


def _repaired(text: str) -> str:
    """Clean a text as OpenAI's code does."""
    try:
        ftfy: Any = importlib.import_module("ftfy")
    except ImportError as error:
        raise ImportError(
            "convention='open_clip' needs ftfy: pip install 'dlt-models-vision[text]>=0.1,<1'"
        ) from error
    text = html.unescape(html.unescape(ftfy.fix_text(text)))
    return " ".join(text.split()).lower()
