// Every word the shop says, in Chinese and English, and the switch between the two.

import { announce, recall, remember } from "./store.js";

const TEXTS = {
  // key: [Chinese, English]
  brand: ["云栈小铺", "Cloud Stack"],
  shop_name: ["云栈小铺", "Cloud Stack Teahouse"],
  slogan: ["山中一席，慢火一盏", "Tea from the ridge, clay from the kiln"],
  skip: ["跳到内容", "Skip to content"],
  nav: ["主导航", "Main"],
  nav_shop: ["选物", "Shop"],
  nav_cart: ["茶篮", "Basket"],
  nav_orders: ["订单", "Orders"],
  language_switch: ["English", "中文"],
  colon: ["：", ": "],
  quantity: ["数量", "Quantity"],
  less: ["减一件", "One less"],
  more_of: ["加一件", "One more"],
  close: ["关闭", "Close"],
  retry: ["再试一次", "Try again"],
  request_id: ["请求号", "request"],
  loading: ["正在取货……", "Fetching…"],

  categories: ["分类", "Categories"],
  all: ["全部", "All"],
  all_summary: ["茶、器、席、礼", "Everything in the shop"],
  sort: ["排序", "Sort by"],
  sort_featured: ["掌柜推荐", "Featured"],
  sort_newest: ["新近上架", "Newest"],
  sort_popular: ["卖得最多", "Most loved"],
  sort_cheap: ["价格从低到高", "Price: low to high"],
  sort_dear: ["价格从高到低", "Price: high to low"],
  more: ["再看 {n} 件", "Show {n} more"],
  goods_count: ["{n} 件", "{n} pieces"],
  add: ["加入茶篮", "Add to basket"],
  added: ["已放进茶篮：{name}", "In your basket: {name}"],
  sold_out: ["售罄", "Sold out"],
  few_left: ["仅剩 {n} 件", "Only {n} left"],
  sold: ["已售 {n}", "{n} sold"],
  origin: ["产地", "Origin"],
  unit: ["规格", "Size"],
  stock: ["库存", "Stock"],
  shelf_empty: ["这一架空着", "This shelf is empty"],
  shelf_empty_text: ["换个分类看看，或者过两天再来。", "Try another category, or come back in a few days."],
  goods_gone: ["这件货已经下架", "This piece has left the shop"],

  cart_empty: ["茶篮还空着", "Your basket is empty"],
  cart_empty_text: ["先去挑一只盖碗，或一罐明前龙井。", "Begin with a gaiwan, or a tin of spring Longjing."],
  go_shopping: ["去选物", "Browse the shop"],
  cart_changed: ["价格或库存有变化，茶篮已更新，请再看一眼。", "Prices or stock changed; the basket is up to date. Please look again."],
  note: ["给掌柜的话", "A word to the shopkeeper"],
  note_hint: ["比如：贺卡写「岁岁平安」", "For example: please write a birthday card"],
  pieces: ["件数", "Pieces"],
  total: ["合计", "Total"],
  total_hint: ["演示合计由页面计算，仅供参考；真正的小铺在服务器上算价。", "This demo adds up in the page, for information only; a real shop computes prices on the server."],
  place_order: ["提交订单", "Place order"],
  placing: ["正在下单……", "Placing…"],
  sign_in_to_order: ["登录后下单", "Sign in to order"],
  order_placed: ["订单已收下，掌柜这就去备货。", "Order received; the shopkeeper is packing."],
  order_uncertain: ["订单可能已经送达。再试一次不会重复下单。", "The order may have arrived. Trying again will not order twice."],

  orders: ["我的订单", "My orders"],
  orders_private: ["只有你自己看得到这一页。", "Only you can see this page."],
  orders_empty: ["还没有订单", "No orders yet"],
  orders_empty_text: ["下第一单，这里就有了茶香。", "Place your first one and this page will smell of tea."],
  orders_sign_in: ["登录后看订单", "Sign in to see your orders"],
  orders_sign_in_text: ["订单是私有数据，服务器只给本人看。", "Orders are private; the server shows them to their owner alone."],
  orders_more: ["更早的订单", "Earlier orders"],
  order_number: ["订单号", "Order"],
  order_note: ["留言", "Note"],
  order_pieces: ["共 {n} 件", "{n} pieces"],
  status_placed: ["备货中", "Packing"],
  status_cancelled: ["已取消", "Cancelled"],
  cancel_order: ["取消订单", "Cancel order"],
  cancel_confirm: ["确定取消？", "Really cancel?"],
  cancelled: ["订单已取消", "Order cancelled"],
  cancel_late: ["这一单已不能取消", "This order can no longer be cancelled"],

  account: ["账户", "Account"],
  sign_in: ["登录", "Sign in"],
  sign_in_title: ["进门喝茶", "Come in for tea"],
  development_login: ["开发登录", "Development login"],
  development_text: ["这是演示环境的登录：写个名字就能进门，不验证身份。同名即同一人。正式环境请接入微信登录。", "A demo environment's login: any name opens the door and nothing is verified. The same name is the same person. A real shop signs in with WeChat."],
  name: ["你的称呼", "Your name"],
  name_hint: ["例如 小明", "for example Ming"],
  name_needed: ["请写一个称呼，1 到 24 个字。", "Please write a name of 1 to 24 characters."],
  welcome: ["{name}，请坐。", "Welcome, {name}."],
  user_id: ["用户号", "User id"],
  order_count: ["订单数", "Orders"],
  sign_out: ["退出登录", "Sign out"],
  signed_out: ["已退出，欢迎再来。", "Signed out. Come back soon."],

  footer: ["云栈小铺是云栈（Yunzhan）服务器的示例页面，货品皆为虚构。", "A sample page of the Yunzhan server. The goods are imaginary."],

  // What went wrong, and the next step. The keys end in an ApiError's kind.
  error_offline: ["连不上服务器", "The server cannot be reached"],
  next_offline: ["请看看网络，或者服务器是否已启动，再试一次。", "Check the network, or whether the server is running, then try again."],
  error_timeout: ["服务器迟迟没有回音", "The server took too long"],
  next_timeout: ["请稍等片刻再试一次。", "Wait a moment and try again."],
  error_busy: ["店里人多，忙不过来", "The shop is crowded"],
  next_busy: ["请过几秒再试一次。", "Try again in a few seconds."],
  error_server: ["服务器出了点差错", "Something broke on the server"],
  next_server: ["请再试一次；若还不行，把下面的请求号交给管理员。", "Try again; if it persists, give the request id below to the operator."],
  error_signed_out: ["登录已过期", "Your sign-in has expired"],
  next_signed_out: ["请重新登录，茶篮还为你留着。", "Sign in again; your basket is still here."],
  error_forbidden: ["没有权限这样做", "This is not allowed"],
  next_forbidden: ["请换个账户登录，或请管理员查看集合的权限。", "Sign in as someone else, or ask the operator about the collection's permission."],
  error_missing: ["没有找到", "Not found"],
  next_missing: ["演示数据可能还没有导入；请管理员检查环境 demo。", "The demo data may be missing; ask the operator to look at environment demo."],
  error_rejected: ["服务器没有接受这次请求", "The server did not accept the request"],
  next_rejected: ["请检查填写的内容再试；服务器说：", "Check what you entered and try again. The server said:"],
  error_client: ["页面出了点差错", "Something broke on this page"],
  next_client: ["请刷新页面再试。", "Reload the page and try again."],
};

const LANGUAGES = ["zh-CN", "en"];
const chosen = () => recall("language") ?? (navigator.language.toLowerCase().startsWith("zh") ? "zh-CN" : "en");
let language = LANGUAGES.includes(chosen()) ? chosen() : "zh-CN";
document.documentElement.lang = language;

const isEnglish = () => language === "en";

/** The text of `key` in the present language, with `{name}` places filled in. */
export function t(key, values = {}) {
  const text = TEXTS[key]?.[isEnglish() ? 1 : 0] ?? key;
  return text.replace(/\{(\w+)\}/g, (place, name) => values[name] ?? place);
}

export function switchLanguage() {
  language = isEnglish() ? "zh-CN" : "en";
  remember("language", language);
  document.documentElement.lang = language;
  announce("language");
}

/** A document's field in the present language: `title_en` beside `title`; Chinese when there is no English. */
export const localized = (document, field) => (isEnglish() && document[`${field}_en`]) || document[field] || "";

export const dateTime = (date) =>
  new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" }).format(date);
