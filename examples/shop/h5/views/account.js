// The account sheet: the development login for strangers, a name and the way out for guests.

import { countOrders } from "../api.js";
import { art, errorCard, h, toast, whilePending } from "../dom.js";
import { t } from "../i18n.js";
import { me, signInForDevelopment, signOut, visitor } from "../session.js";

const NAME_LENGTH_MAX = 24;

export const accountView = () => (visitor().anonymous ? signInForm() : guest());

function signInForm() {
  const input = h("input", {
    class: "input",
    id: "name",
    name: "name",
    type: "text",
    required: true,
    maxlength: String(NAME_LENGTH_MAX),
    autocomplete: "nickname",
    placeholder: t("name_hint"),
    autofocus: true,
  });
  const button = h("button", { type: "submit", class: "button button-wide" }, t("sign_in"));
  const trouble = h("div");
  const form = h(
    "form",
    { class: "account", novalidate: true },
    h("div", { class: "account-picture" }, art({ art: "sidepot", category: "table" })),
    h("h2", { class: "detail-title", id: "sheet-title" }, t("sign_in_title")),
    h(
      "div",
      { class: "notice notice-development" },
      h("p", { class: "notice-title" }, t("development_login")),
      h("p", {}, t("development_text")),
    ),
    h("label", { class: "field" }, h("span", { class: "field-name" }, t("name")), input),
    trouble,
    button,
  );

  async function enter() {
    const name = input.value.trim();
    input.setAttribute("aria-invalid", String(!name));
    if (!name) {
      trouble.replaceChildren(h("p", { class: "field-error", role: "alert" }, t("name_needed")));
      return input.focus();
    }
    try {
      await signInForDevelopment(name);
      toast(t("welcome", { name }));
      form.dispatchEvent(new Event("done", { bubbles: true }));
    } catch (error) {
      trouble.replaceChildren(errorCard(error));
    }
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    whilePending(button, enter);
  });
  return form;
}

function guest() {
  const facts = h("dl", { class: "facts" });
  const trouble = h("div");
  const button = h(
    "button",
    { type: "button", class: "button button-quiet button-wide", onclick: () => whilePending(button, leave) },
    t("sign_out"),
  );
  const sheet = h(
    "div",
    { class: "account" },
    h("div", { class: "account-picture" }, art({ art: "tenmoku", category: "ware" })),
    h("h2", { class: "detail-title", id: "sheet-title" }, t("welcome", { name: visitor().name })),
    h("p", { class: "row row-center" }, h("span", { class: "pill" }, t("development_login"))),
    facts,
    trouble,
    button,
  );

  // The page forgets the session whatever the server says, so a failure is for the log alone.
  async function leave() {
    await signOut().catch((error) => console.warn("cannot tell the server about the sign-out", error));
    toast(t("signed_out"));
    sheet.dispatchEvent(new Event("done", { bubbles: true }));
  }

  async function load() {
    try {
      const [{ sub }, orders] = await Promise.all([me(), countOrders()]);
      facts.replaceChildren(fact("user_id", h("code", {}, sub)), fact("order_count", String(orders)));
      trouble.replaceChildren();
    } catch (error) {
      trouble.replaceChildren(errorCard(error, load));
    }
  }

  load();
  return sheet;
}

const fact = (name, value) => h("div", {}, h("dt", {}, t(name)), h("dd", {}, value));
