// Before anything is painted: the theme, the type's size and the language that were chosen, so that nothing flashes. A classic
// script, since a module would run after the first paint.

(() => {
  const root = document.documentElement;
  try {
    const chosen = JSON.parse(localStorage.getItem("progress-relay") ?? "{}");
    if (chosen.theme) root.dataset.theme = chosen.theme;
    if (chosen.projector) root.dataset.projector = "";
    root.lang = chosen.language ?? (navigator.language.startsWith("ja") ? "ja" : "en");
  } catch {
    // Storage may be forbidden: the page then begins as the system has it.
  }
})();
