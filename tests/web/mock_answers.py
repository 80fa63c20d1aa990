"""What the mock server's models answer. A question that begins with "!" asks for one of the cases below."""

import random

WORDS = (
    "the model keeps its weights in four bits and reads them once for every token so speed follows memory while "
    "quality follows how errors are fed forward"
).split()

MARKDOWN = """# Quantization in one page

Weights are stored in **few bits**; a group of 32 shares *one scale*. See [the paper](https://example.org/paper) or
![a chart](https://example.org/chart.png).

| format | bits | note |
| :--- | ---: | :---: |
| int8-g32 | 8.5 | nearly free |
| int4-g32 | 4.5 | first<br>second |

1. Round to nearest
2. Feed errors forward
   - columns in order
   - `act-order` first

- [x] measured
- [ ] guessed

```python
def quantize(values: list[float], bits: int = 4) -> list[int]:
    \"\"\"Codes of a group that shares one scale.\"\"\"
    top = 2 ** (bits - 1) - 1
    scale = max(abs(v) for v in values) / top or 1.0
    return [round(v / scale) for v in values]  # nearest
```

> What is rounded is gone; what is fed forward is not.

Inline `code`, ~~struck~~, <b>no bold</b> and 2 < 3.
"""


def long_answer():
    parts = []
    for i in range(60):
        parts.append(f"## Part {i}\n\nA paragraph with **bold** and `code` number {i}.\n\n- one\n- two\n\n")
    lines = "\n".join(f"    total += values[{i}] * scale  # line {i}" for i in range(800))
    return (
        "".join(parts)
        + f"```python\ndef sum_up(values, scale):\n    total = 0\n{lines}\n    return total\n```\n\n"
        + "Done with all parts."
    )


def words(model, seed, count=40):
    """Text that differs between models from the sixth word on, and is the same for equal model and seed."""
    shared = random.Random(seed)
    text = [shared.choice(WORDS) for _ in range(count)]
    own = random.Random(f"{model}-{seed}")
    for i in range(5, count):
        if own.random() < 0.25:
            text[i] = own.choice(WORDS)
    return " ".join(text).capitalize() + "."


def answer(question, body, replies):
    """The text of an answer. replies: texts that a test has set, by question."""
    if question in replies:
        return replies[question]
    if question.startswith("!md"):
        return MARKDOWN
    if question.startswith("!long"):
        return long_answer()
    if question.startswith("!think"):
        return "<think>\nThe user wants a colour. Blue is safe.\n</think>\n\nBlue."
    if question.startswith("!slow"):
        return " ".join(f"word{i}" for i in range(400))
    return words(body.get("model", ""), body.get("seed", random.randrange(1 << 30)))


def pieces(text, size):
    """Pieces of a stream: words where size is 0, else so many characters."""
    if size:
        return [text[i : i + size] for i in range(0, len(text), size)]
    out, word = [], ""
    for char in text:
        word += char
        if char in " \n":
            out.append(word)
            word = ""
    return out + ([word] if word else [])
