#!/usr/bin/env python3
"""Writes tests/golden/pre_tokenizers.json: how Hugging Face `tokenizers` splits nasty texts by each family's patterns.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install tokenizers==0.23.3
    /tmp/venv/bin/python scripts/golden/make_pre_tokenizer_goldens.py

The patterns are those of the tokenizer.json files (where there is none: of llama.cpp), each a Split that isolates its
matches, one after the other. Golden is, for every family, its names in GGUF and, for every text, the pieces' lengths in bytes.
"""
import json
import pathlib

import tokenizers
from tokenizers import Regex, pre_tokenizers

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden" / "pre_tokenizers.json"

CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def after_llama3(numbers, word=r"[^\r\n\p{L}\p{N}]?\p{L}+", other=r" ?[^\s\p{L}\p{N}]+[\r\n]*"):
    return f"{CONTRACTIONS}|{word}|{numbers}|{other}|{SPACES}"


def cased_words(contraction, numbers):
    upper = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
    lower = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
    first = r"[^\r\n\p{L}\p{N}]?"
    return (f"{first}{upper}*{lower}+{contraction}|{first}{upper}+{lower}*{contraction}|{numbers}"
            r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|" + SPACES)


LLAMA3 = after_llama3(r"\p{N}{1,3}")
QWEN2 = after_llama3(r"\p{N}")
TEKKEN = cased_words("", r"\p{N}")
GPT4O = cased_words(CONTRACTIONS + "?", r"\p{N}{1,3}")
YOUTU = cased_words(CONTRACTIONS + "?", r"\p{N}")
BLOOM = " ?[^(\\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+"
WORDS3 = (r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
          r"| ?[\p{P}\p{S}]+[\r\n]*|" + SPACES)
CJK_OF_CODER = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
CJK_OF_V3 = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
LETTERS_OF_LLM = (
    r"[A-Za-z\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA}\x{1BC}-\x{1BF}\x{1C4}-\x{293}\x{295}-\x{2AF}"
    r"\x{370}-\x{373}\x{376}\x{377}\x{37B}-\x{37D}\x{37F}\x{386}\x{388}-\x{38A}\x{38C}\x{38E}-\x{3A1}"
    r"\x{3A3}-\x{3F5}\x{3F7}-\x{481}\x{48A}-\x{52F}\x{531}-\x{556}\x{10A0}-\x{10C5}\x{13A0}-\x{13F5}"
    r"\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF}\x{1D00}-\x{1D2B}\x{1D6B}-\x{1D77}"
    r"\x{1D79}-\x{1D9A}\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D}\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D}"
    r"\x{1F50}-\x{1F57}\x{1F59}\x{1F5B}\x{1F5D}\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC}\x{1FBE}"
    r"\x{1FC2}-\x{1FC4}\x{1FC6}-\x{1FCC}\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC}"
    r"\x{1FF2}-\x{1FF4}\x{1FF6}-\x{1FFC}\x{2102}\x{2107}\x{210A}-\x{2113}\x{2115}\x{2119}-\x{211D}\x{2124}"
    r"\x{2126}\x{2128}\x{212A}-\x{212D}\x{212F}-\x{2134}\x{2139}\x{213C}-\x{213F}\x{2145}-\x{2149}\x{214E}"
    r"\x{2183}\x{2184}\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4}\x{2CEB}-\x{2CEE}\x{2CF2}\x{2CF3}\x{A640}-\x{A66D}"
    r"\x{A680}-\x{A69B}\x{A722}-\x{A76F}\x{A771}-\x{A787}\x{A78B}-\x{A78E}\x{AB70}-\x{ABBF}"
    r"\x{FB00}-\x{FB06}\x{FB13}-\x{FB17}\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A}\x{10400}-\x{1044F}"
    r"\x{104B0}-\x{104D3}\x{104D8}-\x{104FB}\x{10C80}-\x{10CB2}\x{10CC0}-\x{10CF2}\x{118A0}-\x{118DF}"
    r"\x{1E900}-\x{1E943}]+"
)
PUNCTUATION_OF_LLM = "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+"
ASIAN_OF_YOUTU = ("[\uac00-\ud7a3\u3131-\u318e]+|[\uff01\u2026\u201c\u201d\u2018\u2019\u2014\uff1a\uff1b\uff0c\u3001-\u303f"
                  "\ufe30-\ufe4f]+|[\u3105-\u312f]+|" + CJK_OF_V3)
# From U+8C48 as in llama.cpp; U+F900, the beginning of that block, turns into it when normalized.
ASIAN_OF_AFMOE = ("[\u4e00-\u9fff\u3400-\u4dbf\u8c48-\ufaff\u3040-\u309f\u30a0-\u30ff\uff65-\uff9f\u2f00-\u2fdf\u0e40-\u0e7f"
                  "\u0e80-\u0eff\u1780-\u17ff\u1000-\u109f\uaa60-\uaa7f\ua9e0-\ua9ff\uac00-\ud7af\u1100-\u11ff]+")
SPACES_OF_JAIS = "|".join([r"\s*[\r\n]+"] + [rf"\s{{{n}}}(?!\S)" for n in (512, 256, 128, 64, 32, 16, 8, 4)]
                          + [r"\s{1,2}(?!\S)", r"\s{1}"])

FAMILIES = [
    ("gpt-2 phi-2 mpt olmo jais trillion jina-es jina-de jina-v2-es jina-v2-de gigachat a.x-4.0 mellum modern-bert exaone4 "
     "granite-docling roberta-bpe jina-v1-en jina-v2-code", [GPT2]),
    ("llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano dbrx smaug-bpe chatglm-bpe glm4", [LLAMA3]),
    ("qwen2 deepseek-r1-qwen kormo f2llmv2 megrez stablelm2 hunyuan solar-open grok-2", [QWEN2]),
    ("qwen35", [after_llama3(r"\p{N}", r"[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+", r" ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*")]),
    ("smollm starcoder refact command-r codeshell exaone minerva-7b mellum2", [r"\p{N}", GPT2]),
    ("falcon", [r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"]),
    ("deepseek-v3 hunyuan-dense joyai-llm", [r"\p{N}{1,3}", CJK_OF_V3, WORDS3]),
    ("deepseek-coder", [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", CJK_OF_CODER, r"\p{N}"]),
    ("deepseek-llm", [r"[\r\n]", r"\s?" + LETTERS_OF_LLM, PUNCTUATION_OF_LLM, r"\s+$", CJK_OF_CODER, r"\p{N}+"]),
    ("tekken", [TEKKEN]),
    ("gpt-4o llama4 kanana2 talkie minimax-m2 granite-embed-multi-97m", [GPT4O]),
    ("bloom poro-chat gpt3-finnish", [BLOOM]),
    ("viking", [BLOOM, r"\p{N}"]),
    ("seed-coder", [after_llama3(r"\p{N}{1}", other=r" ?[^\s\p{L}\p{N}\r\n]+")]),
    ("bailingmoe bailingmoe2 llada-moe",
     [r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"]),
    ("minicpm5", [r"\p{N}{1,3}", after_llama3(r"\p{N}+")]),
    ("laguna", [r"[^\n]+|[\n]+", QWEN2]),
    ("default", [r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"]),
    ("youtu", [ASIAN_OF_YOUTU, YOUTU]),
    ("jais-2", [f"{CONTRACTIONS}|" + r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + SPACES_OF_JAIS]),
    ("superbpe", [r"\p{N}+", r"(?=(\d{3})+(?!\d))"]),
    ("afmoe", [r"\p{N}{1,3}(?=(?:\p{N}{3})*(?:\P{N}|\z))", ASIAN_OF_AFMOE, WORDS3]),
    ("exaone-moe", [CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?"
                    r"|\s*[\r\n]|\s+(?!\S)|\s+"]),
    ("chameleon", ["<sentinel:[0-9]+>", "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z", r"([\t\n]|    |  )", r"\p{N}",
                   r"[\p{P}!-/:-@\[-`{-~]", GPT2]),
    ("tiny_aya cohere2moe", [r"\d{1,3}(?=(?:\d{3})*\b)", GPT4O]),
    ("gemma4 sarvam-moe granite-embed-multi-311m", [r"[^\n]+|[\n]+"]),
]

TEXTS = [
    "Hello, world! It's we'll I'M THEY'RE he'D x'S don't 'tis 'Twas ''s 're've",
    "\u017fo '\u017f 'S\u017f",
    "  two  spaces   and\ttabs\t\t and \u00a0no-break\u3000wide \u2003em\u200bzero\ufeffbom\u180e\u0085nel",
    "line\nline\r\nline\r\r\n\n  \n \n\n   indented\n\tx = 1;\n\n\n",
    "trailing spaces   ",
    " \n ", "\n", " ", "   ", "\r\n", "a \n b", "\n\n  a",
    "0 12 123 1234 12345 123456 1234567 3.14159 1,234,567 x1y22z333 \u00bd\u00b2\u2167\u0663\u0664\u0665\u0666 \u0966\u0967\u0968\u0969",
    "1234a 1234_ 12345\u00e9 123456\u0301 1234567",
    "\u4e16\u754c\u3053\u3093\u306b\u3061\u306f\u30ab\u30bf\u30ab\u30ca \ud55c\uad6d\uc5b4 \u3105\u3106 \uff21\uff22\uff43 \uff01\uff1f\u3002\u300c\u5f15\u7528\u300d\u2026\u201cq\u201d",
    "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35 \u0928\u092e\u0938\u094d\u0924\u0947 \u0627\u0644\u0639\u0631\u0628\u064a\u0629\u060c \u05e9\u05dc\u05d5\u05dd \u17a2\u1780\u17d2\u179f\u179a \u1019\u103c\u1014\u103a\u0964 \u06d4",
    "e\u0301a\u0300\u0301 \u0301x \u0301\u0301 n\u0303o \u00e9\u00df\u01c5\u02b0\u00aa\u01bb",
    "CamelCaseWORDS HTTPServer iPhone \u00c9COLE \u00e9cole \u01c5ungla \u0391\u0392\u03b3 \u0416\u0443\u043a \u10d0\u10d1 \u1c90",
    "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f\U0001f1e9\U0001f1ea \U00010400\U00010428 \U0001e900 \U0001d400 \U00020000",
    "!!! ... -- ?! $5+3=8 <tag a=\"b\"/> `code` ~x^2|y\\z @#%& _under_score_ a/b//c/\n//\r\n",
    "def f(x):\n    return x ** 2  # comment\n\nif (a&&b) {\n\t\tc[0]->d();\n}\n",
    "<sentinel:12> IMGIMGABCZ IMGIMGZ <|im_end|> [INST] \u2581word\u2581",
    "\u00a1hola! \u00bfqu\u00e9? \u00abguillemets\u00bb \u2018single\u2019 it\u2019s \u20ac100 \u2192 \u2211 \u00a9\u2122 \u203f\u2040 \u0000\u0007\u007f\u009f\ud7ff\ue000\ufffd",
    "a b c d e f  g",
    "\t\t\tx", "x" + " " * 21 + "y", " " * 70, "\u3000\u3000\n\u3000z",
]


def lengths(split, text):
    pieces = [piece for piece, _ in split.pre_tokenize_str(text)]
    assert "".join(pieces) == text, text
    return [len(piece.encode()) for piece in pieces]


def main():
    families = []
    for names, patterns in FAMILIES:
        splits = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in patterns]
        split = pre_tokenizers.Sequence(splits)
        families.append({"names": names.split(), "pieces": [lengths(split, text) for text in TEXTS]})
    lines = ",\n".join(json.dumps(family, separators=(",", ":")) for family in families)
    head = json.dumps({"made_by": "scripts/golden/make_pre_tokenizer_goldens.py", "tokenizers": tokenizers.__version__,
                       "texts": TEXTS})
    OUT.write_text(head[:-1] + ',\n"families": [\n' + lines + "\n]}\n")


if __name__ == "__main__":
    main()
