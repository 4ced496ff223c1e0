// What the client keeps: a few named values that survive a reload, the cart among them, and the news that they changed.

const PREFIX = "yunzhan-shop.";
const news = new EventTarget();
const memory = new Map();

/** A remembered value. Storage may be full or forbidden (private windows); then memory alone has to do. */
export function recall(key) {
  try {
    const text = localStorage.getItem(PREFIX + key);
    if (text !== null) return JSON.parse(text);
  } catch {
    // fall through to memory
  }
  return memory.get(key);
}

/** Remembers a value; `undefined` forgets it. */
export function remember(key, value) {
  memory.set(key, value);
  try {
    if (value === undefined) localStorage.removeItem(PREFIX + key);
    else localStorage.setItem(PREFIX + key, JSON.stringify(value));
  } catch {
    // memory has it
  }
}

/** Topics: `cart`, `session`, `language`. */
export const announce = (topic) => news.dispatchEvent(new Event(topic));
export const listen = (topic, listener) => news.addEventListener(topic, listener);

// Another tab of the shop changed something: views draw from recall(), so the news is all they need.
addEventListener("storage", ({ key }) => {
  if (key === `${PREFIX}cart`) announce("cart");
  if (key === `${PREFIX}session`) announce("session");
});

// === the cart ===

// A hand of one piece; keeps a slip of the finger from emptying a shelf.
const QUANTITY_MAX = 20;
// More kinds of goods than this shop has; bounds the order document.
const LINES_MAX = 50;

// What a line needs to be drawn without asking the server.
const SNAPSHOT = ["_id", "title", "title_en", "unit", "unit_en", "category", "art", "price_fen", "stock"];

/** `[{goods, quantity}]` in the order things were put in. */
export const cartLines = () => recall("cart") ?? [];
export const cartCount = () => cartLines().reduce((sum, line) => sum + line.quantity, 0);
export const cartTotalFen = () => cartLines().reduce((sum, line) => sum + line.quantity * line.goods.price_fen, 0);
export const quantityOf = (id) => cartLines().find((line) => line.goods._id === id)?.quantity ?? 0;
export const quantityMax = (goods) => Math.max(0, Math.min(QUANTITY_MAX, goods.stock ?? 0));

/** Sets how many of `goods` are in the cart; none removes the line. */
export function putInCart(goods, quantity) {
  const lines = cartLines();
  const at = lines.findIndex((line) => line.goods._id === goods._id);
  const kept = Math.min(quantity, quantityMax(goods));
  if (kept <= 0) lines.splice(at, at < 0 ? 0 : 1);
  else if (at >= 0) lines[at].quantity = kept;
  else if (lines.length < LINES_MAX) lines.push({ goods: pickFields(goods), quantity: kept });
  saveCart(lines);
}

/** Brings the lines up to date with the goods as the server has them now; true when the buyer should look again. */
export function refreshCart(goodsNow) {
  const byId = new Map(goodsNow.map((goods) => [goods._id, goods]));
  const before = cartLines();
  const after = before.flatMap((line) => {
    const goods = byId.get(line.goods._id);
    const quantity = goods ? Math.min(line.quantity, quantityMax(goods)) : 0;
    return quantity > 0 ? [{ goods: pickFields(goods), quantity }] : [];
  });
  const facts = (lines) => JSON.stringify(lines.map((line) => [line.goods._id, line.goods.price_fen, line.quantity]));
  const changed = facts(before) !== facts(after);
  if (changed) saveCart(after);
  return changed;
}

export const emptyCart = () => saveCart([]);

function saveCart(lines) {
  remember("cart", lines);
  announce("cart");
}

const pickFields = (goods) =>
  Object.fromEntries(SNAPSHOT.filter((name) => name in goods).map((name) => [name, goods[name]]));
