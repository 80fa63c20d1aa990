// Runs before the first paint, so that the page never shows in the wrong theme. The rest of themes is in ui/theme.js.
(() => {
  let choice = null;
  try {
    choice = localStorage.getItem("nibble.theme");
  } catch {
    // Storage is off: the system's theme it is.
  }
  const dark = choice === "dark" || (choice !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
})();
