"""Write CLIP's vocabulary as the tokenizer embeds it, and the golden file of the tokenizer: prompts of all kinds with the ids of
transformers' CLIPTokenizer (without the tokens of start and end).

    pip install -r requirements.txt
    python tokenizer.py --vocabulary bpe_simple_vocab_16e6.txt.gz [--seed N] [--out FOLDER] [--prompts N] [--characters] [--merges FILE]

The vocabulary is that of https://github.com/openai/CLIP (MIT licence). `--merges` writes `merges.bin`: for each merge, from the first,
the ids of its two parts as u16, little-endian; its own id is 512 + its place. `--characters` adds a prompt for each character that there
is."""
import argparse
import gzip
import json
import random
import struct
import unicodedata
from pathlib import Path

from transformers import CLIPTokenizer

MERGES = 49152 - 256 - 2
LIMIT = 300_000
WORDS = """masterpiece best quality ultra detailed portrait of an old fisherman in the rain, oil on canvas; a castle above clouds
at dawn highly-detailed photograph bokeh 8k uhd DSLR soft lighting film grain Fujifilm XT3 it's they're we've I'm she'll he'd
(worst quality:2) [blurry] watermark, text, jpeg artefacts, lowres extra_fingers <lora:more_details:0.5> anime impasto watercolour
Rembrandt Hokusai Mucha Studio-Ghibli #art @artist http://example.org/a?b=c&d=e 50% off £20 €30 C++ naïve café Ångström Übermensch
supercalifragilisticexpialidocious antidisestablishmentarianism xqzjkvw &amp; &lt;b&gt; &quot; &#39;""".split()
FOREIGN = """красивый закат над рекой 夕焼けの海と富士山 傑作 最高品質 一只在月光下奔跑的狐狸 아름다운 풍경 قطة جميلة חתול יפה एक सुंदर पहाड़ ภูเขาที่สวยงาม
Ελληνικά ΣΟΦΟΣ İstanbul ıǰßẞ ǅ ﬁne ﬂow ﷺ ﾊﾝｶｸ ＦＵＬＬ Việt Nam Đà Nẵng tiếng""".split()
EMOJI = ["🙂", "🔥", "👍🏽", "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪", "❤️", "☃", "✨✨✨", "1️⃣", "🫠", "♾️", "©", "™", "→", "…", "—", "“”", "№"]
SPACES = [" ", "  ", "\t", "\n", "\r\n", "\u00a0", "\u2003", "\u3000", "\u2028", "\u0085", "\u200b", "\ufeff", "\v", "\u1680", "\u180e"]
CONTROLS = [chr(c) for c in [*range(1, 9), 14, 27, 31, 127, 128, 159]] + ["\u200d", "\u202e", "\ufffd", "\ufffe", "\U000e0041"]
QUOTED = ["'s", "'T", "'re", "'VE", "'m", "'ll", "'D", "''s", "'ss", "'", "`", "´", "’s", "'1", "x'sy"]
SPECIAL = ["<|startoftext|>", "<|endoftext|>", "<|ENDOFTEXT|>", "<|endoftext", "|>", "<|startoftext|>!", "</w>", "Ġ"]
FORMS = ["e\u0301", "a\u0308\u0323", "a\u0323\u0308", "\u212b", "\u1100\u1161\u11a8", "가", "q\u0307\u0323", "\u0344", "\u0958", "ö\u0301", "\u1e9b\u0323",
         "\u2de7\u1ac4", "a\u0301\u1ac3"]  # marks of Unicode 14, which older tables leave in their place


def byte_characters():
    """The printable characters that stand for bytes, in the order of their ids."""
    bytes_ = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in bytes_]
    return [chr(b) for b in bytes_] + [chr(256 + i) for i in range(len(rest))]


def read(vocabulary):
    lines = gzip.decompress(vocabulary.read_bytes()).decode().split("\n")
    merges = [tuple(line.split()) for line in lines[1 : MERGES + 1]]
    single = byte_characters()
    tokens = single + [c + "</w>" for c in single] + ["".join(m) for m in merges] + ["<|startoftext|>", "<|endoftext|>"]
    assert len(tokens) == len(set(tokens)) == 49408
    return {token: i for i, token in enumerate(tokens)}, merges


def assigned(c):
    """Characters that are not may be in one version of Unicode, and not in another."""
    return unicodedata.category(c) not in ("Cn", "Cs", "Co")


def any_character(r):
    while True:
        c = chr(r.choice([r.randrange(0x20, 0x250), r.randrange(0x250, 0x3000), r.randrange(0x3000, 0x20000)]))
        if assigned(c):
            return c


def prompt(r, kind):
    words = lambda of, most: [r.choice(of) for _ in range(r.randint(1, most))]
    match kind:
        case 0:
            return " ".join(words(WORDS, 14))
        case 1:
            return r.choice([" ", ", ", ",", ""]).join(words(WORDS + FOREIGN, 8))
        case 2:
            return "".join(words(WORDS + EMOJI + SPACES, 12))
        case 3:
            return "".join(words(FOREIGN + FORMS + EMOJI, 8))
        case 4:
            return "".join(words(QUOTED + ["dog", "CAN", "1st", " "], 8))
        case 5:
            return "".join(words(CONTROLS + SPACES + WORDS, 9))
        case 6:
            return "".join(any_character(r) for _ in range(r.randint(1, 14)))
        case 7:
            return "".join(words(SPECIAL + WORDS + SPACES, 7))
        case 8:
            return "".join(r.choice("0123456789.,:-()[]{}*+/\\|~^_=!?;\"'#$%& aZ") for _ in range(r.randint(0, 40)))
        case _:
            return "".join(r.choice("abcdefghijklmnopqrstuvwxyzAEIOU") for _ in range(r.randint(1, 60)))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--vocabulary", type=Path, required=True)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--prompts", type=int, default=1000)
    p.add_argument("--out", type=Path, default=Path(__file__).resolve().parent.parent / "golden")
    p.add_argument("--characters", action="store_true")
    p.add_argument("--merges", type=Path)
    args = p.parse_args()
    vocabulary, merges = read(args.vocabulary)
    if args.merges:
        ids = [vocabulary[part] for merge in merges for part in merge]
        args.merges.write_bytes(struct.pack(f"<{len(ids)}H", *ids))
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=merges)
    r = random.Random(args.seed)
    prompts = ["", " ", "a" * 700, "ab " * 250, "!" * 400, "🔥" * 90, "東京" * 120]
    prompts += [prompt(r, i % 10) for i in range(args.prompts - len(prompts))]
    if args.characters:
        prompts += [f"a{c}b {c}1{c}" for c in map(chr, range(0x110000)) if assigned(c)]
    out = [[text, tokenizer(text)["input_ids"][1:-1]] for text in prompts]
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "tokenizer.json"
    lines = ",\n".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) for line in out)
    path.write_text(f"[\n{lines}\n]\n", encoding="utf-8", newline="")
    print(f"{path}: {len(out)} prompts, {sum(len(ids) for _, ids in out)} ids, {path.stat().st_size} bytes")
    if path.stat().st_size > LIMIT and args.prompts == 1000 and not args.characters:
        raise SystemExit(f"`{path.name}` is larger than {LIMIT} bytes; make its prompts shorter")


if __name__ == "__main__":
    main()
