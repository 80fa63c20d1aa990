// Models that think aloud do so between <think> and </think>, before the answer.

const OPEN = "<think>";
const CLOSE = "</think>";

/// {thought, answer, thinking}: thinking while the thought has not ended. A beginning that may become <think> shows as
/// nothing.
export function splitThought(text) {
  const start = text.trimStart();
  if (!start.startsWith(OPEN)) {
    const mayBecome = start.length < OPEN.length && OPEN.startsWith(start);
    return {thought: "", answer: mayBecome ? "" : text, thinking: false};
  }
  const end = start.indexOf(CLOSE);
  if (end < 0) return {thought: start.slice(OPEN.length).trim(), answer: "", thinking: true};
  return {
    thought: start.slice(OPEN.length, end).trim(),
    answer: start.slice(end + CLOSE.length).replace(/^\s+/, ""),
    thinking: false
  };
}
