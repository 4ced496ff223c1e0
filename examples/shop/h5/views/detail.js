// One piece of goods, as a sheet over the page below.

import { goodsById } from "../api.js";
import { art, emptyState, errorCard, h, price, stepper, toast } from "../dom.js";
import { localized, t } from "../i18n.js";
import { putInCart, quantityMax, quantityOf } from "../store.js";

export function detailView(id) {
  const sheet = h(
    "div",
    { class: "detail", "aria-busy": "true" },
    h("p", { class: "soft", role: "status" }, t("loading")),
  );

  async function load() {
    try {
      const goods = await goodsById(id);
      sheet.replaceChildren(...(goods ? [picture(goods), words(goods)] : [gone()]));
    } catch (error) {
      sheet.replaceChildren(errorCard(error, load));
    }
    sheet.removeAttribute("aria-busy");
  }

  load();
  return sheet;
}

const picture = (goods) => h("div", { class: "detail-picture" }, art(goods));

const gone = () => emptyState({ art: "travelset", category: "gift" }, t("goods_gone"), t("shelf_empty_text"));

function words(goods) {
  const tags = localized(goods, "tags") || [];
  return h(
    "div",
    { class: "detail-words" },
    h(
      "ul",
      { class: "tags" },
      tags.map((tag) => h("li", {}, tag)),
    ),
    h("h2", { class: "detail-title", id: "sheet-title" }, localized(goods, "title")),
    h("p", { class: "detail-summary" }, localized(goods, "summary")),
    h(
      "p",
      { class: "detail-price" },
      price(goods.price_fen, "price-large"),
      h("span", { class: "soft" }, t("sold", { n: goods.sold ?? 0 })),
    ),
    h("p", { class: "detail-text" }, localized(goods, "description")),
    h(
      "dl",
      { class: "facts" },
      fact("unit", localized(goods, "unit")),
      fact("origin", localized(goods, "origin")),
      fact("stock", stockText(goods)),
    ),
    buyBar(goods),
  );
}

const fact = (name, value) => h("div", {}, h("dt", {}, t(name)), h("dd", {}, value));

const stockText = (goods) => (goods.stock > 0 ? t("goods_count", { n: goods.stock }) : t("sold_out"));

function buyBar(goods) {
  const most = quantityMax(goods);
  const bar = h("div", { class: "buy-bar" });
  let wished = Math.min(Math.max(1, quantityOf(goods._id)), most);

  function draw(focus) {
    const choose = (quantity) => {
      const sign = quantity > wished ? "plus" : "minus";
      wished = Math.max(1, quantity);
      draw(sign);
    };
    if (!most) return bar.replaceChildren(button());
    bar.replaceChildren(stepper(localized(goods, "title"), wished, most, choose), button());
    bar.querySelector('[data-step="minus"]').disabled = wished <= 1; // taking things out is the basket's business
    focusStep(bar, focus);
  }

  const button = () =>
    h(
      "button",
      { type: "button", class: "button", disabled: most === 0, onclick: put },
      most ? t("add") : t("sold_out"),
    );

  const put = () => {
    putInCart(goods, wished);
    toast(t("added", { name: localized(goods, "title") }));
    bar.dispatchEvent(new Event("done", { bubbles: true }));
  };

  draw();
  return bar;
}

/** Drawing a stepper again must not lose the keyboard's place; a button that went dead hands over to its neighbour. */
export function focusStep(place, sign) {
  if (!sign) return;
  const button =
    place.querySelector(`[data-step="${sign}"]:not(:disabled)`) ?? place.querySelector("[data-step]:not(:disabled)");
  button?.focus();
}
