// Building page elements without a framework: one function that makes an element, and the few shapes every view shares.
// Text always enters as text nodes, so nothing that comes from the server can become markup.

import { t } from "./i18n.js";

const SVG = "http://www.w3.org/2000/svg";

/** Makes an element. `on…` properties are listeners, booleans switch attributes, the rest are attributes. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

function sprite(id, className) {
  const svg = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `art.svg#${id}`);
  svg.setAttribute("class", className);
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

export const icon = (name) => sprite(`icon-${name}`, "icon");

/** The picture of a piece of goods on its category's tint. Ids come from documents, so anything else draws a gaiwan. */
export function art(goods) {
  const id = /^[a-z]{1,20}$/.test(goods.art ?? "") ? goods.art : "gaiwan";
  const tint = /^[a-z]{1,20}$/.test(goods.category ?? "") ? goods.category : "ware";
  return h("span", { class: `art art-${tint}` }, sprite(id, "art-drawing"));
}

/** Money is an integer number of fen everywhere; only this function knows about the decimal point. */
export function yuan(fen) {
  const sign = fen < 0 ? "-" : "";
  const digits = String(Math.abs(fen)).padStart(3, "0");
  return { whole: sign + digits.slice(0, -2), cents: digits.slice(-2) };
}

export function price(fen, className = "") {
  const { whole, cents } = yuan(fen);
  return h(
    "span",
    { class: `price ${className}`.trim() },
    h("span", { class: "price-mark" }, "¥"),
    whole,
    h("span", { class: "price-cents" }, `.${cents}`),
  );
}

/** A minus–number–plus control. `change` gets the wished quantity; the caller decides and draws again. */
export function stepper(name, quantity, most, change) {
  const button = (sign, label, wished, off) =>
    h(
      "button",
      {
        type: "button",
        class: "step",
        "aria-label": `${label}${t("colon")}${name}`,
        "data-step": sign,
        disabled: off,
        onclick: () => change(wished),
      },
      icon(sign),
    );
  return h(
    "div",
    { class: "stepper", role: "group", "aria-label": `${t("quantity")}${t("colon")}${name}` },
    button("minus", t("less"), quantity - 1, quantity <= 0),
    h("output", { class: "step-count" }, String(quantity)),
    button("plus", t("more_of"), quantity + 1, quantity >= most),
  );
}

/** What went wrong, what to do next, and the code and request id an operator can search the logs for. */
export function errorCard(error, retry) {
  const facts = [error.code, error.requestId && `${t("request_id")} ${error.requestId}`].filter(Boolean).join(" · ");
  return h(
    "div",
    { class: "notice notice-error", role: "alert" },
    h("p", { class: "notice-title" }, t(`error_${error.kind ?? "client"}`)),
    h("p", {}, t(`next_${error.kind ?? "client"}`)),
    error.kind === "rejected" && error.message && h("p", {}, error.message),
    facts && h("p", { class: "notice-facts" }, facts),
    h(
      "div",
      { class: "row" },
      error.kind === "signed_out" && h("a", { class: "button button-small", href: "#/account" }, t("sign_in")),
      retry && h("button", { type: "button", class: "button button-quiet button-small", onclick: retry }, t("retry")),
    ),
  );
}

export function emptyState(goods, title, text, action) {
  return h(
    "div",
    { class: "empty" },
    art(goods),
    h("p", { class: "empty-title" }, title),
    h("p", { class: "soft" }, text),
    action,
  );
}

/** Disables a button and says so to assistive technology while `work` runs; a second press meanwhile does nothing. */
export async function whilePending(button, work) {
  if (button.getAttribute("aria-busy") === "true") return;
  button.setAttribute("aria-busy", "true");
  button.disabled = true;
  try {
    await work();
  } finally {
    button.removeAttribute("aria-busy");
    button.disabled = false;
  }
}

const TOAST_MS = 3200;
let toastTimer;

/** A short sentence at the edge of the screen, also read out. */
export function toast(text) {
  const place = document.getElementById("toast");
  place.textContent = text;
  place.classList.add("shown");
  clearTimeout(toastTimer);
  toastTimer = setTimeout(hideToast, TOAST_MS);
}

export const hideToast = () => document.getElementById("toast").classList.remove("shown");
