// Who is signed in, in the header: the way out, and a link for another screen.

import { iconButton } from "../components/buttons.js";
import { api } from "../api.js";
import { bdi, h, setAttribute, setText, show } from "../dom.js";
import { signInAddress } from "../me.js";

/** @import { Page } from "./list.js" */

/**
 * @param {Page} page
 */
export function accountControl(page) {
  const { me, t } = page;
  const name = bdi("", { class: "account-name" });
  const linkDialog = dialogOfLink(page);
  const link = iconButton("link", t.account.link, () => linkDialog.open());
  const signOut = h(
    "button",
    { type: "button", class: "text-button sign-out", on: { click: leave } },
    t.account.signOut,
  );
  const failed = h("p", { class: "dialog-error", role: "alert", hidden: true });
  setText(failed, t.account.signOutFailed);
  async function leave() {
    show(failed, false);
    show(failed, !(await me.signOut()));
  }
  const element = h(
    "div",
    { class: "account", role: "group", "aria-label": t.account.label },
    name,
    link,
    signOut,
    failed,
    linkDialog.element,
  );
  return {
    element,
    update() {
      const { caller } = me;
      show(element, caller !== null);
      if (caller === null) return;
      setText(name, caller.name ?? caller.subject);
      setAttribute(name, "title", `${caller.subject} · ${t.account.role(caller.role)}`);
    },
  };
}

/**
 * The link is made when the dialog opens, since it is good for some minutes only.
 *
 * @param {Page} page
 */
function dialogOfLink({ t }) {
  const address = h("input", {
    class: "link-address",
    readonly: true,
    "aria-label": t.account.link,
    on: { focus: () => address.select() },
  });
  const hint = h("p", { class: "hint", role: "status" });
  const copied = () => setText(hint, t.account.copied);
  const copy = h(
    "button",
    {
      type: "button",
      class: "primary-button",
      // Without a secure connection browsers give no clipboard: the address is there to be copied.
      on: { click: () => navigator.clipboard?.writeText(address.value).then(copied, () => {}) },
    },
    t.account.copy,
  );
  const close = h(
    "button",
    { type: "button", class: "text-button", on: { click: () => element.close() } },
    t.account.close,
  );
  const element = h(
    "dialog",
    { class: "page-dialog link-dialog", "aria-label": t.account.link },
    h("h2", {}, t.account.link),
    address,
    hint,
    h("div", { class: "dialog-buttons" }, copy, close),
  );
  return {
    element,
    async open() {
      address.value = "";
      setText(hint, t.account.making);
      show(copy, false);
      element.showModal();
      try {
        const { path, validForSeconds } = await api.link();
        const url = new URL(path, document.baseURI);
        url.search = new URL(signInAddress(location), document.baseURI).search;
        address.value = url.href;
        setText(hint, t.account.hint(Math.floor(validForSeconds / 60)));
        show(copy, navigator.clipboard !== undefined);
        address.focus();
      } catch {
        setText(hint, t.account.failed);
      }
    },
  };
}
