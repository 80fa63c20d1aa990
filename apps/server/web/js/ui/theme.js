// Light, dark, or as the system says. boot.js has set the first; this changes it later.

const KEY = "nibble.theme";
const system = matchMedia("(prefers-color-scheme: dark)");

function stored() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

function apply() {
  const choice = stored();
  const dark = choice === "dark" || (choice !== "light" && system.matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  document.dispatchEvent(new Event("themechange"));
}

export const isDark = () => document.documentElement.dataset.theme === "dark";

/// The other one of light and dark. Where that is what the system says, the system is followed again.
export function toggleTheme() {
  const dark = !isDark();
  try {
    if (dark === system.matches)
      localStorage.removeItem(KEY);
    else
      localStorage.setItem(KEY, dark ? "dark" : "light");
  } catch {
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    return;
  }
  apply();
}

system.addEventListener("change", apply);
addEventListener("storage", (event) => event.key === KEY && apply());
