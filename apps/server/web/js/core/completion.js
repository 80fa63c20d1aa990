// One streamed answer of /v1/chat/completions, as a sequence of what happens.
import {ApiError, postJson} from "./api.js";
import {eventData} from "./sse.js";

// An answer calls a few tools; an index beyond this is nonsense.
const MOST_TOOLS = 128;

function* toolPieces(pieces) {
  for (const piece of Array.isArray(pieces) ? pieces : [])
    yield {
      type: "tool",
      index: piece.index >= 0 && piece.index < MOST_TOOLS ? Math.floor(piece.index) : 0,
      name: piece.function?.name ?? "",
      arguments: piece.function?.arguments ?? "",
    };
}

function* happenings(chunk) {
  const choice = chunk.choices?.[0];
  const delta = choice?.delta ?? {};
  if (typeof delta.reasoning_content === "string" && delta.reasoning_content)
    yield {type: "reasoning", text: delta.reasoning_content};
  if (typeof delta.content === "string" && delta.content) yield {type: "text", text: delta.content};
  yield* toolPieces(delta.tool_calls);
  if (choice?.finish_reason) yield {type: "finish", reason: choice.finish_reason};
  if (chunk.usage) yield {type: "usage", usage: chunk.usage, timings: chunk.timings ?? null};
}

/// Yields {type: "text" | "reasoning", text}, {type: "tool", index, name, arguments} (pieces to be joined),
/// {type: "finish", reason} and {type: "usage", usage, timings}. Throws an ApiError when the server refuses, says an
/// error in the stream, or stops before [DONE]. The iterator's end or the signal closes the connection, which cancels
/// the work.
export async function* streamChat(body, signal) {
  const response =
      await postJson("/v1/chat/completions", {...body, stream: true, stream_options: {include_usage: true}}, signal);
  try {
    for await (const data of eventData(response.body)) {
      if (data === "[DONE]") return;
      let chunk;
      try {
        chunk = JSON.parse(data);
      } catch {
        throw new ApiError("server", "The server sent a piece of the answer that is not JSON.");
      }
      if (chunk.error) throw new ApiError("server", String(chunk.error.message ?? "The server stopped with an error."));
      yield* happenings(chunk);
    }
  } catch (error) {
    if (error instanceof ApiError || error.name === "AbortError") throw error;
    throw new ApiError("network", "The connection broke before the answer was whole.");
  }
  throw new ApiError("network", "The connection ended before the answer was whole.");
}
