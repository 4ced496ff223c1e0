// What the shop asks of the server, in the shop's own words. Every route used by the views is here.

import { send } from "./http.js";
import { withToken } from "./session.js";

const COLLECTIONS = "/v1/database/instances/(default)/databases/(default)/collections";

/** The server fills in its own clock when it stores the document. */
const SERVER_DATE = { $date: { offset: 0 } };

/** Goods on one page of the list. */
export const GOODS_PAGE = 8;
export const ORDERS_PAGE = 10;

// === documents ===

async function find(collection, { query = {}, order = [], limit, offset = 0, projection }) {
  const parameters = new URLSearchParams({ query: JSON.stringify(query), limit, offset });
  if (order.length) parameters.set("order", JSON.stringify(order));
  if (projection) parameters.set("projection", JSON.stringify(projection));
  const page = await withToken((token) =>
    send("GET", `${COLLECTIONS}/${collection}/documents?${parameters}`, { token }),
  );
  return { total: page.total, list: page.list.map(plain) };
}

/** Extended JSON to plain values: dates become Date, wrapped numbers numbers, object ids text. */
export function plain(value) {
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== "object") return value;
  if ("$date" in value) return new Date(plain(value.$date));
  for (const wrapper of ["$numberInt", "$numberLong", "$numberDouble"])
    if (wrapper in value) return Number(value[wrapper]);
  if ("$oid" in value) return value.$oid;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, plain(inner)]));
}

// === goods ===

const CARD_FIELDS = [
  "title",
  "title_en",
  "summary",
  "summary_en",
  "unit",
  "unit_en",
  "category",
  "art",
  "tags",
  "tags_en",
  "price_fen",
  "stock",
  "sold",
];

const SORTS = {
  featured: { field: "rank", direction: "asc" },
  newest: { field: "listed_at", direction: "desc" },
  popular: { field: "sold", direction: "desc" },
  cheap: { field: "price_fen", direction: "asc" },
  dear: { field: "price_fen", direction: "desc" },
};
export const SORT_NAMES = Object.keys(SORTS);

export const categories = async () =>
  (await find("categories", { order: [{ field: "rank", direction: "asc" }], limit: 20 })).list;

/** One page of goods. `_id` breaks ties, so that no piece shows up on two pages. */
export function goodsPage({ category, sort, offset }) {
  return find("goods", {
    query: category ? { category } : {},
    order: [SORTS[sort], { field: "_id", direction: "asc" }],
    projection: Object.fromEntries(CARD_FIELDS.map((name) => [name, 1])),
    limit: GOODS_PAGE,
    offset,
  });
}

/** The whole document of one piece, or undefined when it left the shop. */
export const goodsById = async (id) => (await find("goods", { query: { _id: id }, limit: 1 })).list[0];

export const goodsByIds = async (ids) =>
  (await find("goods", { query: { _id: { $in: ids } }, limit: ids.length })).list;

// === orders ===

/** The visitor's own orders, newest first: the collection is PRIVATE, so the server adds the owner to the query. */
export const ordersPage = (offset) =>
  find("orders", { order: [{ field: "created_at", direction: "desc" }], limit: ORDERS_PAGE, offset });

export async function countOrders() {
  const answer = await withToken((token) =>
    send("GET", `${COLLECTIONS}/orders/documents?count=true&query=${encodeURIComponent("{}")}`, { token }),
  );
  return answer.total;
}

const ATTEMPTS = 3;
const PAUSE_MS = 600;

/**
 * Stores an order and gives its id. `key` names this one order across retries, here and when the buyer presses the
 * button again: the server answers a repeated key with the first outcome instead of storing a second order.
 */
export async function placeOrder(order, key) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await insertOrder(order, key);
    } catch (error) {
      if (!error.transient || attempt === ATTEMPTS) throw error;
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS * attempt));
    }
  }
}

async function insertOrder(order, key) {
  const body = { data: [{ ...order, status: "placed", created_at: SERVER_DATE }] };
  const answer = await withToken((token) =>
    send("POST", `${COLLECTIONS}/orders/documents`, { token, body, headers: { "Idempotency-Key": key } }),
  );
  return plain(answer.insertedIds[0]);
}

/** Cancels an order that is still placed; false when it was not ours or had moved on. */
export async function cancelOrder(id) {
  const body = {
    query: { _id: id, status: "placed" },
    data: { $set: { status: "cancelled", cancelled_at: SERVER_DATE } },
    multi: false,
  };
  const answer = await withToken((token) => send("PATCH", `${COLLECTIONS}/orders/documents`, { token, body }));
  return answer.updated > 0;
}
