// Reports come from files of any origin. What the page uses of one is checked here, once, and named when it is wrong.

export const MOST_BYTES = 50e6;

function must(condition, path, text) {
  if (!condition) throw new Error(`${path}: ${text}`);
}

const isObject = (v) => v !== null && typeof v === "object" && !Array.isArray(v);
const isNumber = (v) => typeof v === "number" && Number.isFinite(v);

function numbers(object, path, names, may = []) {
  for (const name of names) must(isNumber(object[name]), `${path}${name}`, "must be a number");
  for (const name of may)
    must(object[name] === undefined || object[name] === null || isNumber(object[name]), `${path}${name}`,
        "must be a number");
}

function checkHeldOut(held, path) {
  must(isObject(held), path, "must be an object");
  numbers(held, `${path}.`, ["tokens", "ppl"], [
    "windows", "ppl_stderr", "baseline_ppl", "kld_mean", "kld_mean_stderr", "kld_p99", "kld_max", "top1_agreement",
    "top1_agreement_stderr"
  ]);
  const windows = held.window_kld;
  must(windows === undefined || (Array.isArray(windows) && windows.every(isNumber)), `${path}.window_kld`,
      "must be a list of numbers");
}

function checkChoice(choice, path) {
  must(isObject(choice) && Array.isArray(choice.substitutions), path, "must have a list of substitutions");
  choice.substitutions.forEach((s, i) => {
    must(isObject(s) && typeof s.what === "string", `${path}.substitutions[${i}].what`, "must be a string");
    numbers(s, `${path}.substitutions[${i}].`, ["bits", "predicted", "measured"]);
  });
}

/// The report itself when it is one. Throws an Error that names the field.
export function checkedReport(report) {
  must(isObject(report), "the report", "must be an object");
  must(Array.isArray(report.tensors), "tensors", "must be a list; is this a report of nibble quantize?");
  numbers(report, "", ["bytes", "bits_per_weight"], ["relative_error", "seconds"]);
  report.tensors.forEach((t, i) => {
    must(isObject(t) && typeof t.name === "string", `tensors[${i}].name`, "must be a string");
    must(typeof t.scheme === "string", `tensors[${i}].scheme`, "must be a string");
    numbers(
        t, `tensors[${i}].`, ["bits_per_weight"], ["relative_error", "output_error", "rtn_output_error", "seconds"]);
  });
  if (report.held_out !== undefined && report.held_out !== null) checkHeldOut(report.held_out, "held_out");
  if (report.bit_choice !== undefined && report.bit_choice !== null) checkChoice(report.bit_choice, "bit_choice");
  return report;
}
