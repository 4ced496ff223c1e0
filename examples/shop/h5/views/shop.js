// The shelves: categories, sorting, and a grid of goods that grows page by page.

import { GOODS_PAGE, SORT_NAMES, categories, goodsPage } from "../api.js";
import { art, emptyState, errorCard, h, icon, price, toast, whilePending } from "../dom.js";
import { localized, t } from "../i18n.js";
import { putInCart, quantityMax, quantityOf } from "../store.js";

// Stock at or below this is worth a hint.
const FEW = 10;

// Survives leaving the page and coming back, and a change of language; not a reload.
const wish = { category: "", sort: "featured" };
let known = [];

export function shopView() {
  const chips = h("div", { class: "chips", role: "group", "aria-label": t("categories") });
  const summary = h("p", { class: "soft" });
  const count = h("p", { class: "soft", role: "status" });
  const shelf = h("div", { class: "shelf" });
  const head = h("div", { class: "shelf-head" }, h("div", { class: "shelf-words" }, summary, count), sortMenu(load));
  const view = h("section", { class: "page", "aria-label": t("nav_shop") }, chips, head, shelf);

  function drawFilters() {
    const all = { _id: "", name: t("all"), summary: t("all_summary") };
    const choose = (id) => {
      wish.category = id;
      drawFilters();
      load();
    };
    const focused = chips.contains(document.activeElement);
    chips.replaceChildren(...[all, ...known].map((category) => chip(category, choose)));
    if (focused) chips.querySelector('[aria-pressed="true"]').focus();
    summary.textContent = localized(
      [all, ...known].find((category) => category._id === wish.category) ?? all,
      "summary",
    );
  }

  async function load() {
    shelf.setAttribute("aria-busy", "true");
    const asked = { ...wish };
    try {
      const page = await goodsPage({ ...asked, offset: 0 });
      if (isStale(asked)) return; // a later choice is on its way
      count.textContent = t("goods_count", { n: page.total });
      shelf.replaceChildren(page.total ? shelves(page, asked) : emptyShelf());
    } catch (error) {
      if (isStale(asked)) return;
      count.textContent = "";
      shelf.replaceChildren(errorCard(error, load));
    }
    shelf.removeAttribute("aria-busy");
  }

  drawFilters();
  shelf.replaceChildren(skeleton());
  load();
  if (!known.length) loadCategories(drawFilters);
  return view;
}

const isStale = (asked) => asked.category !== wish.category || asked.sort !== wish.sort;

// Without its categories the shop still sells, and the list of goods tells of the same trouble: no second error card.
async function loadCategories(done) {
  try {
    known = await categories();
    done();
  } catch (error) {
    console.warn("cannot load the categories", error);
  }
}

function chip(category, choose) {
  const pressed = category._id === wish.category;
  return h(
    "button",
    { type: "button", class: "chip", "aria-pressed": String(pressed), onclick: () => choose(category._id) },
    localized(category, "name"),
  );
}

function sortMenu(load) {
  const choose = (event) => {
    wish.sort = event.target.value;
    load();
  };
  const options = SORT_NAMES.map((name) =>
    h("option", { value: name, selected: name === wish.sort }, t(`sort_${name}`)),
  );
  return h(
    "label",
    { class: "sort" },
    h("span", { class: "visually-hidden" }, t("sort")),
    h("select", { onchange: choose }, options),
    icon("chevron"),
  );
}

function shelves(first, asked) {
  const grid = h("ul", { class: "grid" }, first.list.map(card));
  const more = h("button", {
    type: "button",
    class: "button button-quiet more",
    onclick: () => whilePending(more, next),
  });
  const trouble = h("div");
  let shown = first.list.length;

  function drawMore(total) {
    const rest = total - shown;
    more.hidden = rest <= 0;
    more.textContent = t("more", { n: Math.min(rest, GOODS_PAGE) });
  }

  async function next() {
    try {
      const page = await goodsPage({ ...asked, offset: shown });
      const cards = page.list.map(card);
      grid.append(...cards);
      cards[0]?.querySelector("a").focus({ preventScroll: true });
      shown += cards.length;
      trouble.replaceChildren();
      drawMore(cards.length ? page.total : shown);
    } catch (error) {
      trouble.replaceChildren(errorCard(error));
    }
  }

  drawMore(first.total);
  return h("div", { class: "stack" }, grid, trouble, more);
}

function card(goods) {
  const title = localized(goods, "title");
  const link = `#/goods/${encodeURIComponent(goods._id)}`;
  return h(
    "li",
    { class: `card${goods.stock > 0 ? "" : " card-gone"}` },
    h("div", { class: "card-picture" }, art(goods), badge(goods)),
    h(
      "div",
      { class: "card-text" },
      h("h2", { class: "card-title" }, h("a", { href: link }, title)),
      h("p", { class: "card-summary soft" }, localized(goods, "summary")),
    ),
    h(
      "div",
      { class: "card-foot" },
      h("div", {}, price(goods.price_fen), h("p", { class: "card-unit soft" }, localized(goods, "unit"))),
      addButton(goods, title),
    ),
  );
}

function badge(goods) {
  if (goods.stock <= 0) return h("span", { class: "badge badge-gone" }, t("sold_out"));
  if (goods.stock <= FEW) return h("span", { class: "badge badge-few" }, t("few_left", { n: goods.stock }));
  const [tag] = localized(goods, "tags");
  return tag ? h("span", { class: "badge" }, tag) : null;
}

function addButton(goods, title) {
  const add = () => {
    putInCart(goods, Math.min(quantityOf(goods._id) + 1, quantityMax(goods)));
    toast(t("added", { name: title }));
  };
  return h(
    "button",
    {
      type: "button",
      class: "add",
      "aria-label": `${t("add")}${t("colon")}${title}`,
      disabled: quantityMax(goods) === 0,
      onclick: add,
    },
    icon("plus"),
  );
}

function emptyShelf() {
  return emptyState({ art: "scoop", category: wish.category || "tea" }, t("shelf_empty"), t("shelf_empty_text"));
}

function skeleton() {
  const blank = () =>
    h(
      "li",
      { class: "card skeleton", "aria-hidden": "true" },
      h("div", { class: "card-picture" }),
      h("div", { class: "card-text" }),
    );
  return h(
    "div",
    {},
    h("p", { class: "visually-hidden", role: "status" }, t("loading")),
    h("ul", { class: "grid" }, Array.from({ length: GOODS_PAGE }, blank)),
  );
}
