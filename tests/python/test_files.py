"""Quantizing, saving, converting, inspecting; progress and its bar."""

import os
import pathlib

import pytest

import nibble
from nibble import Model

GREEDY = {"temperature": 0, "max_new_tokens": 20, "ignore_eos": True}


def leftovers(folder):
    return [p.name for p in pathlib.Path(folder).iterdir() if p.name.startswith(".")]


def test_quantize_use_save_load(model, text, tmp_path, monkeypatch):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    texts = [text[i : i + 100] for i in range(0, len(text), 100)]
    quantized = model.quantize(
        method="gptq", scheme="int4-g32-sym", calibration=texts, samples=8, calibration_context=64, report="off"
    )
    assert any(tensor["scheme"].startswith("int4") for tensor in quantized.quantization_report["tensors"])
    answer = quantized.generate("Hello", **GREEDY)
    quantized.save_quantized(tmp_path / "out")
    assert Model.from_quantized(tmp_path / "out", context=600).generate("Hello", **GREEDY) == answer
    assert nibble.inspect(tmp_path / "out")["family"] == "compressed-tensors"
    quantized.save_quantized(tmp_path / "out")  # replaces
    assert leftovers(tmp_path) == []
    assert len(os.listdir(tmp_path / "tmp")) == 1
    del quantized
    assert os.listdir(tmp_path / "tmp") == []


def test_texts_and_files_calibrate_alike(model, text, tmp_path):
    options = {"method": "gptq", "scheme": "int4-g32-sym", "samples": 8, "calibration_context": 64, "report": "off"}
    (tmp_path / "text").write_text(text)
    model.quantize(calibration=text, output=tmp_path / "a", **options)
    model.quantize(calibration=tmp_path / "text", output=tmp_path / "b", **options)
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == (tmp_path / "b" / "model.safetensors").read_bytes()
    with pytest.raises(TypeError):
        model.quantize(calibration=[3], output=tmp_path / "c", **options)


def test_reports_go_with_the_model(model, text, tmp_path):
    quantized = model.quantize("gptq", "int4-g32-sym", text, samples=4, calibration_context=64, report="quick")
    assert "held_out" in quantized.quantization_report
    quantized.save_quantized(tmp_path / "out")
    assert (tmp_path / "out.report.json").exists() and (tmp_path / "out.report.html").exists()


def test_families_and_containers(model, large_folder, tmp_path):
    gguf = Model.from_pretrained(large_folder, context=600).quantize(scheme="q8_0", to="gguf")
    answer = gguf.generate("Hello", **GREEDY)
    gguf.save_quantized(tmp_path / "m.gguf")
    assert Model.from_quantized(tmp_path / "m.gguf", context=600).generate("Hello", **GREEDY) == answer
    gguf.save_quantized(tmp_path / "folder", to="compressed-tensors")
    assert nibble.inspect(tmp_path / "folder")["family"] == "compressed-tensors"
    model.save_quantized(tmp_path / "plain.gguf")
    assert nibble.inspect(tmp_path / "plain.gguf")["container"] == "gguf"
    report = nibble.convert(tmp_path / "m.gguf", tmp_path / "floats", to="hf:f32", lossy=True)
    assert report["family"]


def test_saving_what_was_quantized_while_loading(chat_folder, tmp_path):
    loaded = Model.from_pretrained(chat_folder, load_in_4bit=True, context=600)
    loaded.save_quantized(tmp_path / "out")
    again = Model.from_quantized(tmp_path / "out", context=600)
    assert again.generate("Hello", **GREEDY) == loaded.generate("Hello", **GREEDY)
    assert any(tensor["scheme"].startswith("int4") for tensor in nibble.inspect(tmp_path / "out")["tensors"])


def test_progress_functions(model, chat_folder, tmp_path):
    seen = []
    model.quantize(scheme="int4-g32-sym", output=tmp_path / "a", progress=lambda *call: seen.append(call))
    assert {"quantizing", "loading"} <= {what for what, _, _, _ in seen}
    assert all(done <= total for _, done, total, _ in seen)
    with pytest.raises(nibble.CancelledError):
        model.quantize(scheme="int4-g32-sym", output=tmp_path / "b", progress=lambda *call: False)

    def bad(*call):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        model.quantize(scheme="int4-g32-sym", output=tmp_path / "b", progress=bad)
    with pytest.raises(KeyError, match="mine"):
        Model.from_pretrained(chat_folder, progress=bad)
    assert not (tmp_path / "b").exists() and leftovers(tmp_path) == []
    with pytest.raises(TypeError):
        Model.from_pretrained(chat_folder, progress=3)


def test_bars(chat_folder, capsys, monkeypatch):
    Model.from_pretrained(chat_folder, progress=True)
    pytest.importorskip("tqdm")
    assert "loading" in capsys.readouterr().err
    import sys

    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    Model.from_pretrained(chat_folder, progress=True)
    assert "loading: 100 %" in capsys.readouterr().err


def test_facts(chat_folder):
    facts = nibble.inspect(chat_folder)
    assert facts["architecture"] == "llama" and facts["runnable"] and facts["tensors"]
    assert nibble.machine_info()["kernels"]
    assert nibble.machine_info()["version"] == nibble.__version__
