"""Failures by kind, and Ctrl-C."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

import nibble
from nibble import Model


def test_kinds(model, chat_folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="absent") as caught:
        Model.from_pretrained(tmp_path / "absent")
    assert isinstance(caught.value, nibble.NotFoundError) and isinstance(caught.value, nibble.NibbleError)
    with pytest.raises(nibble.InvalidArgumentError, match="int99"):
        model.quantize(scheme="int99-g32", output=tmp_path / "a")
    with pytest.raises(ValueError, match="act_order"):
        model.quantize(method="gptq", scheme="int4-g32-sym", act_order="sideways", output=tmp_path / "a")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "config.json").write_text("{")
    (tmp_path / "bad" / "model.safetensors").write_text("short")
    with pytest.raises(nibble.CorruptFileError):
        Model.from_pretrained(tmp_path / "bad")
    os.chmod(tmp_path, 0o555)
    try:
        if os.geteuid() != 0:
            with pytest.raises(OSError):
                model.save_quantized(tmp_path / "out")
    finally:
        os.chmod(tmp_path, 0o755)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(nibble.InvalidArgumentError):
        model.save_quantized(tmp_path)  # holds what is no model's


def test_wrong_arguments(model):
    for bad in ({"temperature": float("nan")}, {"logprobs": 21}, {"max_new_tokens": 0}, {"repetition_penalty": 0}):
        with pytest.raises(ValueError):
            model.generate("a", **bad)
    for bad in ({"seed": -1}, {"seed": 2**64}, {"top_k": 2**31}, {"temperature": "hot"}, {"stop": [3]}):
        with pytest.raises(TypeError):
            model.generate("a", **bad)
    for bad in ([96], [-1], [2**31], []):
        with pytest.raises(ValueError):
            model.generate(bad)
    for bad in ([1.5], [[1]], 3, None):
        with pytest.raises(TypeError):
            model.generate(bad)
    for bad in ([{"role": "user"}], [{"role": "user", "content": "a", "more": "b"}]):
        with pytest.raises(nibble.NibbleError):
            model.generate(bad)
    with pytest.raises(ValueError, match="one of them"):
        Model.from_pretrained("x", scheme="int4", load_in_8bit=True)
    with pytest.raises(TypeError):
        model.generate("a", unknown=1)
    with pytest.raises(ValueError):
        model.perplexity("too short")
    with pytest.raises(ValueError):
        model.perplexity("")
    assert model.generate("a", max_new_tokens=1) is not None  # all of that left it whole


INTERRUPTED = """
    import sys, time, pathlib
    import nibble
    large, out = sys.argv[2:]
    if sys.argv[1] not in ("load", "quantize", "gptq"):
        model = nibble.Model.from_pretrained(large, context=60000)
        list(model.generate("warm", stream=True, max_new_tokens=2))
    text = "Some words. " * 5000
    print("ready", flush=True)
    try:
        while True:
            if sys.argv[1] == "load":
                nibble.Model.from_pretrained(large, scheme="int4-g32-sym", range="mse")
            elif sys.argv[1] == "quantize":
                nibble.quantize(large, out, scheme="int4-g32-sym", range="mse")
            elif sys.argv[1] == "gptq":
                nibble.quantize(large, out, method="gptq", scheme="int4-g32-sym", calibration=text, samples=32)
            elif sys.argv[1] == "generate":
                model.generate("Hello", ignore_eos=True)
            elif sys.argv[1] == "stream":
                for piece in model.generate("Hello", ignore_eos=True, stream=True):
                    pass
            elif sys.argv[1] == "prompt":
                model.generate(text, max_new_tokens=1)
            elif sys.argv[1] == "perplexity":
                model.perplexity(text)
            elif sys.argv[1] == "embed":
                model.embed([text[:1000]] * 100)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


@pytest.mark.parametrize("what", ["load", "quantize", "gptq", "generate", "stream", "prompt", "perplexity", "embed"])
def test_ctrl_c(what, large_folder, tmp_path):
    out = tmp_path / "out"
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(INTERRUPTED), what, str(large_folder), str(out)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout.readline() == "ready\n"
    time.sleep(0.5)
    start = time.monotonic()
    child.send_signal(signal.SIGINT)
    assert child.stdout.readline() == "interrupted\n"
    seconds = time.monotonic() - start
    assert child.wait() == 0
    print(f"{what}: {seconds:.3f} s")
    assert seconds < float(os.environ.get("NIBBLE_INTERRUPT_SECONDS", 1))
    assert [name for name in os.listdir(tmp_path) if name.startswith(".")] == []


def test_signals_of_other_threads_do_not_end_work(model):
    answers = []
    worker = threading.Thread(target=lambda: answers.append(model.generate("a", max_new_tokens=30, ignore_eos=True)))
    worker.start()
    worker.join()
    assert len(answers) == 1
