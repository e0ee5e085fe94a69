// Turns the sound and the notification of raised hands on and off, in the header.

import { iconButton, setPressed } from "../components/buttons.js";
import { h, setText, show } from "../dom.js";
import { permission } from "../alerts.js";

/** @import { Page } from "./list.js" */

/** @typedef {"handSound" | "handNotification"} AlertName */

/**
 * @param {Page} page
 */
export function alertsControl(page) {
  const { alerts, preferences, t } = page;
  const sound = checkbox(t.alerts.sound, () => choose("handSound", sound.input.checked));
  const notification = checkbox(t.alerts.notification, async () => {
    choose("handNotification", notification.input.checked);
    if (notification.input.checked && permission() === "default") {
      await Notification.requestPermission();
    }
    draw();
  });
  const hint = h("p", { class: "hint", role: "status" });
  const attempt = { click: () => alerts.tryOut(t.alerts.example).then(draw) };
  const tryOut = h("button", { type: "button", class: "secondary-button", on: attempt });
  setText(tryOut, t.alerts.tryOut);
  const close = { click: () => dialog.close() };
  const dialog = h(
    "dialog",
    { class: "page-dialog", "aria-label": t.alerts.label },
    h("h2", {}, t.alerts.label),
    sound.element,
    notification.element,
    hint,
    h("p", { class: "hint" }, t.alerts.awake),
    h(
      "div",
      { class: "dialog-buttons" },
      tryOut,
      h("button", { type: "button", class: "text-button", on: close }, t.account.close),
    ),
  );
  const button = iconButton("bell", t.alerts.label, () => {
    draw();
    dialog.showModal();
  });

  /**
   * @param {AlertName} name
   * @param {boolean} on
   */
  function choose(name, on) {
    preferences.set(name, on);
    draw();
  }

  function draw() {
    const state = permission();
    sound.input.checked = preferences.get("handSound");
    notification.input.checked = preferences.get("handNotification");
    notification.input.disabled = state === "missing";
    const isWanted = preferences.get("handNotification") || state === "missing";
    const words =
      state === "missing" ? t.alerts.missing : state === "denied" ? t.alerts.denied : "";
    show(hint, isWanted && words !== "");
    setText(hint, words);
    setPressed(button, preferences.get("handSound") || preferences.get("handNotification"));
  }

  draw();
  return { element: h("div", { class: "alerts-control" }, button, dialog) };
}

/**
 * @param {string} label
 * @param {() => void} change
 */
function checkbox(label, change) {
  const input = h("input", { type: "checkbox", on: { change } });
  return { element: h("label", { class: "checkbox" }, input, label), input };
}
