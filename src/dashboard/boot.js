// Applies the theme, the size of type and the language that were chosen, before the first paint:
// otherwise the page would flash. This is a classic script, since a module runs after that paint.

(() => {
  const root = document.documentElement;
  try {
    const chosen = JSON.parse(localStorage.getItem("progress-relay") ?? "{}");
    if (chosen.theme) root.dataset.theme = chosen.theme;
    if (chosen.projector) root.dataset.projector = "";
    root.lang = chosen.language ?? (navigator.language.startsWith("ja") ? "ja" : "en");
  } catch {
    // Storage may be forbidden: the page then begins with the system's own.
  }
})();
