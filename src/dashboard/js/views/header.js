// The bar at the top: which class, how the connection is, how the page looks.

import { api } from "../api.js";
import { bdi, h, s, setAttribute } from "../dom.js";
import { icon } from "../icons.js";
import { languages } from "../i18n.js";

export function header(page, badge) {
  const { t, preferences } = page;
  const logo = s(
    "svg",
    { class: "logo", viewBox: "0 0 28 28", "aria-hidden": "true" },
    s("path", { d: "M4 20c4 0 4-12 10-12s6 12 10 12" }),
    ...[[4, 20], [14, 8], [24, 20]].map(([cx, cy]) => s("circle", { cx, cy, r: 2.6 })),
  );
  const projector = h(
    "button",
    {
      type: "button",
      class: "icon-button",
      title: t.settings.projector,
      "aria-label": t.settings.projector,
      "aria-pressed": String(preferences.projector),
      on: {
        click: () => {
          preferences.set("projector", !preferences.projector);
          setAttribute(projector, "aria-pressed", String(preferences.projector));
        },
      },
    },
    icon("screen"),
  );
  const symbol = { auto: "auto", light: "sun", dark: "moon" };
  const themed = () => [icon(symbol[preferences.theme]), h("span", { class: "sr" }, t.settings.theme[preferences.theme])];
  const theme = h("button", { type: "button", class: "icon-button", title: t.settings.theme[preferences.theme] }, themed());
  theme.addEventListener("click", () => {
    preferences.set("theme", preferences.nextTheme());
    theme.replaceChildren(...themed());
    theme.title = t.settings.theme[preferences.theme];
  });
  const language = h(
    "div",
    { class: "segments", role: "group", "aria-label": t.settings.language },
    languages.map(([code, name]) =>
      h(
        "button",
        {
          type: "button",
          lang: code,
          class: "segment-button",
          "aria-pressed": String(code === preferences.language),
          "aria-label": name,
          title: name,
          on: { click: () => preferences.set("language", code) },
        },
        code === "ja" ? "日本語" : code.toUpperCase(),
      ),
    ),
  );
  return h(
    "header",
    { class: "top" },
    h("h1", { class: "brand" }, logo, h("span", {}, t.product)),
    picker(page),
    badge.element,
    h("div", { class: "settings", role: "group", "aria-label": t.settings.label }, language, theme, projector),
  );
}

/** Which class. The others are asked for when someone is about to choose. */
function picker(page) {
  const { t, classId } = page;
  const select = h("select", { id: "class-picker", on: { change: () => page.choose(select.value) } });
  const option = (id, text) => h("option", { value: id }, text);
  select.append(option(classId, classId));
  let listed = "";
  const refresh = async () => {
    try {
      const { classes } = await api.classes();
      const ids = JSON.stringify(classes.map((other) => other.classId));
      // A list that someone is choosing from is not pulled away for the sake of its counts.
      if (ids === listed && document.activeElement === select) return;
      listed = ids;
      const known = classes.some((other) => other.classId === classId);
      const options = classes.map((other) => option(other.classId, t.picker.option(other.classId, t.students(other.students))));
      if (!known) options.unshift(option(classId, classId));
      select.replaceChildren(...options);
      select.value = classId;
    } catch {
      select.title = t.picker.none;
    }
  };
  select.addEventListener("pointerenter", refresh);
  select.addEventListener("focus", refresh);
  refresh();
  return h("label", { class: "picker" }, h("span", {}, t.picker.label), select);
}

/** What is shown instead of an empty class: how to fill it, and where else to look. */
export function emptyClass(page) {
  const { t, classId } = page;
  const others = h("ul", { class: "others" });
  const heading = h("p", { hidden: true }, t.empty.other);
  const url = new URL("student-progress", document.baseURI);
  if (classId !== "default") url.searchParams.set("class", classId);
  const element = h(
    "section",
    { class: "empty-class", hidden: true },
    h("div", { class: "waiting", "aria-hidden": "true" }, h("span"), h("span"), h("span")),
    h("h2", {}, t.empty.heading(classId)),
    h("p", {}, t.empty.text),
    h("code", { class: "url" }, url.href),
    heading,
    others,
  );
  api.classes().then(({ classes }) => {
    const shown = classes.filter((other) => other.classId !== classId && other.students > 0).slice(0, 6);
    heading.hidden = shown.length === 0;
    for (const other of shown) {
      const choose = { click: () => page.choose(other.classId) };
      others.append(h("li", {}, h("button", { type: "button", class: "chip", on: choose }, bdi(other.classId), ` · ${t.students(other.students)}`)));
    }
  }, () => {});
  return element;
}
