//! What mini-programs send, made up by chance from a seed.
//!
//! `text.rs` is what people write, this file the requests around it.

mod text;

use serde_json::{Value, json};

use crate::common::{Request, escape_query};
use text::{code, hard_text, line, name, note, rich_text, search};

/// Numbers by SplitMix64, so that a seed is a run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// So many letters of an alphabet.
    pub(crate) fn letters(&mut self, alphabet: &[u8], len: usize) -> String {
        (0..len).map(|_| char::from(self.pick(alphabet))).collect()
    }

    fn base64(&mut self, len: usize) -> String {
        self.letters(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", len)
    }

    fn url_safe(&mut self, len: usize) -> String {
        self.letters(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-", len)
    }

    fn hex(&mut self, len: usize) -> String {
        self.letters(b"0123456789abcdef", len)
    }

    fn openid(&mut self) -> String {
        format!("o{}", self.url_safe(27))
    }

    fn token(&mut self) -> String {
        format!("eyJhbGciOiJFUzI1NiJ9.{}.{}", self.url_safe(180), self.url_safe(86))
    }

    fn place(&mut self) -> (f64, f64) {
        let fraction = |random: &mut Self| (random.next() % 1_000_000) as f64 / 1e6;
        (100.0 + 20.0 * fraction(self), 20.0 + 20.0 * fraction(self))
    }
}

/// One request.
pub(crate) fn request(random: &mut Random) -> Request {
    let make = random.pick(&[
        goods,
        near,
        order,
        order,
        address,
        post,
        post,
        comment,
        editor,
        feedback,
        form,
        push,
        track,
        upload_token,
        picture,
        sign_in,
        insert,
        insert,
        update,
        query,
        query_in_address,
        aggregate,
        web,
        admin,
        function,
        pay,
        file,
    ]);
    let mut request = make(random);
    if random.below(3) > 0 {
        let token = format!("Bearer {}", random.token());
        request.headers.push(("authorization".into(), token.into_bytes()));
    }
    request
}

fn query_string(pairs: &[(&str, String)]) -> String {
    let pair =
        |(name, value): &(&str, String)| format!("{name}={}", escape_query(value.as_bytes()));
    pairs.iter().map(pair).collect::<Vec<_>>().join("&")
}

fn goods(random: &mut Random) -> Request {
    let pairs = [
        ("keyword", search(random)),
        ("page", random.below(50).to_string()),
        (
            "sort",
            random.pick(&["price", "-price", "sales desc", "created_at:asc", "综合"]).to_owned(),
        ),
        ("tags", random.pick(&["新品,热卖", "a|b", "[1,2,3]", "all", "*"]).to_owned()),
    ];
    Request::get(&format!("/api/v1/goods?{}", query_string(&pairs)))
}

fn near(random: &mut Random) -> Request {
    let (longitude, latitude) = random.place();
    let pairs = [
        ("location", format!("{longitude},{latitude}")),
        ("bounds", format!("({latitude},{longitude});({latitude},{longitude})")),
        ("radius", "1000".to_owned()),
    ];
    Request::get(&format!("/api/shops/near?{}", query_string(&pairs)))
}

fn body(target: &str, value: &Value) -> Request {
    Request::json(target, &value.to_string())
}

fn order(random: &mut Random) -> Request {
    let items: Vec<Value> = (0..=random.below(8))
        .map(|_| {
            json!({"sku": random.hex(12), "title": line(random), "count": random.below(9), "price": random.below(99_900) as f64 / 100.0,
                   "options": {"颜色": random.pick(&["红", "蓝", "黑/白"]), "尺码": random.pick(&["S", "XL", "42.5", "165/88A", "5'10\""])}})
        })
        .collect();
    let value = json!({"items": items, "remark": note(random), "buyer": name(random), "openid": random.openid(),
        "coupon": null, "paid": false, "from": "pages/goods/detail?id=12&from=share", "nonce": random.base64(24)});
    body("/api/v1/orders", &value)
}

fn address(random: &mut Random) -> Request {
    let (longitude, latitude) = random.place();
    let value = json!({"name": name(random), "phone": format!("138{:08}", random.below(100_000_000)), "region": ["广东省", "深圳市", "南山区"],
        "detail": random.pick(&["科技园 3 栋 #501（近 A 门）", "No. 5, O'Connell St; Flat 3/2", "幸福小区1-2-301，放门口", "5/F, \"The Peak\" Tower & Mall"]),
        "location": {"type": "Point", "coordinates": [longitude, latitude]}});
    body("/api/v1/addresses", &value)
}

fn post(random: &mut Random) -> Request {
    let text = format!("{}\n\n{}\n\n{}", line(random), code(random), note(random));
    body(
        "/api/v1/posts",
        &json!({"title": line(random), "content": text, "topics": ["编程", "前端"], "images": [image(random)]}),
    )
}

fn comment(random: &mut Random) -> Request {
    let mut request = body(
        &format!("/api/v1/posts/{}/comments", random.hex(24)),
        &json!({"text": note(random), "reply_to": name(random)}),
    );
    request.method = random.pick(&["POST", "PUT", "PATCH"]).to_owned();
    request
}

fn editor(random: &mut Random) -> Request {
    body(
        "/api/v1/articles",
        &json!({"title": line(random), "html": rich_text(random), "delta": {"ops": [{"insert": note(random)}, {"attributes": {"bold": true, "color": "#e60000"}, "insert": line(random)}]}}),
    )
}

fn feedback(random: &mut Random) -> Request {
    body(
        "/api/v1/feedback",
        &json!({"content": note(random), "contact": random.pick(&["wx: abc_123", "a.b+c@example.com", "13800138000"]),
        "system": {"brand": "HUAWEI", "model": "iPhone 15 Pro Max<iPhone16,2>", "version": "8.0.50", "SDKVersion": "3.5.1", "benchmarkLevel": 42}}),
    )
}

fn form(random: &mut Random) -> Request {
    let pairs = [
        ("name", name(random)),
        ("message", note(random)),
        ("url", link(random)),
        ("agree", "on".to_owned()),
    ];
    Request::post("/api/form", "application/x-www-form-urlencoded", query_string(&pairs).as_bytes())
}

fn push(random: &mut Random) -> Request {
    let text = format!(
        "<xml><ToUserName><![CDATA[gh_{}]]></ToUserName><FromUserName><![CDATA[{}]]></FromUserName><CreateTime>1714036504</CreateTime><MsgType><![CDATA[text]]></MsgType><Content><![CDATA[{}]]></Content><MsgId>1234567890123456</MsgId></xml>",
        random.hex(12),
        random.openid(),
        line(random)
    );
    let target = format!(
        "/push?signature={}&timestamp=1714036504&nonce=1514711492&openid={}",
        random.hex(40),
        random.openid()
    );
    Request::post(&target, "text/xml", text.as_bytes())
}

fn track(random: &mut Random) -> Request {
    let events: Vec<Value> = (0..5)
        .map(|at| json!({"event": random.pick(&["page_view", "tap", "error", "share"]), "page": random.pick(&["pages/index/index", "/pages/goods/detail?id=1&scene=1011", "../detail/detail"]),
            "message": random.pick(&["", "TypeError: Cannot read property 'name' of undefined\n    at Page.onLoad (pages/index/index.js:12:8)\n    at Function.<anonymous> (WAServiceMainContext.js:1:2)", "request:fail timeout", "MiniProgramError\n{\"errMsg\":\"navigateTo:fail page \\\"pages/a/a\\\" is not found\"}"]), "t": 1_714_036_504_000_u64 + at}))
        .collect();
    body("/api/track", &json!({"events": events, "ua": "miniprogram/3.5.1 (devtools; zh_CN)"}))
}

fn upload_token(random: &mut Random) -> Request {
    body(
        "/api/upload/sign",
        &json!({"key": format!("uploads/2026/11/{}.jpg", random.hex(32)), "policy": random.base64(300) + "==", "signature": random.base64(27) + "=", "callback": link(random)}),
    )
}

fn picture(random: &mut Random) -> Request {
    let len = 4_000 + random.below(20_000);
    body(
        "/api/avatar",
        &json!({"data": format!("data:image/png;base64,{}==", random.base64(len)), "raw": random.base64(64)}),
    )
}

fn file(random: &mut Random) -> Request {
    let boundary = format!("WABoundary+{}", random.letters(b"0123456789ABCDEF", 16));
    let text = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"user\"\r\n\r\n{}\r\n--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{}.jpg\"\r\nContent-Type: image/jpeg\r\n\r\n{}\r\n--{boundary}--\r\n",
        name(random),
        random.hex(16),
        random.base64(2000)
    );
    Request::post(
        "/api/upload",
        &format!("multipart/form-data; boundary={boundary}"),
        text.as_bytes(),
    )
}

fn pay(random: &mut Random) -> Request {
    let value = json!({"id": random.hex(36), "create_time": "2026-11-20T10:34:56+08:00", "resource_type": "encrypt-resource", "event_type": "TRANSACTION.SUCCESS", "summary": "支付成功",
        "resource": {"original_type": "transaction", "algorithm": "AEAD_AES_256_GCM", "ciphertext": random.base64(700) + "==", "associated_data": "transaction", "nonce": random.url_safe(12)}});
    let mut request = body("/api/pay/notify", &value);
    request.headers.push(("wechatpay-signature".into(), (random.base64(342) + "==").into_bytes()));
    request
        .headers
        .push(("wechatpay-serial".into(), b"PUB_KEY_ID_0114232134912410000000000000".to_vec()));
    request
}

fn sign_in(random: &mut Random) -> Request {
    let value = json!({"provider_token": random.token(), "code": random.url_safe(32), "client_id": "demo", "provider_params": {"provider_code_type": "open_id", "appid": "wx1234567890abcdef"}});
    Request {
        route: "identity.sign_in",
        ..body("/auth/v1/signin/with/provider?client_id=demo", &value)
    }
}

const DOCUMENTS: &str =
    "/v1/database/instances/(default)/databases/(default)/collections/posts/documents";

fn document(random: &mut Random) -> Value {
    let (longitude, latitude) = random.place();
    json!({"title": line(random), "content": hard_text(random), "html": rich_text(random), "_openid": random.openid(), "at": {"$date": {"$numberLong": "1714036504000"}},
        "views": {"$numberInt": "3"}, "place": {"type": "Point", "coordinates": [longitude, latitude]}, "cover": image(random), "tags": [name(random), search(random)]})
}

fn filter(random: &mut Random) -> Value {
    let word = search(random);
    match random.below(6) {
        0 => {
            json!({"$or": [{"title": {"$regularExpression": {"pattern": format!("^.*{word}"), "options": "i"}}}, {"tags": {"$in": [word]}}]})
        }
        1 => {
            json!({"$and": [{"price": {"$gt": 3}}, {"price": {"$lte": 99.5}}], "deleted": {"$ne": true}})
        }
        2 => {
            json!({"place": {"$nearSphere": {"$geometry": {"type": "Point", "coordinates": [113.3, 23.1]}, "$maxDistance": 1000}}})
        }
        3 => json!({"$expr": {"$gt": ["$spent", "$budget"]}}),
        4 => {
            json!({"name": {"$regex": "^(?:a|b)+[^\\s]*$", "$options": "im"}, "author": name(random)})
        }
        _ => json!({"_openid": "{openid}", "title": {"$exists": true, "$not": {"$size": 0}}}),
    }
}

fn insert(random: &mut Random) -> Request {
    let value = json!({"data": [document(random), document(random)]});
    Request { route: "gateway.insert", ..body(DOCUMENTS, &value) }
}

fn update(random: &mut Random) -> Request {
    let value = json!({"query": filter(random), "data": {"$set": document(random), "$inc": {"views": 1}, "$push": {"tags": {"$each": [line(random)], "$slice": -5}}, "$unset": {"old": ""}}, "multi": true, "upsert": false, "replaceMode": false});
    Request { route: "gateway.update", method: "PATCH".into(), ..body(DOCUMENTS, &value) }
}

fn query(random: &mut Random) -> Request {
    let value = json!({"query": filter(random).to_string(), "multi": true, "order": [{"field": "at", "direction": "desc"}]});
    Request { route: "gateway.remove", ..body(&format!("{DOCUMENTS}/remove"), &value) }
}

fn query_in_address(random: &mut Random) -> Request {
    let pairs = [
        ("query", filter(random).to_string()),
        ("order", "[{\"field\":\"at\",\"direction\":\"desc\"}]".to_owned()),
        ("fields", "{\"title\":true}".to_owned()),
        ("limit", "20".to_owned()),
    ];
    Request {
        route: "gateway.query",
        ..Request::get(&format!("{DOCUMENTS}?{}", query_string(&pairs)))
    }
}

fn aggregate(random: &mut Random) -> Request {
    let value = json!({"stages": [{"stageKey": "$match", "stageValue": filter(random).to_string()}, {"stageKey": "$group", "stageValue": "{\"_id\":{\"$dateToString\":{\"date\":\"$at\",\"format\":\"%Y-%m\"}},\"n\":{\"$sum\":1}}"},
        {"stageKey": "$lookup", "stageValue": "{\"from\":\"users\",\"let\":{\"id\":\"$uid\"},\"pipeline\":[{\"$match\":{\"$expr\":{\"$eq\":[\"$_id\",\"$$id\"]}}}],\"as\":\"user\"}"}]});
    Request { route: "gateway.aggregate", ..body(&format!("{DOCUMENTS}/aggregations"), &value) }
}

fn web(random: &mut Random) -> Request {
    let value = json!({"action": random.pick(&["database.queryDocument", "database.updateDocument", "database.addDocument"]), "dataVersion": "2020-01-10", "env": "demo", "access_token": random.token(),
        "collectionName": "posts", "query": filter(random), "data": document(random), "queryType": "WHERE", "seqId": random.hex(16)});
    Request { route: "web.call", ..body("/web?env=demo", &value) }
}

fn admin(random: &mut Random) -> Request {
    let data = document(random).to_string();
    let request = json!({"sql": hard_text(random), "code": code(random)}).to_string();
    let value = json!({"action": random.pick(&["database.insertDocument", "database.modifyDocument", "functions.invokeFunction"]), "envName": "demo", "collectionName": "posts", "data": [data], "query": filter(random).to_string(),
        "function_name": "run", "request_data": request, "wxCloudApiToken": random.base64(200), "tcb_sessionToken": ""});
    let mut request = body("/admin?env=demo&seqId=1a2b3c", &value);
    request.headers.retain(|(name, _)| name != "user-agent");
    request.headers.push(("user-agent".into(), b"tcb-admin-sdk/4.0.2".to_vec()));
    request.headers.push(("x-sdk-version".into(), b"wx-server-sdk/4.0.2".to_vec()));
    request.headers.push(("x-tcb-source".into(), b",scf".to_vec()));
    Request { route: "admin.call", ..request }
}

fn function(random: &mut Random) -> Request {
    let value = json!({"$url": "order/create", "data": {"path": "cloud://demo.6465-demo-1/avatars/a b.png", "list": [1, 2, 3], "text": note(random)}, "userInfo": {"openId": random.openid(), "appId": "wx1234567890abcdef"}});
    body("/api/functions/router", &value)
}

fn image(random: &mut Random) -> String {
    match random.below(4) {
        0 => format!(
            "https://img.example.com/a/{}.jpg?imageView2/2/w/750|imageMogr2/format/webp",
            random.hex(20)
        ),
        1 => format!("cloud://demo-env.6465-demo-env-125000/posts/{}.png", random.hex(16)),
        2 => format!("http://tmp/{}.jpg", random.url_safe(30)),
        _ => format!("wxfile://tmp_{}.jpeg", random.hex(32)),
    }
}

fn link(random: &mut Random) -> String {
    let hash = random.hex(8);
    random
        .pick(&[
            "https://mp.weixin.qq.com/s?__biz=MzA3&mid=265&idx=1&sn=ab12&chksm=84#wechat_redirect",
            "https://www.example.com/search?q=c%2B%2B&lang=zh-CN#top",
            "https://example.com/path;v=1/a(b)_c?x[]=1&y=%E4%B8%AD",
            "weixin://dl/business/?t=abc",
            "pages/index/index?scene=a%3D1%26b%3D2",
        ])
        .to_owned()
        + &hash
}
