// What the server serves, and whether it does yet. Listeners hear of every change as a "change" event.
import {ApiError, getJson, pause} from "./api.js";

class Server extends EventTarget {
  /// "loading" (503, asked again by itself), "ready", "key" (a key is needed), "away" (no answer or a fault)
  state = "loading";
  message = "Looking for the server";
  models = [];

  #round = 0;

  /// Asks until the models are known or it makes no sense to go on asking. A later call takes over from an earlier one.
  async refresh() {
    const round = ++this.#round;
    for (let seconds = 0.5; round === this.#round; seconds = Math.min(2 * seconds, 4)) {
      let next;
      try {
        const answer = await getJson("/v1/models");
        if (!Array.isArray(answer?.data)) throw new ApiError("server", "/v1/models: the answer has no data.");
        next = {state: "ready", message: "", models: answer.data.filter((m) => typeof m?.id === "string")};
      } catch (error) {
        const state = {unavailable: "loading", key: "key"}[error.kind] ?? "away";
        next = {state, message: error.message, models: this.models};
      }
      if (round !== this.#round) return;
      Object.assign(this, next);
      this.dispatchEvent(new Event("change"));
      if (this.state !== "loading") return;
      await pause(seconds);
    }
  }

  model(id) { return this.models.find((m) => m.id === id) ?? null; }

  /// The number of tokens that a text of this model may have, or null where the server does not say.
  context(id) {
    const n = this.model(id)?.meta?.n_ctx;
    return Number.isFinite(n) && n > 0 ? n : null;
  }
}

export const server = new Server();
