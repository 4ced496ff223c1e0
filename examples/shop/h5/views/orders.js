// My orders: the visitor's own documents of a PRIVATE collection.

import { cancelOrder, ordersPage } from "../api.js";
import { art, emptyState, errorCard, h, price, toast, whilePending } from "../dom.js";
import { dateTime, localized, t } from "../i18n.js";
import { visitor } from "../session.js";

/** `justPlaced` is the id of the order to point out, if the visitor comes from the cart. */
export function ordersView(justPlaced) {
  const body = h("div", { class: "stack" });
  const title = h("h1", { class: "page-title", id: "orders-title", tabindex: "-1" }, t("orders"));
  const view = h("section", { class: "page page-narrow", "aria-labelledby": "orders-title" }, title, body);
  if (visitor().anonymous) body.append(signInNotice());
  else load(body, justPlaced);
  return view;
}

async function load(body, justPlaced) {
  body.replaceChildren(h("p", { class: "soft", role: "status" }, t("loading")));
  try {
    const page = await ordersPage(0);
    body.replaceChildren(...(page.total ? list(page, justPlaced) : [noOrders()]));
  } catch (error) {
    body.replaceChildren(errorCard(error, () => load(body, justPlaced)));
  }
}

function list(first, justPlaced) {
  const orders = h(
    "ol",
    { class: "orders" },
    first.list.map((order) => orderCard(order, justPlaced)),
  );
  const trouble = h("div");
  const more = h(
    "button",
    {
      type: "button",
      class: "button button-quiet more",
      hidden: first.list.length >= first.total,
      onclick: () => whilePending(more, next),
    },
    t("orders_more"),
  );

  async function next() {
    try {
      const page = await ordersPage(orders.children.length);
      orders.append(...page.list.map((order) => orderCard(order)));
      trouble.replaceChildren();
      more.hidden = !page.list.length || orders.children.length >= page.total;
    } catch (error) {
      trouble.replaceChildren(errorCard(error));
    }
  }

  return [h("p", { class: "soft" }, t("orders_private")), orders, trouble, more];
}

function orderCard(order, justPlaced) {
  const isNew = order._id === justPlaced;
  const placed = order.created_at instanceof Date ? dateTime(order.created_at) : "";
  return h(
    "li",
    { class: `panel order${isNew ? " order-new" : ""}` },
    isNew && h("p", { class: "order-thanks", role: "alert" }, t("order_placed")),
    h(
      "div",
      { class: "order-head" },
      h(
        "div",
        {},
        h("p", { class: "order-date" }, placed),
        h("p", { class: "order-id soft" }, `${t("order_number")} ${order._id}`),
      ),
      status(order),
    ),
    h("ul", { class: "order-items" }, (order.items ?? []).map(item)),
    order.note && h("p", { class: "order-note" }, `${t("order_note")}${t("colon")}${order.note}`),
    h(
      "div",
      { class: "order-foot" },
      h("p", {}, h("span", { class: "soft" }, t("order_pieces", { n: order.quantity })), price(order.total_fen)),
      order.status === "placed" && cancelButton(order),
    ),
  );
}

const status = (order) =>
  h("span", { class: `status status-${order.status === "placed" ? "placed" : "other"}` }, t(`status_${order.status}`));

const item = (bought) =>
  h(
    "li",
    { class: "order-item" },
    art(bought),
    h("span", { class: "order-item-title" }, localized(bought, "title")),
    h("span", { class: "soft" }, `× ${bought.quantity}`),
    price(bought.price_fen * bought.quantity),
  );

/** Asks once more in place, then cancels; the card is drawn again from what the server now holds. */
function cancelButton(order) {
  let sure = false;
  const button = h("button", { type: "button", class: "button button-quiet button-small" }, t("cancel_order"));

  async function cancel() {
    const card = button.closest(".order");
    try {
      const cancelled = await cancelOrder(order._id);
      toast(t(cancelled ? "cancelled" : "cancel_late"));
      if (cancelled) card.replaceWith(orderCard({ ...order, status: "cancelled" }));
    } catch (error) {
      card.querySelector(".notice")?.remove();
      card.append(errorCard(error));
    }
  }

  button.addEventListener("click", () => {
    if (sure) return whilePending(button, cancel);
    sure = true;
    button.textContent = t("cancel_confirm");
    button.classList.add("button-warn");
  });
  return button;
}

const signInNotice = () =>
  emptyState(
    { art: "shoumei", category: "tea" },
    t("orders_sign_in"),
    t("orders_sign_in_text"),
    h("a", { class: "button", href: "#/account" }, t("sign_in")),
  );

const noOrders = () =>
  emptyState(
    { art: "giftbox", category: "gift" },
    t("orders_empty"),
    t("orders_empty_text"),
    h("a", { class: "button", href: "#/" }, t("go_shopping")),
  );
