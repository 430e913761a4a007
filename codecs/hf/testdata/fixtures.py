"""Makes encode.json and card.json: what the tokenizers library and PyYAML make of some texts.

    python fixtures.py        (with tokenizers==0.23.3 and pyyaml==6.0.4)
"""

import json
import pathlib

import yaml
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

HERE = pathlib.Path(__file__).resolve().parent

# --- tokenizers ---

CORPUS = ["the quick brown fox jumps over the lazy dog", "hello hello world", "don't they're I'll we've", "1234 12345 2024", "日本語のテキスト", "naïve café übergroß", "    indented\n\n\tcode()", "HTTPServer MixedCase", "!!!??? ...", "день добрый", "🙂🚀", "'sam'S"] * 3
TEXTS = ["", " ", "hello world", " Hello  World ", "they're DON'T i'Ll 'S", "12345 a1b22", "日本語 テキスト。", "groß łøæ ¼", "\n\n \t x\r\n y  \n", "HTTPServer::get(x,y)", "🙂🚀 ～", "<tool> a<tool>b <mask> x", "день 1́ ４２ ½", "a\u00a0b\u3000c", "___ __init__ ** $=+"]
GPT4 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN = GPT4.replace(r"\p{N}{1,3}", r"\p{N}")
O200K = "|".join([
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?", r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+",
])  # fmt: skip
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}


def split(regex, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": {"Regex": regex}, "behavior": behavior, "invert": invert}


def sequence(*steps):
    return {"type": "Sequence", "pretokenizers": list(steps)}


def normalizers(*steps):
    return {"type": "Sequence", "normalizers": list(steps)}


def token(content, **flags):
    return {"content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True} | flags


def byte_level():
    it = Tokenizer(models.BPE())
    it.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    it.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=400, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return json.loads(it.to_str())


def spaced():
    it = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    it.pre_tokenizer = pre_tokenizers.Metaspace()
    it.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=400, show_progress=False, special_tokens=["<unk>"] + [f"<0x{b:02X}>" for b in range(256)]))
    return json.loads(it.to_str()) | {"added_tokens": []}


def word_piece():
    it = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    it.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    it.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=200, show_progress=False, special_tokens=["[UNK]", "[CLS]", "[SEP]"]))
    return json.loads(it.to_str()) | {"added_tokens": []}


BERT = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True}
TOKENS = [token("<tool>", special=False), token("<mask>", lstrip=True), token("<right>", rstrip=True), token("quick", normalized=True, single_word=True)]
CASES = [  # name, base, changes to the file, changes to its model
    ("gpt-2", "bytes", {"pre_tokenizer": BYTES | {"use_regex": True}}, {}),
    ("gpt-2 with a space before", "bytes", {"pre_tokenizer": BYTES | {"use_regex": True, "add_prefix_space": True}}, {}),
    ("gpt-4", "bytes", {"pre_tokenizer": sequence(split(GPT4), BYTES)}, {}),
    ("whole words first", "bytes", {"pre_tokenizer": sequence(split(GPT4), BYTES)}, {"ignore_merges": True}),
    ("qwen", "bytes", {"pre_tokenizer": sequence(split(QWEN), BYTES), "normalizer": {"type": "NFC"}}, {}),
    ("gpt-4o", "bytes", {"pre_tokenizer": sequence(split(O200K), BYTES)}, {}),
    ("deepseek", "bytes", {"pre_tokenizer": sequence(split(r"\p{N}{1,3}"), split("[一-龥぀-ゟ゠-ヿ]+"), split(r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"), BYTES)}, {}),
    ("falcon", "bytes", {"pre_tokenizer": sequence({"type": "Punctuation", "behavior": "Contiguous"}, BYTES | {"use_regex": True}, {"type": "Digits", "individual_digits": False}, split("[0-9][0-9][0-9]"))}, {}),
    ("digits", "bytes", {"pre_tokenizer": sequence({"type": "Digits", "individual_digits": True}, BYTES | {"use_regex": True})}, {}),
    ("whitespace", "bytes", {"pre_tokenizer": sequence({"type": "Whitespace"}, BYTES)}, {}),
    ("white space removed", "bytes", {"pre_tokenizer": sequence({"type": "WhitespaceSplit"}, BYTES)}, {}),
    ("merged with the one before", "bytes", {"pre_tokenizer": sequence(split(r"\d|[xyz]", "MergedWithPrevious"), BYTES)}, {}),
    ("merged with the next", "bytes", {"pre_tokenizer": sequence(split(r"\s|\p{Lu}", "MergedWithNext"), BYTES)}, {}),
    ("removed", "bytes", {"pre_tokenizer": sequence(split(r"[aeiou]+", "Removed"), BYTES)}, {}),
    ("contiguous, turned round", "bytes", {"pre_tokenizer": sequence(split(r"[a-m]", "Contiguous", True), BYTES)}, {}),
    ("greedy, lazy and possessive", "bytes", {"pre_tokenizer": sequence(split(r"l+?o|[a-z]++t?|(?:ab|a)(?=\s|$)|(?<=\s)\S{2,3}?|\d{2,}"), BYTES)}, {}),
    ("classes of classes", "bytes", {"pre_tokenizer": sequence(split(r"[\p{L}\d&&[^aeiou]&&[^\p{Han}]]+|[^\W\d_&&a-z]+|\P{L}|[^A-Z&&[A-Zst]]"), BYTES)}, {}),
    ("a delimiter", "bytes", {"pre_tokenizer": sequence({"type": "CharDelimiterSplit", "delimiter": "o"}, BYTES)}, {}),
    ("added tokens", "bytes", {"pre_tokenizer": BYTES | {"use_regex": True}, "added_tokens": TOKENS}, {}),
    ("added tokens, lower case", "bytes", {"pre_tokenizer": BYTES | {"use_regex": True}, "added_tokens": TOKENS, "normalizer": {"type": "Lowercase"}}, {}),
    ("a dropped prefix", "bytes", {"pre_tokenizer": BYTES, "normalizer": normalizers({"type": "Strip", "strip_left": True, "strip_right": True}, {"type": "Prepend", "prepend": "_"}, {"type": "Replace", "pattern": {"Regex": "[ \t]+"}, "content": " "})}, {}),
    ("metaspace", "spaces", {}, {}),
    ("metaspace, first alone", "spaces", {"pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}, "added_tokens": [token("<tool>")]}, {}),
    ("metaspace without bytes", "spaces", {}, {"byte_fallback": False}),
    ("unknown one by one", "spaces", {}, {"byte_fallback": False, "fuse_unk": False}),
    ("spaces replaced", "spaces", {"pre_tokenizer": None, "normalizer": normalizers({"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"})}, {}),
    ("bert", "words", {"normalizer": BERT}, {}),
    ("bert, cased", "words", {"normalizer": BERT | {"lowercase": False}}, {}),
    ("bert, accents kept", "words", {"normalizer": BERT | {"strip_accents": False, "handle_chinese_chars": False}}, {}),
    ("between two", "words", {"normalizer": BERT, "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}}], "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [1], "tokens": ["[CLS]"]}, "[SEP]": {"id": "[SEP]", "ids": [2], "tokens": ["[SEP]"]}}}}, {}),
    ("bert's processor", "words", {"normalizer": BERT, "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1]}}, {}),
]  # fmt: skip


def encode() -> dict:
    bases = {"bytes": byte_level(), "spaces": spaced(), "words": word_piece()}
    cases = []
    for name, base, changes, inner in CASES:
        whole = bases[base] | changes
        whole["model"] = bases[base]["model"] | inner
        for i, added in enumerate(whole["added_tokens"]):
            vocabulary = bases[base]["model"]["vocab"]
            added["id"] = vocabulary.get(added["content"], len(vocabulary) + i)
        it = Tokenizer.from_str(json.dumps(whole))
        cases.append({"name": name, "base": base, "changes": changes, "model": inner, "ids": [it.encode(text).ids for text in TEXTS]})
    return {"bases": bases, "texts": TEXTS, "cases": cases}


# --- cards ---

CARDS = [
    r'''license: apache-2.0
language:
- en
- de
tags:
- tiny
- made for a proof
base_model: example-org/Parent-7B-v1.0
datasets:
- example-org/words
pipeline_tag: text-generation
''',
    r'''license: llama3.2
extra_gated_prompt: >-
  ### LLAMA 3.2 COMMUNITY LICENSE AGREEMENT


  Llama 3.2 Version Release Date: September 25, 2024


  “Agreement” means the terms
  and conditions

    indented
  back
extra_gated_fields:
  First Name: text
  Date of birth: date_picker
  Job title:
    type: select
    options:
    - Student
    - "Research Graduate"
    - Other
  ip_location: "a: b"
''',
    r'''widget:
- example_title: Hello
  messages:
  - role: user
    content: Hey my name is Julien! How are you?
- text: "x # y"
model-index:
- name: x
  results:
  - task:
      type: text-generation
    metrics:
      - type: acc
        value: 0.52
        verified: false
inference:
  parameters:
    temperature: 0.7
    list: [a, "b", 'c''d', 1, 1.5, true, null, ~, {k: v, z: [1,2]}]
''',
    r'''a: |
  line one
    two

  three
b: >
  folded text
  goes on

  para
c: |+
  keep

d: plain text over
  two lines

  and a gap
e: "double
  quoted over\nlines"
f: 'single
  over'
''',
    r'''x: 0x10
o: 010
y: yes
n: No
f: 1e3
g: 1.0e+3
i: 1_000
d: 2024-01-01x
e: ''
t: "\u00e9\x41"
u: über
v: -1
w: +12
k: .5
''',
    r'''- a
- b: 1
  c: 2
-
  d: 3
- - x
  - y
''',
    r'''# comment
a: b # comment
c: "d" # comment
e: # comment
  - f # comment
  # more
  - g
"quoted key": 1
''',
    r'''a: [x,
  y,
  z]
b: {q: 1,
 r: 2}
c: last
''',
    r'''a:
  - b
 - c
''',
    r'''a: b: c
''',
    r'''a: *x
''',
    r'''thumbnail: "https://x/y.png"
url: https://x/y#z
colon: a:b
''',
    r'''a: 'it''s'
b: - x
''',
    r'''name: |-
    four
      six
    four
next: 1
''',
    r'''a:

  b: 1


  c: 2
d:
e: ~
''',
    r'''license_name: other
tags: [ 'a b' , c-d ]
x: >
 one
 two
  three
 four

 five
y: "a \
  b"
''',
    r'''empty: []
obj: {}
nested: {a: [], b: {c: d}}
''',
    r'''text: hello "world" it's
dash: -x
q: ?x
''',
    r'''a: [x,
  y  y
  z,

  q

  r]
c: |+
  kept
''',
]  # fmt: skip


def plain(value):
    """A value as JSON, floats marked as such."""
    if isinstance(value, float):
        return {"float": repr(value)}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value if value is None or isinstance(value, (str, bool, int)) else {"other": str(value)}


def cards() -> list:
    made = []
    for text in CARDS:
        try:
            made.append({"text": text, "value": plain(yaml.safe_load(text))})
        except yaml.YAMLError as error:
            made.append({"text": text, "error": type(error).__name__})
    return made


if __name__ == "__main__":
    for name, value in (("encode", encode()), ("card", cards())):
        (HERE / f"{name}.json").write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")
