// Applies the theme, the size of type and the language that were chosen, before the first paint:
// otherwise the page would flash. Removes a token from the address. This is a classic script, since
// a module runs after that paint.

(() => {
  // The page takes no token from its address, since a link could then sign a browser in as somebody
  // else. One that stands there must not stay in the history, nor go on to the sign-in page.
  const address = new URL(location.href);
  if (address.searchParams.has("token")) {
    address.searchParams.delete("token");
    history.replaceState(null, "", address);
  }
  const root = document.documentElement;
  root.lang = navigator.language.startsWith("ja") ? "ja" : "en";
  try {
    const chosen = JSON.parse(localStorage.getItem("progress-relay") ?? "{}") ?? {};
    if (["light", "dark"].includes(chosen.theme)) root.dataset.theme = chosen.theme;
    if (chosen.projector === true) root.dataset.projector = "";
    if (["en", "ja"].includes(chosen.language)) root.lang = chosen.language;
  } catch {
    // Storage may be forbidden, or hold something else: the page begins with the system's own.
  }
  // The first use of each takes several milliseconds: here the page's script is still on its way.
  Intl.NumberFormat(root.lang).format(0);
  Intl.DateTimeFormat(root.lang).format(0);
})();
