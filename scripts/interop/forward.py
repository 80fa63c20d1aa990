"""Networks as the libraries load them, with their own linear layers on a CPU: what a user of the folder would run."""
import os

os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")  # compiling each module would take most of the time
import gptqmodel
import torch
from transformers import AutoModelForCausalLM, GPTQConfig

from models import linear_names


def by_transformers(folder, dtype=torch.float32):
    """GPTQ, AWQ and AutoRound folders get the modules of gptqmodel or auto-round that fit the processor."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()


def by_transformers_unchosen(folder):
    """GPTQ by gptqmodel's plain module: of the one chosen for 4 bits, the kernel stops at groups of 256."""
    config = GPTQConfig(bits=4, backend="gptq_torch")
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, quantization_config=config).eval()


def by_gptqmodel(folder):
    """Float16: it refuses float32."""
    return gptqmodel.GPTQModel.load(str(folder), device="cpu", dtype=torch.float16).model.eval()


def kernels(network, model):
    """The classes of the layers that were quantized, which must not be float ones."""
    modules = [network.get_submodule(name) for name in linear_names(model.load())]
    if any(type(module) is torch.nn.Linear for module in modules):
        raise AssertionError("the network was loaded with float layers")
    return "/".join(sorted({type(module).__name__ for module in modules}))
