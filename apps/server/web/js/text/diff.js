// What two texts have in common, word by word: the shortest edit script of E. W. Myers, "An O(ND) Difference Algorithm
// and Its Variations" (1986), section 4.

// Texts that differ more than this are compared up to where the search ended; the rest counts as different.
const MOST_EDITS = 600;

/// Words with the white space after them.
export const wordsOf = (text) => text.match(/\S+\s*|^\s+/g) ?? [];

/// furthest[d][k] is how far in a the paths with d edits get on diagonal k.
function search(a, b) {
  const most = Math.min(a.length + b.length, MOST_EDITS);
  const trace = [];
  let reach = new Map([[1, 0]]);
  for (let d = 0; d <= most; ++d) {
    const next = new Map();
    for (let k = -d; k <= d; k += 2) {
      const down = k === -d || (k !== d && (reach.get(k - 1) ?? -1) < (reach.get(k + 1) ?? -1));
      let x = down ? reach.get(k + 1) ?? 0 : (reach.get(k - 1) ?? 0) + 1;
      if (x > a.length || x - k > b.length || x - k < 0) continue;
      while (x < a.length && x - k < b.length && a[x].trimEnd() === b[x - k].trimEnd()) ++x;
      next.set(k, x);
      if (x >= a.length && x - k >= b.length) return {trace: [...trace, next], k};
    }
    trace.push(next);
    reach = next;
  }
  // Not finished: the path that got furthest.
  let best = 0;
  for (const [k, x] of reach)
    if (2 * x - k > 2 * reach.get(best) - best || !reach.has(best)) best = k;
  return {trace, k: best};
}

/// Pairs [index in a, index in b] of equal words, ascending in both.
export function commonWords(a, b) {
  if (a.length === 0 || b.length === 0) return [];
  let {trace, k} = search(a, b);
  const pairs = [];
  let x = trace.at(-1).get(k) ?? 0;
  for (let d = trace.length - 1; d >= 0; --d) {
    const before = d > 0 ? trace[d - 1] : new Map([[1, 0]]);
    const down = k === -d || (k !== d && (before.get(k - 1) ?? -1) < (before.get(k + 1) ?? -1));
    const from = down ? before.get(k + 1) ?? 0 : (before.get(k - 1) ?? 0) + 1;
    for (; x > from; --x) pairs.push([x - 1, x - 1 - k]);
    k = down ? k + 1 : k - 1;
    x = before.get(k) ?? 0;
  }
  return pairs.reverse();
}

/// Runs of each text, alike or not: {left: [{text, same}], right: [...], common: share of words, first: words before
/// the first difference}.
export function difference(leftText, rightText) {
  const a = wordsOf(leftText);
  const b = wordsOf(rightText);
  const pairs = commonWords(a, b);
  const runs = (words, kept) => {
    const out = [];
    words.forEach((word, i) => {
      const same = kept.has(i);
      if (out.length > 0 && out.at(-1).same === same)
        out.at(-1).text += word;
      else
        out.push({text: word, same});
    });
    return out;
  };
  let first = 0;
  while (first < pairs.length && pairs[first][0] === first && pairs[first][1] === first) ++first;
  return {
    left: runs(a, new Set(pairs.map((p) => p[0]))),
    right: runs(b, new Set(pairs.map((p) => p[1]))),
    common: a.length + b.length === 0 ? 1 : (2 * pairs.length) / (a.length + b.length),
    first,
    equal: pairs.length === a.length && pairs.length === b.length,
  };
}
