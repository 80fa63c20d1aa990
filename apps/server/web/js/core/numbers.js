// How numbers are written on the page.

const whole = new Intl.NumberFormat("en");

export const count = (n) => whole.format(n);

export function bytes(n) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (n >= 1000 && unit < units.length - 1) {
    n /= 1000;
    ++unit;
  }
  return `${unit === 0 ? n : n.toPrecision(3)} ${units[unit]}`;
}

export function short(n) {
  if (n >= 1e9) return `${(n / 1e9).toPrecision(3)} B`;
  if (n >= 1e6) return `${(n / 1e6).toPrecision(3)} M`;
  return count(n);
}

export const rate = (tokensPerSecond) => `${tokensPerSecond.toFixed(tokensPerSecond < 10 ? 2 : 1)} tokens/s`;

/// Small errors: three significant digits, without a long tail of zeros.
export function small(n) {
  if (n === 0) return "0";
  return Math.abs(n) < 1e-3 ? n.toExponential(2) : n.toPrecision(3);
}
