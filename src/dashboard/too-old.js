// Tells the owner of a browser that is too old for the page, in words. This is a classic script in
// the JavaScript of 2009, which every browser reads: the page's modules would fail without a word.

/* eslint-disable no-var */
(function () {
  var isEnough =
    "noModule" in document.createElement("script") &&
    typeof AbortSignal !== "undefined" &&
    "any" in AbortSignal &&
    "timeout" in AbortSignal &&
    "hasOwn" in Object &&
    typeof BroadcastChannel !== "undefined" &&
    CSS.supports("color", "light-dark(red, red)");
  if (isEnough) return;
  document.documentElement.setAttribute("data-too-old", "");
  document.addEventListener("DOMContentLoaded", function () {
    var text = document.createElement("p");
    text.textContent =
      "This browser is too old for the dashboard, which needs one of 2024 or newer: update it, " +
      "or use another one. このブラウザーは古いため、ダッシュボードを表示できません。" +
      "2024年以降のブラウザーに更新するか、別のブラウザーをお使いください。";
    document.body.appendChild(text);
  });
})();
