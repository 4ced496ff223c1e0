// The page itself: which view the address asks for, the sheet above it, and the frame around both.
//   #/  #/cart  #/orders  #/orders/<id>      pages
//   #/goods/<id>  #/account                  sheets over the page that was there

import { h, hideToast, icon } from "./dom.js";
import { switchLanguage, t } from "./i18n.js";
import { visitor } from "./session.js";
import { cartCount, listen } from "./store.js";
import { accountView } from "./views/account.js";
import { cartView } from "./views/cart.js";
import { detailView } from "./views/detail.js";
import { ordersView } from "./views/orders.js";
import { shopView } from "./views/shop.js";

const PAGES = { "": shopView, cart: cartView, orders: ordersView };
const SHEETS = { goods: detailView, account: accountView };

const main = document.getElementById("main");
const sheet = document.getElementById("sheet");
const sheetBody = document.getElementById("sheet-body");
const hero = document.getElementById("hero");

let page; // { name, argument, hash } of the page shown, also while a sheet covers it
let cameFromPage = false; // whether "back" closes the sheet and stays in the shop

function address() {
  const [, name = "", argument = ""] = location.hash.split("/");
  return { name, argument: safeDecode(argument), hash: location.hash || "#/" };
}

function safeDecode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}

function route() {
  const wanted = address();
  if (Object.hasOwn(SHEETS, wanted.name)) {
    cameFromPage = page !== undefined;
    if (!page) showPage({ name: "", argument: "", hash: "#/" });
    return showSheet(wanted);
  }
  const known = Object.hasOwn(PAGES, wanted.name) ? wanted : { name: "", argument: "", hash: "#/" };
  sheet.close();
  if (known.hash !== page?.hash) showPage(known);
}

function showPage(wanted) {
  const first = page === undefined;
  page = wanted;
  drawPage();
  if (first) return;
  scrollTo(0, 0);
  (main.querySelector("h1") ?? main).focus({ preventScroll: true });
}

function drawPage() {
  hero.hidden = page.name !== "";
  main.replaceChildren(PAGES[page.name](page.argument));
  drawFrame();
}

function showSheet({ name, argument }) {
  sheet.className = `sheet sheet-${name}`;
  sheetBody.replaceChildren(SHEETS[name](argument));
  if (!sheet.open) sheet.showModal();
}

/** Leaves the sheet as the back button would; a sheet opened straight from a link has the page below to go to. */
function leaveSheet() {
  if (!Object.hasOwn(SHEETS, address().name)) return;
  if (cameFromPage) return history.back();
  history.replaceState(null, "", page.hash);
  sheet.close();
}

sheet.addEventListener("cancel", (event) => {
  event.preventDefault();
  leaveSheet();
});
sheet.addEventListener("done", leaveSheet);
sheet.addEventListener("click", (event) => event.target === sheet && leaveSheet());
document.getElementById("sheet-close").addEventListener("click", leaveSheet);

// === the frame: header, navigation, footer ===

const text = (id, key) => (document.getElementById(id).textContent = t(key));

function drawFrame() {
  document.title = page.name ? `${t(`nav_${page.name}`)} · ${t("shop_name")}` : t("shop_name");
  for (const [id, key] of [
    ["skip", "skip"],
    ["brand-name", "brand"],
    ["hero-title", "shop_name"],
    ["hero-slogan", "slogan"],
    ["footer", "footer"],
    ["language", "language_switch"],
  ])
    text(id, key);
  document.getElementById("language").lang = document.documentElement.lang === "en" ? "zh-CN" : "en";
  document.getElementById("sheet-close").setAttribute("aria-label", t("close"));
  document.getElementById("nav").setAttribute("aria-label", t("nav"));
  document.getElementById("nav").replaceChildren(...Object.keys(PAGES).map(navLink));
  const { name, anonymous } = visitor();
  document
    .getElementById("account")
    .replaceChildren(icon("user"), h("span", { class: "account-name" }, anonymous ? t("sign_in") : name));
}

function navLink(name) {
  const key = name || "shop";
  const count = name === "cart" ? cartCount() : 0;
  const here = page.name === name;
  return h(
    "a",
    { href: `#/${name}`, class: "nav-link", "aria-current": here ? "page" : null },
    h("span", { class: "nav-icon" }, icon(key), count > 0 && h("span", { class: "nav-count" }, String(count))),
    h("span", {}, t(`nav_${key}`)),
  );
}

document.getElementById("language").addEventListener("click", switchLanguage);
listen("cart", drawFrame);
listen("session", () => (page.name === "orders" ? drawPage() : drawFrame()));
listen("language", () => {
  hideToast(); // it speaks the other language
  drawPage();
  if (sheet.open) showSheet(address());
});

addEventListener("hashchange", route);
route();
