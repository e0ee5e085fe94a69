// The bar at the top: the class, the state of the connection, and how the page looks.

import { iconButton, segmentedControl, setPressed } from "../components/buttons.js";
import { api } from "../api.js";
import { h, s, setText, show } from "../dom.js";
import { icon } from "../icons.js";
import { languages } from "../i18n.js";
import { accountControl } from "./account.js";
import { alertsControl } from "./alerts.js";
import { classMenu } from "./class-menu.js";
import { ownNameControl } from "./own-name.js";
import { presenceList } from "./presence.js";

/**
 * @import { IconName } from "../icons.js"
 * @import { StateName } from "../connection.js"
 * @import { Theme } from "../preferences.js"
 * @import { Page, View } from "./list.js"
 */

/** @type {Record<Theme, IconName>} */
const THEME_ICONS = { auto: "auto", light: "sun", dark: "moon" };

/**
 * The states of the connection in which the relay answers and the class does not wait for it.
 *
 * @type {StateName[]}
 */
const LISTABLE = ["live", "earlier", "forbidden", "refused"];

/**
 * @param {Page} page
 * @returns {View}
 */
export default function header(page) {
  const { store, t } = page;
  const badge = connectionBadge(page);
  const account = accountControl(page);
  const picker = classPicker(page);
  const presence = presenceList(page);
  const own = ownNameControl(page);
  const menu = classMenu(page);
  const attendance = h("a", { class: "attendance", href: "#absent" });
  const settings = { class: "display-settings", role: "group", "aria-label": t.settings.label };
  const element = h(
    "header",
    { class: "page-header" },
    h("h1", { class: "brand" }, logo(), h("span", {}, t.product)),
    picker.element,
    menu.element,
    attendance,
    presence.element,
    own.element,
    badge.element,
    account.element,
    h(
      "div",
      settings,
      languageControl(page),
      alertsControl(page).element,
      themeButton(page),
      projectorButton(page),
    ),
  );
  return {
    element,
    slot: "top",
    drop: (files) => menu.drop(files),
    update(changes) {
      if (changes.all || changes.statuses) {
        const absent = store.absent().length;
        setText(attendance, t.attendance(store.rows.size, absent));
        show(attendance, absent > 0);
      }
      if (changes.all || changes.connection) badge.update();
      if (changes.all || changes.statuses || changes.connection) picker.update();
      if (changes.all || changes.me) account.update();
      if (changes.all || changes.presence) presence.update();
      if (changes.all || changes.presence || changes.me) {
        own.update();
        menu.update();
      }
    },
  };
}

function logo() {
  const dots = [
    [4, 20],
    [14, 8],
    [24, 20],
  ];
  return s(
    "svg",
    { class: "logo", viewBox: "0 0 28 28", "aria-hidden": "true" },
    s("path", { d: "M4 20c4 0 4-12 10-12s6 12 10 12" }),
    dots.map(([cx, cy]) => s("circle", { cx, cy, r: 2.6 })),
  );
}

/** @param {Page} page */
function connectionBadge(page) {
  const { t } = page;
  const text = h("span", { role: "status" });
  const element = h(
    "div",
    { class: "connection-badge", title: t.connection.label },
    h("span", { class: "connection-lamp", "aria-hidden": "true" }),
    text,
  );
  return {
    element,
    update() {
      const { name, since } = page.connection;
      element.dataset.state = name;
      if (name === "offline") {
        // By the database's clock, as every time on the page.
        const time = since === null ? null : t.clockMinute(page.clock.timeAt(since));
        setText(text, t.connection.offline(time));
      } else {
        setText(text, name === "earlier" ? t.lessons.badge : t.connection[name]);
      }
    },
  };
}

/** @param {Page} page */
function languageControl({ preferences, t }) {
  const options = languages.map(([code, name]) => ({
    value: code,
    text: code === "ja" ? "日本語" : code.toUpperCase(),
    name,
    lang: code,
  }));
  const control = segmentedControl(t.settings.language, options, (code) =>
    preferences.set("language", code),
  );
  control.update(preferences.get("language"));
  control.element.classList.add("language-control");
  return control.element;
}

/** @param {Page} page */
function themeButton({ preferences, t }) {
  const name = h("span", { class: "visually-hidden" });
  const button = h("button", { type: "button", class: "icon-button" });
  const draw = () => {
    const theme = preferences.get("theme");
    button.title = t.settings.theme[theme];
    setText(name, button.title);
    button.replaceChildren(icon(THEME_ICONS[theme]), name);
  };
  button.addEventListener("click", () => {
    preferences.set("theme", preferences.nextTheme());
    draw();
  });
  draw();
  return button;
}

/** @param {Page} page */
function projectorButton({ preferences, t }) {
  const button = iconButton("screen", t.settings.projector, () => {
    preferences.set("projector", !preferences.get("projector"));
    draw();
  });
  const draw = () => setPressed(button, preferences.get("projector"));
  draw();
  return button;
}

/**
 * Chooses the class. The list of the others is asked for once the class is shown, which does not
 * wait for it, and when someone is about to choose. The students of the one that is shown are
 * counted here.
 *
 * @param {Page} page
 */
function classPicker(page) {
  const { store, t, classId } = page;
  const choose = () => page.choose(select.value);
  const select = h("select", { id: "class-picker", on: { change: choose } });
  const shown = h("option", { value: classId }, classId);
  select.append(shown);
  let listed = "";
  let isListed = false;
  const refresh = async () => {
    try {
      const { classes } = await api.classes();
      isListed = true;
      select.removeAttribute("title");
      const ids = JSON.stringify(classes.map((other) => other.classId));
      // Replacing a list that someone chooses from would close it: new counts are not worth that.
      if (ids === listed && document.activeElement === select) return;
      listed = ids;
      const options = classes.map(({ classId: id, students }) =>
        id === classId
          ? shown
          : h("option", { value: id }, t.picker.option(id, t.students(students))),
      );
      if (!options.includes(shown)) options.unshift(shown);
      select.replaceChildren(...options);
      select.value = classId;
    } catch {
      select.title = t.picker.none;
    }
  };
  select.addEventListener("pointerenter", refresh);
  select.addEventListener("focus", refresh);
  /** The state of the connection in which the list was asked for. */
  let askedIn = page.connection;
  const element = h("label", { class: "class-picker" }, h("span", {}, t.picker.label), select);
  return {
    element,
    update() {
      const { isKnown, rows } = store;
      setText(shown, isKnown ? t.picker.option(classId, t.students(rows.size)) : classId);
      const { connection } = page;
      if (isListed || askedIn === connection || !LISTABLE.includes(connection.name)) return;
      askedIn = connection;
      refresh();
    },
  };
}
