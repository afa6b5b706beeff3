"""Oracles: the tokenizers of transformers and open_clip, on the vocabulary that open_clip ships."""

from __future__ import annotations

import gzip
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from dl_techniques import weights as W
from dl_techniques.models.clip import CLIPTokenizer
from dl_techniques.models.clip.vocabulary import VOCABULARY, byte_characters

TEXTS = (
    "a photo of a cat",
    "It's 12345 o'clock; we'll see, they'd say -- WON'T you?!",
    "  Two\tspaces\n and\u00a0others\u2003here ",
    "naïve café, e\u0301 apart, ΣΊΣΥΦΟΣ, İstanbul, straße, Ⅳ ½ ²",
    "日本語のテキスト 🙂🙃 👩‍👩‍👧 привет мир",
    "underscore_and-hyphen... (brackets) <tag> #hash @at 100%",
    "antidisestablishmentarianism " * 12,
    "<|startoftext|>a<|endoftext|>! b <|ENDOFTEXT|>! <start_of_text> x<end_of_text>",
    "",
)
REPAIRED = ("&amp;lt;b&amp;gt; &quot;schÃ¶n&quot;", "“quotes” ﬁne \x1funit", "'\u017fo 's 'S")


def random_texts():
    """Characters of several scripts, all of which are old enough for every table of Unicode."""
    rng = np.random.default_rng(0)
    ranges = [(0x20, 0x7F), (0x20, 0x7F), (0xA0, 0x180), (0x370, 0x373), (0x391, 0x3A2)]
    ranges += [(0x3B1, 0x3CA), (0x400, 0x450), (0x4E00, 0x4E80), (0x1F600, 0x1F640)]
    ranges += [(0x2000, 0x200B), (0x300, 0x310), (0x2150, 0x2170)]
    for _ in range(300):
        chosen = rng.integers(0, len(ranges), rng.integers(1, 40))
        yield "".join(chr(rng.integers(*ranges[i])) for i in chosen)


@pytest.fixture(scope="module")
def merges():
    try:
        return Path(
            metadata.distribution("open_clip_torch").locate_file(VOCABULARY.sources[0].file)
        )
    except metadata.PackageNotFoundError:
        pytest.skip("open_clip_torch brings the vocabulary")


@pytest.mark.oracle
def test_open_clip(timm, merges):
    pytest.importorskip("ftfy")
    peer = pytest.importorskip("open_clip.tokenizer").SimpleTokenizer()
    ours = CLIPTokenizer(merges, convention="open_clip")
    assert (ours.vocabulary_size, ours.start_token, ours.end_token) == (49408, 49406, 49407)
    texts = [*TEXTS, *REPAIRED, *random_texts()]
    np.testing.assert_array_equal(ours(texts), peer(texts).numpy())
    for text in TEXTS[:-2]:
        assert ours.decode(ours.encode(text)) == peer.decode(peer.encode(text)).strip()


@pytest.mark.oracle
def test_transformers(merges):
    transformers = pytest.importorskip("transformers")
    ours = CLIPTokenizer(merges)
    lines = gzip.decompress(merges.read_bytes()).decode().split("\n")[1:48895]
    characters = list(byte_characters().values())
    parts = [*characters, *(c + "</w>" for c in characters)]
    parts += [line.replace(" ", "") for line in lines] + ["<|startoftext|>", "<|endoftext|>"]
    numbers = {part: number for number, part in enumerate(parts)}
    pairs = [tuple(line.split()) for line in lines]
    peer = transformers.CLIPTokenizer(vocab=numbers, merges=pairs)
    texts = [*TEXTS, *REPAIRED[1:], *random_texts()]
    settings = {"padding": "max_length", "truncation": True, "max_length": 77}
    theirs = np.array(peer(texts, **settings)["input_ids"])
    np.testing.assert_array_equal(ours(texts), theirs)
    for text in TEXTS[:2]:
        row = ours(text)[0]
        assert ours.decode(row) == peer.decode(row, skip_special_tokens=True)


@pytest.fixture
def small(tmp_path):
    """Merges of "cat" and "at ", in the order of their ranks."""
    path = tmp_path / "merges.txt"
    path.write_text("#version: 0.2\na t</w>\nc at</w>\nb at</w>\n", encoding="utf-8")
    return path


def test_merges_by_hand(small):
    tokenizer = CLIPTokenizer(small, context_length=6)
    assert (tokenizer.start_token, tokenizer.end_token) == (515, 516)
    # "t" ends a word here: 256 + 83; "a" and "s" follow "!" by 64 and 82 places.
    assert tokenizer.encode("CAT bat tat") == [513, 514, 83, 512]
    assert tokenizer("cat cat cat cat cat").tolist() == [[515, 513, 513, 513, 513, 516]]
    assert tokenizer(["cat", ""]).tolist() == [
        [515, 513, 516, 516, 516, 516],
        [515, 516, 516, 516, 516, 516],
    ]
    assert tokenizer.decode([515, 513, 83, 512, 516, 3]) == "cat tat"
    fewer = CLIPTokenizer(small, vocabulary_size=515)
    assert (fewer.vocabulary_size, fewer.encode("cat")) == (515, [66, 512])


def test_what_is_refused(small, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="`convention`"):
        CLIPTokenizer(small, convention="other")
    with pytest.raises(ValueError, match="`context_length`"):
        CLIPTokenizer(small, context_length=1)
    with pytest.raises(ValueError, match="`tokens`"):
        CLIPTokenizer(small).decode([600])
    with pytest.raises(TypeError, match="`text`"):
        CLIPTokenizer(small)([3])
    broken = tmp_path / "broken.txt"
    broken.write_bytes(b"#version\na b c\n")
    with pytest.raises(ValueError, match=r"`vocabulary`.*broken"):
        CLIPTokenizer(broken)
    monkeypatch.setitem(sys.modules, "ftfy", None)
    with pytest.raises(ImportError, match=r"dlt-models-vision\[text\]"):
        CLIPTokenizer(small, convention="open_clip").encode("cat")


def test_vocabulary_from_places_without_a_network(small, tmp_path, monkeypatch):
    """The mirror has another file under its name, which the hash tells."""
    monkeypatch.setenv("DL_TECHNIQUES_OFFLINE", "1")
    monkeypatch.setenv("DL_TECHNIQUES_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DL_TECHNIQUES_WEIGHTS_DIR", str(tmp_path / "mirror"))
    place = tmp_path / "mirror" / VOCABULARY.sources[1].mirror_path
    place.parent.mkdir(parents=True)
    place.write_bytes(gzip.compress(small.read_bytes()))
    with pytest.raises(W.HashMismatch):
        CLIPTokenizer()


@pytest.mark.oracle
def test_vocabulary_of_an_installed_package(merges, tmp_path, monkeypatch):
    monkeypatch.setenv("DL_TECHNIQUES_OFFLINE", "1")
    monkeypatch.setenv("DL_TECHNIQUES_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DL_TECHNIQUES_WEIGHTS_DIR", raising=False)
    tokens = CLIPTokenizer()("a diagram")
    assert tokens[0, :4].tolist() == [49406, 320, 22697, 49407]
