// IndexedDB as promises, for one store of objects with an id. Where the browser withholds it (private windows of some),
// a map in memory stands in and kept is false.

const NAME = "nibble";
const STORE = "conversations";

function open() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, {keyPath: "id"});
    request.onsuccess = () => {
      // Another tab may want to upgrade later.
      request.result.onversionchange = () => request.result.close();
      resolve(request.result);
    };
    request.onerror = () => reject(request.error);
    request.onblocked = () => reject(new Error("another tab holds the store"));
  });
}

export class Database {
  kept = true;
  #db = null;
  #memory = new Map();

  async open() {
    try {
      this.#db = await open();
    } catch (error) {
      console.warn("conversations are not kept:", error);
      this.kept = false;
    }
  }

  /// Done when it is on disk; fails with a QuotaExceededError when there is no room.
  #run(mode, action) {
    return new Promise((resolve, reject) => {
      const transaction = this.#db.transaction(STORE, mode, {durability: "relaxed"});
      const request = action(transaction.objectStore(STORE));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = () => reject(transaction.error ?? request.error);
      transaction.onerror = () => reject(transaction.error ?? request.error);
    });
  }

  async all() { return this.#db ? this.#run("readonly", (store) => store.getAll()) : [...this.#memory.values()]; }

  async get(id) { return this.#db ? this.#run("readonly", (store) => store.get(id)) : this.#memory.get(id); }

  async put(object) {
    if (this.#db)
      await this.#run("readwrite", (store) => store.put(object));
    else
      this.#memory.set(object.id, structuredClone(object));
  }

  async delete(id) {
    if (this.#db)
      await this.#run("readwrite", (store) => store.delete(id));
    else
      this.#memory.delete(id);
  }
}
