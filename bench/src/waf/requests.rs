//! The requests that both programs inspect, as they go over the wire: what a mini-program sends, and an attack.

use std::fmt::Write;

/// A request that both programs inspect.
pub(super) struct Request {
    /// Name in the table.
    pub(super) name: &'static str,
    pub(super) bytes: Vec<u8>,
    /// Whether it is inspected at the highest level of paranoia too.
    pub(super) is_for_paranoia: bool,
}

pub(super) const GET: &str = "GET, 3 arguments";
pub(super) const JSON: &str = "POST, 2 KB of JSON, 80 fields";
pub(super) const FORM: &str = "POST, form of 20 KB";
pub(super) const ATTACK: &str = "attack";
pub(super) const LARGE: &str = "POST, 128 KB of JSON, 200 texts";

/// All of them, in the order of the table.
pub(super) fn all() -> Vec<Request> {
    let url_encoded = "application/x-www-form-urlencoded";
    let attack = "id=1%27%20UNION%20SELECT%20name,password%20FROM%20users--%20\
                  &q=%3Cscript%3Ealert(document.cookie)%3C/script%3E";
    let small = get("/api/goods?page=2&size=20&sort=price");
    vec![
        Request { name: GET, bytes: small, is_for_paranoia: true },
        Request {
            name: JSON,
            bytes: post("/api/orders", "application/json", &order()),
            is_for_paranoia: true,
        },
        Request {
            name: FORM,
            bytes: post("/api/profile", url_encoded, &form()),
            is_for_paranoia: true,
        },
        Request {
            name: ATTACK,
            bytes: get(&format!("/api/goods?{attack}")),
            is_for_paranoia: true,
        },
        Request {
            name: LARGE,
            bytes: post("/api/posts", "application/json", &texts()),
            is_for_paranoia: false,
        },
    ]
}

fn get(target: &str) -> Vec<u8> {
    format!("{}\r\n", head("GET", target)).into_bytes()
}

fn post(target: &str, media: &str, body: &str) -> Vec<u8> {
    let head = head("POST", target);
    format!("{head}Content-Type: {media}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}

fn head(method: &str, target: &str) -> String {
    format!(
        "{method} {target} HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like \
         Mac OS X) AppleWebKit/605.1.15 MicroMessenger/8.0.50\r\nAccept: */*\r\nAccept-Language: zh-CN,zh-Hans;q=0.9\r\n\
         Accept-Encoding: gzip, deflate, br\r\nReferer: https://servicewechat.com/wx0123456789abcdef/12/page-frame.html\r\n"
    )
}

/// An order: short texts and numbers in objects.
fn order() -> String {
    let mut words = Words::default();
    let mut items = String::new();
    for at in 0..19 {
        let comma = if at == 0 { "" } else { "," };
        let (title, note) = (words.text(12), words.text(24));
        write!(
            items,
            r#"{comma}{{"sku":"A{}","title":"{title}","note":"{note}","count":{}}}"#,
            10_000 + at * 37,
            at % 5 + 1
        )
        .expect("a string takes everything");
    }
    format!(
        r#"{{"openid":"oUpF8uMuAJO_M2pxb1Q9zNjWeS6o","address":"广东省深圳市南山区科技园 12-3","coupon":"SPRING-2024","at":1700000000123,"items":[{items}]}}"#
    )
}

/// A form of 80 fields whose texts are as a browser encodes them.
fn form() -> String {
    let mut words = Words::default();
    let field = |at| format!("field_{at}={}", url_encoded(&words.text(120)));
    (0..80).map(field).collect::<Vec<_>>().join("&")
}

/// 200 posts of a forum.
fn texts() -> String {
    let mut words = Words::default();
    let post = |at| format!(r#""post_{at}":"{}""#, words.text(640));
    format!("{{{}}}", (0..200).map(post).collect::<Vec<_>>().join(","))
}

fn url_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b' ' => encoded.push('+'),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => {
                encoded.push(byte.into());
            }
            _ => write!(encoded, "%{byte:02X}").expect("a string takes everything"),
        }
    }
    encoded
}

/// What people write, over and over in another order, so that no two texts are the same. libinjection takes
/// some orders of numbers and little words such as `in`, `for` and `and` for SQL; none of these is among them, so that what is
/// to be clean passes, as the bench's last lines show.
#[derive(Default)]
struct Words {
    state: u32,
}

impl Words {
    const ALL: [&str; 24] = [
        "今天天气很好",
        "the weather",
        "价格19.9元",
        "谢谢，",
        "really nice!",
        "we met at 10:30",
        "下单后多久发货？",
        "size 42 in blue",
        "老师好。",
        "https://example.com/p/17",
        "see you then",
        "第3章",
        "a cup of tea",
        "请问",
        "it’s fine",
        "（包邮）",
        "maybe tomorrow",
        "😀",
        "worth every fen",
        "质量不错",
        "Shenzhen",
        "满300减50",
        "客服态度好",
        "again",
    ];

    /// A text of about so many bytes.
    fn text(&mut self, bytes: usize) -> String {
        let mut text = String::new();
        while text.len() < bytes {
            if !text.is_empty() {
                text.push(' ');
            }
            // The constants of a well-known linear congruential generator; its high bits are the good ones.
            self.state = self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            text.push_str(Self::ALL[(self.state >> 16) as usize % Self::ALL.len()]);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_as_large_as_their_names_say() {
        let sizes: Vec<usize> = [order(), form(), texts()].iter().map(String::len).collect();
        assert!((1_900..2_500).contains(&sizes[0]), "{sizes:?}");
        assert!((19_000..23_000).contains(&sizes[1]), "{sizes:?}");
        assert!((126_000..136_000).contains(&sizes[2]), "{sizes:?}");
        for json in [order(), texts()] {
            serde_json::from_str::<serde_json::Value>(&json).unwrap();
        }
    }
}
