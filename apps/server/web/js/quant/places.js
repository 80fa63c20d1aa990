// Where in a model a tensor lies, from its name: Hugging Face's (model.layers.3.mlp.down_proj), GGUF's
// (blk.3.ffn_down.weight).

const IN_LAYER = /(?:^|\.)(?:layers|blk|blocks|h)\.(\d{1,4})\.(.+)$/;

/// {layer, kind} of a matrix in a layer, else null. Experts of one layer are one kind.
export function placeOf(name) {
  const match = IN_LAYER.exec(name);
  if (!match) return null;
  const kind = match[2]
                   .replace(/\.weight$/, "")
                   .replace(/^(?:self_attn|mlp|attn|attention|feed_forward)\./, "")
                   .replace(/\.\d+\./g, ".");
  return {layer: Number(match[1]), kind};
}

export const elementsOf = (shape) => shape.reduce((product, n) => product * n, 1);

// Files list tensors in any order; people think in that of the computation.
const ORDER = [/q_proj|attn_q/, /k_proj|attn_k/, /v_proj|attn_v/, /o_proj|attn_output/, /gate/, /up/, /down/];

function byComputation(a, b) {
  const [i, j] = [a, b].map((kind) => ORDER.findIndex((pattern) => pattern.test(kind)));
  return (i < 0 ? ORDER.length : i) - (j < 0 ? ORDER.length : j);
}

/// Tensors of layers, gathered: {layers: numbers ascending, kinds: in the order of the computation as far as it is
/// known, cell(kind, layer): the tensors}.
export function gathered(tensors) {
  const cells = new Map();
  const layers = new Set();
  const kinds = new Set();
  for (const tensor of tensors) {
    const place = placeOf(tensor.name);
    if (!place) continue;
    layers.add(place.layer);
    kinds.add(place.kind);
    const key = `${place.layer} ${place.kind}`;
    if (!cells.has(key)) cells.set(key, []);
    cells.get(key).push(tensor);
  }
  return {
    layers: [...layers].sort((a, b) => a - b),
    kinds: [...kinds].sort(byComputation),
    cell: (kind, layer) => cells.get(`${layer} ${kind}`) ?? []
  };
}

/// The mean of f over tensors, or null where it is known of none.
export function meanOf(tensors, f) {
  const values = tensors.map(f).filter((v) => Number.isFinite(v));
  return values.length > 0 ? values.reduce((sum, v) => sum + v, 0) / values.length : null;
}
