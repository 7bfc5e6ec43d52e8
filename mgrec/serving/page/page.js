// The page works without this: every form and link is an ordinary address. With it, what a form or
// link answers takes the place of the content, so that nothing jumps and nothing is lost.
"use strict";

const content = () => document.getElementById("content");
const status = document.getElementById("status");
const dialog = document.getElementById("why");
let latest = 0;

async function fetched(address) {
  const answer = await fetch(address, { headers: { Accept: "text/html" } });
  const text = await answer.text();
  const page = new DOMParser().parseFromString(text, "text/html").getElementById("content");
  if (page) return page;
  let line = `The server answered ${answer.status}.`;
  try { line = JSON.parse(text).error; } catch { /* not one of our errors: the status says it */ }
  throw new Error(line);
}

async function show(address, { push = true, focus = null } = {}) {
  const mine = ++latest;
  content().setAttribute("aria-busy", "true");
  try {
    const page = await fetched(address);
    if (mine !== latest) return; // a later click has overtaken this answer
    const strip = document.querySelector(".strip");
    const left = strip ? strip.scrollLeft : 0;
    content().replaceWith(page);
    const fresh = document.querySelector(".strip");
    if (fresh) fresh.scrollLeft = focus && /^(add|take)-/.test(focus) ? fresh.scrollWidth : left;
    if (push) history.pushState(null, "", page.dataset.address || address);
    const target = focus && document.getElementById(focus);
    if (target) target.focus({ preventScroll: true });
    const cards = page.querySelectorAll(".card").length;
    const wrong = page.querySelector(".wrong");
    status.textContent = wrong ? wrong.textContent : `${cards} recommendations`;
  } catch (error) {
    if (mine !== latest) return;
    status.textContent = error.message;
    content().removeAttribute("aria-busy");
    location.assign(address); // the server's own word
  }
}

function address(form, button) {
  const fields = new FormData(form, button);
  const found = new URLSearchParams();
  for (const [name, value] of fields) if (value !== "") found.append(name, value);
  return `${new URL(form.action).pathname}?${found}`;
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "get" || form.action.endsWith("/codes") || form.action.endsWith("/run")) return;
  event.preventDefault();
  const button = event.submitter;
  const focus = button && button.id ? button.id : document.activeElement && document.activeElement.id;
  show(address(form, button), { focus });
});

document.addEventListener("change", (event) => {
  if (event.target.matches("select[form=make], input[type=checkbox][form=make]")) {
    show(address(document.getElementById("make"), null), { focus: event.target.id });
  }
});

document.addEventListener("click", async (event) => {
  const link = event.target.closest("a");
  if (!link || event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
  if (link.matches(".why")) {
    event.preventDefault();
    try {
      const page = await fetched(link.href);
      dialog.querySelector("div").replaceChildren(...page.childNodes);
      dialog.showModal();
    } catch (error) {
      dialog.querySelector("div").textContent = error.message;
      dialog.showModal();
    }
  } else if (link.pathname === "/" && location.pathname === "/" && link.search && link.origin === location.origin) {
    event.preventDefault();
    show(link.href, { focus: link.id });
  }
});

// Only addresses of this one page are ever pushed.
addEventListener("popstate", () => show(location.href, { push: false }));
