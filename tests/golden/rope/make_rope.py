"""Writes rope.json: inverse frequencies and attention factors of Hugging Face transformers for one configuration of
every kind of RoPE scaling. Run with transformers and torch installed:  python make_rope.py > rope.json"""
import json

import torch
import transformers
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

DIM = 64
HALF = DIM // 2


def case(name, theta, parameters, max_positions, seq_len=None):
    parameters = dict(parameters, rope_theta=theta)
    config = LlamaConfig(hidden_size=4 * DIM, num_attention_heads=4, head_dim=DIM,
                         max_position_embeddings=max_positions, rope_parameters=parameters)
    kind = parameters["rope_type"]
    if kind == "default":
        inv = 1.0 / (theta ** (torch.arange(0, DIM, 2, dtype=torch.int64).to(dtype=torch.float) / DIM))
        factor = 1.0
    else:
        inv, factor = ROPE_INIT_FUNCTIONS[kind](config, device="cpu", seq_len=seq_len)
    return {"name": name, "rotary_dim": DIM, "parameters": parameters, "max_position_embeddings": max_positions,
            "sequence_length": seq_len or 0, "attention_factor": factor,
            "inv_freq": [float("%.9g" % v) for v in inv.tolist()]}


short = [1.0 + 0.01 * i for i in range(HALF)]
long = [1.0 + 0.5 * i for i in range(HALF)]
longrope = {"rope_type": "longrope", "short_factor": short, "long_factor": long,
            "original_max_position_embeddings": 4096, "factor": 32.0}
cases = [
    case("default", 10000.0, {"rope_type": "default"}, 2048),
    case("default_1e6", 1000000.0, {"rope_type": "default"}, 2048),
    case("linear", 10000.0, {"rope_type": "linear", "factor": 8.0}, 2048),
    case("dynamic_short", 10000.0, {"rope_type": "dynamic", "factor": 4.0}, 2048, 1000),
    case("dynamic_long", 10000.0, {"rope_type": "dynamic", "factor": 4.0}, 2048, 6000),
    case("llama3", 500000.0, {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                              "original_max_position_embeddings": 8192}, 131072),
    case("yarn", 1000000.0, {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}, 131072),
    case("yarn_mscale", 10000.0, {"rope_type": "yarn", "factor": 40.0, "original_max_position_embeddings": 4096,
                                  "beta_fast": 32, "beta_slow": 1, "mscale": 1.0, "mscale_all_dim": 0.707}, 163840),
    case("longrope_short", 10000.0, longrope, 131072, 4096),
    case("longrope_long", 10000.0, longrope, 131072, 4097),
]
origin = f"transformers {transformers.__version__}, torch {torch.__version__.split('+')[0]}, make_rope.py"
print('{"origin": "%s", "cases": [' % origin)
print(",\n".join(json.dumps(c) for c in cases))
print("]}")
