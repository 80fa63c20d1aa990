// Escape stops what a page does, wherever in it the focus is, also nowhere. Dialogs and the open sidebar have it first.

export function onEscape(page, act) {
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.defaultPrevented || page.hidden) return;
    if (document.querySelector("dialog[open], .sidebar.is-open")) return;
    act();
  });
}
