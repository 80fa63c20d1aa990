// What a screen reader is told of that the page shows elsewhere. A few whole sentences, never each piece of a stream.

/// The same words twice are said twice: the region is emptied first.
export function announce(text) {
  const region = document.getElementById("announcer");
  region.textContent = "";
  setTimeout(() => (region.textContent = text), 60);
}
