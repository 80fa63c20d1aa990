"""Generation, streams, tokens, embeddings, perplexity: what a loaded model does."""

import gc
import os
import threading
import time

import numpy as np
import pytest

import nibble
from nibble import Model

GREEDY = {"temperature": 0, "max_new_tokens": 20, "ignore_eos": True}


def wait_until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def threads_of_process():
    return len(os.listdir("/proc/self/task"))


def test_facts(model, chat_folder):
    assert model.architecture == "llama"
    assert model.context == 600
    assert model.vocab_size == 96
    assert model.packed_bytes > 0
    assert model.has_chat_template
    assert model.path == str(chat_folder)
    assert "llama" in repr(model)


def test_greedy_text_is_the_command_lines(model, chat_folder, run_program):
    flags = ("-n", 20, "--temp", 0, "--ignore-eos", "-c", 600)
    assert model.generate("Hello", **GREEDY) + "\n" == run_program("run", chat_folder, "--raw", "-p", "Hello", *flags)
    assert model.chat("Hello", **GREEDY) + "\n" == run_program("run", chat_folder, "-p", "Hello", *flags)


def test_seeds(model):
    options = {"max_new_tokens": 30, "ignore_eos": True, "temperature": 1.5, "top_k": 0, "top_p": 1, "min_p": 0}
    assert model.generate("a", seed=7, **options) == model.generate("a", seed=7, **options)
    assert model.generate("a", seed=2**64 - 1, **options) != model.generate("a", seed=7, **options)
    assert model.generate("a", **options) != model.generate("a", **options)


def test_streams_are_the_whole_text(model):
    whole = model.generate("Hello", **GREEDY)
    stream = model.generate("Hello", stream=True, **GREEDY)
    pieces = list(stream)
    assert len(pieces) > 1
    assert "".join(pieces) == whole == stream.text
    assert stream.report["reason"] == "max_tokens"
    assert stream.report["generated_tokens"] == 20 == whole.report["generated_tokens"]
    assert list(stream) == []
    np.testing.assert_array_equal(stream.ids, whole.ids)
    assert whole.ids.dtype == np.int32
    assert model.detokenize(whole.ids) == whole


def test_prompts_of_all_kinds(model):
    ids = model.tokenize("Hello")
    whole = model.generate("Hello", **GREEDY)
    assert model.generate(ids, **GREEDY) == whole
    assert model.generate(ids.tolist(), **GREEDY) == whole
    messages = [{"role": "user", "content": "Hello"}]
    assert model.generate(messages, **GREEDY) == model.chat("Hello", **GREEDY) == model.chat(messages, **GREEDY)
    np.testing.assert_array_equal(model.apply_chat_template(messages), model.tokenize("Hello", add_special=False))


def test_stop_strings(model):
    whole = model.generate("Hello", **GREEDY)
    stopped = model.generate("Hello", stop=whole[5:7], **GREEDY)
    assert stopped == whole[: whole.index(whole[5:7])]
    assert stopped.report["reason"] == "stop"


def test_logprobs_and_biases(model):
    answer = model.generate("Hello", logprobs=3, **GREEDY)
    assert len(answer.logprobs) == 20
    for token, id in zip(answer.logprobs, answer.ids):
        assert token.chosen.id == id == token.top[0].id
        assert token.top[0].logprob >= token.top[1].logprob >= token.top[2].logprob
        assert token.chosen.bytes.decode() == model.detokenize([id])
    forced = model.generate("Hello", logit_bias={40: 1e6}, **GREEDY)
    assert list(forced.ids) == [40] * 20


def test_dropped_and_closed_streams_give_their_slot_back(chat_folder):
    model = Model.from_pretrained(chat_folder, context=100000, threads=2)
    endless = {"temperature": 0, "ignore_eos": True}
    stream = model.generate("Hello", stream=True, **endless)
    next(stream)
    assert wait_until(lambda: model.stats["running"] == 1)
    stream.close()
    assert wait_until(lambda: model.stats["cancelled"] == 1 and model.stats["running"] == 0)
    assert list(stream) == []
    assert stream.report == {"reason": "cancelled"}
    stream = model.generate("Hello", stream=True, **endless)
    next(stream)
    del stream
    gc.collect()
    assert wait_until(lambda: model.stats["cancelled"] == 2 and model.stats["running"] == 0)
    with model.generate("Hello", stream=True, **endless) as stream:
        next(stream)
    assert wait_until(lambda: model.stats["cancelled"] == 3 and model.stats["running"] == 0)


def test_models_are_freed(chat_folder):
    gc.collect()
    before = threads_of_process()
    model = Model.from_pretrained(chat_folder, context=600, threads=2)
    stream = model.generate("Hello", stream=True, temperature=0, ignore_eos=True)
    next(stream)
    assert threads_of_process() > before
    del model
    assert next(stream)  # lives on what it needs
    del stream
    gc.collect()
    assert wait_until(lambda: threads_of_process() <= before)


def test_threads_generate_together(model):
    prompts = ["Hello", "World", "again " * 20, "x"]
    alone = [model.generate(p, **GREEDY) for p in prompts]
    together = [None] * len(prompts)

    def work(i):
        together[i] = model.generate(prompts[i], **GREEDY)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(len(prompts))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert together == alone


def test_the_gil_is_free_during_work(large_folder):
    model = Model.from_pretrained(large_folder, context=2000)
    counted = 0
    done = threading.Event()

    def count():
        nonlocal counted
        while not done.is_set():
            counted += 1
            time.sleep(0.001)

    counter = threading.Thread(target=count)
    counter.start()
    start = time.monotonic()
    model.embed(["Hello world " * 30] * 4)
    seconds = time.monotonic() - start
    done.set()
    counter.join()
    assert counted > 100 * min(seconds, 1) / 4


def test_tokens(model):
    ids = model.tokenize("Hello world")
    assert ids.dtype == np.int32 and ids.ndim == 1 and ids.flags.owndata is False
    assert model.detokenize(ids) == "Hello world"
    assert model.detokenize([]) == ""
    assert len(model.tokenize("<s>", parse_special=True, add_special=False)) == 1
    assert len(model.tokenize("<s>", add_special=False)) == 3
    assert model.tokenize("a\0b", add_special=False).size >= 2
    kept = model.tokenize("kept")
    expected = kept.copy()
    del model
    gc.collect()
    np.testing.assert_array_equal(kept, expected)  # arrays own their memory


def test_embeddings(model):
    texts = ["one", "two", "something longer than that", "one"]
    rows = model.embed(texts)
    assert rows.shape[0] == 4 and rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(rows[0], rows[3])
    np.testing.assert_array_equal(model.embed("two"), rows[1])
    np.testing.assert_array_equal(model.embed([model.tokenize("two")])[0], rows[1])
    plain = model.embed("two", normalize=False)
    np.testing.assert_allclose(plain / np.linalg.norm(plain), rows[1], rtol=1e-4)
    assert model.embed([]).shape[0] == 0


def test_perplexity_is_the_command_lines(model, chat_folder, text, tmp_path, run_program):
    file = tmp_path / "text"
    file.write_text(text)
    import json

    said = json.loads(run_program("eval", chat_folder, "--text", file, "--ctx", 128, "--json"))
    assert model.perplexity(text, context=128) == model.perplexity(file, context=128) == said["ppl"]
    compared = nibble.evaluate(chat_folder, baseline=chat_folder, text=text, context=128, scheme="int4-g32-sym")
    assert compared["baseline_ppl"] == said["ppl"] != compared["ppl"]
    assert compared["kld_mean"] > 0


def test_quantizing_while_loading(chat_folder):
    four = Model.from_pretrained(chat_folder, load_in_4bit=True, context=100)
    eight = Model.from_pretrained(chat_folder, load_in_8bit=True, context=100)
    plain = Model.from_pretrained(chat_folder, context=100)
    assert four.packed_bytes < eight.packed_bytes < plain.packed_bytes
    with pytest.raises(ValueError):
        Model.from_pretrained(chat_folder, load_in_4bit=True, scheme="int8-g32-sym")
