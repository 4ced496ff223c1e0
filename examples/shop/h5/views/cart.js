// The basket and the order made from it.

import { goodsByIds, placeOrder } from "../api.js";
import { art, emptyState, errorCard, h, price, stepper, toast, whilePending } from "../dom.js";
import { localized, t } from "../i18n.js";
import { visitor } from "../session.js";
import {
  cartCount,
  cartLines,
  cartTotalFen,
  emptyCart,
  listen,
  putInCart,
  quantityMax,
  recall,
  refreshCart,
  remember,
} from "../store.js";
import { focusStep } from "./detail.js";

const NOTE_LENGTH_MAX = 100;

// The one cart view on the page, if any: it follows the cart and the session.
let current;
listen("cart", () => current?.draw());
listen("session", () => current?.draw());

export function cartView() {
  const lines = h("ul", { class: "lines" });
  const trouble = h("div", { class: "trouble" });
  const summary = h("div", { class: "panel summary" });
  const bar = h("div", { class: "order-bar" });
  const body = h("div", { class: "cart-columns" });
  const view = h(
    "section",
    { class: "page", "aria-labelledby": "cart-title" },
    h("h1", { class: "page-title", id: "cart-title", tabindex: "-1" }, t("nav_cart")),
    body,
  );
  const note = noteField();

  function draw() {
    if (!cartLines().length) return body.replaceChildren(emptyCartNotice());
    const place = focusedStep(lines);
    lines.replaceChildren(...cartLines().map(line));
    summary.replaceChildren(...sums());
    bar.replaceChildren(price(cartTotalFen()), orderButton(note.field, trouble));
    if (!body.contains(lines))
      body.replaceChildren(
        h("div", { class: "stack" }, trouble, lines, note.label),
        h("div", { class: "cart-side" }, summary, bar),
      );
    if (place) focusStep(lines.querySelector(`[data-goods="${CSS.escape(place.goods)}"]`) ?? lines, place.sign);
  }

  current = { draw };
  draw();
  checkGoods();
  return view;
}

/** Which stepper button has the keyboard, so that drawing again can give it back. */
function focusedStep(lines) {
  const button = document.activeElement?.closest?.("[data-step]");
  if (!button || !lines.contains(button)) return undefined;
  return { sign: button.dataset.step, goods: button.closest("[data-goods]").dataset.goods };
}

function line({ goods, quantity }) {
  const title = localized(goods, "title");
  return h(
    "li",
    { class: "line", "data-goods": goods._id },
    art(goods),
    h(
      "div",
      { class: "line-text" },
      h("h2", { class: "line-title" }, h("a", { href: `#/goods/${encodeURIComponent(goods._id)}` }, title)),
      h("p", { class: "soft" }, localized(goods, "unit")),
      price(goods.price_fen),
    ),
    stepper(title, quantity, quantityMax(goods), (wished) => putInCart(goods, wished)),
  );
}

function noteField() {
  const save = (event) => remember("note", event.target.value);
  const field = h("textarea", {
    class: "input",
    id: "note",
    rows: "2",
    maxlength: String(NOTE_LENGTH_MAX),
    placeholder: t("note_hint"),
    oninput: save,
  });
  field.value = recall("note") ?? "";
  return { field, label: h("label", { class: "field" }, h("span", { class: "field-name" }, t("note")), field) };
}

const sums = () => [
  h("p", { class: "sum" }, h("span", {}, t("pieces")), h("span", {}, String(cartCount()))),
  h("p", { class: "sum sum-total" }, h("span", {}, t("total")), price(cartTotalFen(), "price-large")),
  h("p", { class: "soft small" }, t("total_hint")),
];

function orderButton(note, trouble) {
  if (visitor().anonymous) return h("a", { class: "button", href: "#/account" }, t("sign_in_to_order"));
  const button = h("button", { type: "button", class: "button" }, t("place_order"));
  const order = () =>
    whilePending(button, async () => {
      button.textContent = t("placing");
      trouble.replaceChildren();
      await submit(note).catch((error) => {
        trouble.replaceChildren(...orderTrouble(error, order));
        trouble.scrollIntoView({ block: "center" });
      });
      button.textContent = t("place_order");
    });
  button.addEventListener("click", order);
  return button;
}

/** An order whose fate is unknown is safe to send again, and the buyer should know. */
function orderTrouble(error, retry) {
  console.error("cannot place the order", error);
  const uncertain = error.transient ? [h("p", { class: "notice" }, t("order_uncertain"))] : [];
  return [...uncertain, errorCard(error, error.transient && retry)];
}

async function submit(note) {
  const order = {
    items: cartLines().map(orderItem),
    quantity: cartCount(),
    total_fen: cartTotalFen(),
    note: note.value.trim(),
  };
  const id = await placeOrder(order, idempotencyKey(order));
  remember("pending", undefined);
  remember("note", undefined);
  current = undefined; // the cart is about to empty; the page is about to change
  emptyCart();
  location.hash = `#/orders/${encodeURIComponent(id)}`;
}

// Titles and prices are copied: an order tells what was bought at the time, whatever the goods become later.
const orderItem = ({ goods, quantity }) => ({
  goods_id: goods._id,
  title: goods.title,
  title_en: goods.title_en ?? "",
  art: goods.art,
  category: goods.category,
  price_fen: goods.price_fen,
  quantity,
});

/** One key per buyer and order content, kept over retries and reloads until the order is known to be stored. */
function idempotencyKey(order) {
  const content = JSON.stringify([visitor().name, order]);
  const pending = recall("pending");
  if (pending?.content === content) return pending.key;
  const key = randomKey();
  remember("pending", { content, key });
  return key;
}

// crypto.randomUUID needs a secure context; a phone on the same network often has none.
function randomKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Prices and stock may have moved since things were put in. A failure is harmless here: ordering will tell. */
async function checkGoods() {
  const ids = cartLines().map((line) => line.goods._id);
  if (!ids.length) return;
  try {
    if (refreshCart(await goodsByIds(ids))) toast(t("cart_changed"));
  } catch (error) {
    console.warn("cannot check the cart against the goods", error);
  }
}

function emptyCartNotice() {
  return emptyState(
    { art: "gaiwan", category: "ware" },
    t("cart_empty"),
    t("cart_empty_text"),
    h("a", { class: "button", href: "#/" }, t("go_shopping")),
  );
}
