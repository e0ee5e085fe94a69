// A sentence across the page when it is not current.

import { h, setAttribute, setText, show } from "../dom.js";
import { isFramed, signInAddress } from "../me.js";

/**
 * @import { Text } from "../i18n.js"
 * @import { Page, View } from "./list.js"
 */

/** In these states the page says what is wrong. In the others the badge in the header suffices. */
const SHOWN = ["offline", "resynchronising", "signedOut", "forbidden", "refused"];

/**
 * @param {Page} page
 * @returns {View}
 */
export default function connectionBanner(page) {
  const { t } = page;
  const text = h("span");
  const nextAttempt = h("span", { class: "next-attempt" });
  const retry = { type: "button", class: "primary-button", on: { click: page.retry } };
  const button = h("button", retry, t.connection.retry);
  const signIn = h("a", { class: "primary-button sign-in-link" }, t.connection.signIn);
  // The frame goes on by itself once somebody has signed in in the other tab.
  if (isFramed()) signIn.target = "_blank";
  const element = h(
    "div",
    { class: "connection-banner", hidden: true },
    h("p", {}, text, " ", nextAttempt),
    button,
    signIn,
  );

  function draw() {
    const { name, retryAt, login, isByStream } = page.connection;
    // That there is no such lesson is said where the lesson is named: earlier-lesson.js.
    const isOfLesson = name === "refused" && page.lessonId !== null;
    const isWrong = SHOWN.includes(name) && !isOfLesson;
    show(element, isWrong || isByStream);
    element.dataset.state = isWrong ? name : "stream";
    setText(text, isWrong ? explain(page, t) : isByStream ? t.connection.byStream : "");
    show(button, retryAt !== null);
    show(signIn, login !== null);
    // A proxy asks for the sign-in once the page is loaded again: with a `#` it would not be.
    // In a frame of another page the sign-in page does not show.
    setAttribute(signIn, "target", window.top === window ? null : "_blank");
    if (login !== null)
      signIn.href =
        login === "relay" ? signInAddress(location) : location.pathname + location.search;
    drawNextAttempt();
  }

  function drawNextAttempt() {
    const { retryAt } = page.connection;
    const seconds = retryAt === null ? null : Math.ceil((retryAt - performance.now()) / 1000);
    if (seconds === null) setText(nextAttempt, "");
    else if (seconds > 0) setText(nextAttempt, t.connection.retryIn(seconds));
    else setText(nextAttempt, t.connection.retrying);
  }

  return {
    element,
    slot: "top",
    update(changes) {
      if (changes.all || changes.connection) draw();
      else if (changes.tick) drawNextAttempt();
    },
  };
}

/**
 * @param {Page} page
 * @param {Text} t
 */
function explain({ connection, classId, clock }, t) {
  const { name, since, reason, isBySettings, isSignInAway } = connection;
  const time = since === null ? null : t.clockMinute(clock.timeAt(since));
  if (name === "signedOut") return t.connection.signedOutWhy(time);
  if (name === "forbidden") return t.connection.forbiddenWhy(classId);
  if (name === "refused") return t.connection.refusedWhy(reason ?? "");
  if (name === "resynchronising") {
    return isBySettings ? t.connection.bySettings : t.connection.resync;
  }
  if (isSignInAway) return t.connection.signInAway;
  if (time !== null) return t.connection.asOf(time);
  return reason === null ? t.connection.unreached : `${t.connection.unreached} (${reason})`;
}
