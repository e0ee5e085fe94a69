// The sign-in page. A one-time link has its code behind the `#`, where no server sees it: the page
// moves the code into the form, and takes it out of the address and the history.

const form = document.querySelector("form");
const code = form?.querySelector("input[name=code]");
const token = form?.querySelector("input[name=token]");

if (form && code instanceof HTMLInputElement && token instanceof HTMLInputElement) {
  const given = location.hash.slice(1);
  if (given !== "") {
    history.replaceState(null, "", location.pathname + location.search);
    code.disabled = false;
    code.value = given;
    token.disabled = true;
    form.querySelector(".sign-in-token")?.setAttribute("hidden", "");
    form.querySelector(".sign-in-by-link")?.removeAttribute("hidden");
    form.querySelector("button")?.focus();
  }
}
