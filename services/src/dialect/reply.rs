//! Answers in JSON, written straight into the text that is sent.

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};
use yunzhan_base::{Body, Error, Reply, RequestId};
use yunzhan_query::ejson::Mode;

use crate::documents;

/// Bytes that an answer is begun with: most fit, and the others grow.
const ANSWER_BYTES: usize = 512;

/// A reply of status 200.
pub(crate) fn json(text: String) -> Reply {
    response(text).into()
}

fn response(text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    response
}

/// A refusal as the admin and gateway dialects spell it: `{"code":…,"message":…,"requestId":…}`, of status 200.
pub(crate) fn refusal(error: &Error, request_id: RequestId) -> Response<Body> {
    let mut object = Object::new();
    object.text("code", error.code());
    object.text("message", error.message());
    object.request_id(request_id);
    response(object.close())
}

/// A JSON object whose fields are written one after the other.
pub(crate) struct Object {
    text: String,
}

impl Object {
    /// An object of the usual size.
    pub(crate) fn new() -> Self {
        Self::with_bytes(0)
    }

    /// An object that will hold documents of this many bytes of BSON.
    pub(crate) fn with_bytes(bson_bytes: usize) -> Self {
        // Text is about half as long again as BSON; one growth is the exception.
        let mut text = String::with_capacity(ANSWER_BYTES + bson_bytes + bson_bytes / 2);
        text.push('{');
        Self { text }
    }

    /// A field with a string.
    pub(crate) fn text(&mut self, name: &'static str, value: &str) {
        string(self.raw(name), value);
    }

    /// A field with a whole number.
    pub(crate) fn number(&mut self, name: &'static str, value: u64) {
        self.raw(name).push_str(&value.to_string());
    }

    /// The field that names the request.
    pub(crate) fn request_id(&mut self, id: RequestId) {
        let text = self.raw("requestId");
        text.push('"');
        text.push_str(std::str::from_utf8(&id.hex()).expect("hexadecimal digits"));
        text.push('"');
    }

    /// Begins a field; its value is written to the text that is given back.
    pub(crate) fn raw(&mut self, name: &'static str) -> &mut String {
        if !self.text.ends_with('{') {
            self.text.push(',');
        }
        self.text.push('"');
        self.text.push_str(name);
        self.text.push_str("\":");
        &mut self.text
    }

    /// Begins a field with an object, whose fields follow until [`Object::end`].
    pub(crate) fn begin(&mut self, name: &'static str) {
        self.raw(name).push('{');
    }

    /// Ends the object begun last.
    pub(crate) fn end(&mut self) {
        self.text.push('}');
    }

    /// The whole text.
    pub(crate) fn close(mut self) -> String {
        self.end();
        self.text
    }
}

/// Writes a list, each item by `write`.
pub(crate) fn list<T>(
    out: &mut String,
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut String, T) -> yunzhan_base::Result<()>,
) -> yunzhan_base::Result<()> {
    out.push('[');
    for (position, item) in items.into_iter().enumerate() {
        if position > 0 {
            out.push(',');
        }
        write(out, item)?;
    }
    out.push(']');
    Ok(())
}

/// Writes a list of documents, each as Extended JSON in a string: what the SDKs parse once more.
pub(crate) fn server_texts(
    out: &mut String,
    bodies: impl IntoIterator<Item = documents::Body>,
) -> yunzhan_base::Result<()> {
    // Every document is written once into this text, and from there as a string into the answer.
    let mut text = String::new();
    list(out, bodies, |out, body| {
        text.clear();
        body.append(&mut text, Mode::Server)?;
        string(out, &text);
        Ok(())
    })
}

/// Writes a JSON string.
pub(crate) fn string(out: &mut String, text: &str) {
    out.push('"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..=0x1f => {
                out.push_str(&text[plain..at]);
                out.push_str(&format!("\\u{byte:04x}"));
                plain = at + 1;
                continue;
            }
            _ => continue,
        };
        out.push_str(&text[plain..at]);
        out.push_str(escape);
        plain = at + 1;
    }
    out.push_str(&text[plain..]);
    out.push('"');
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    #[test]
    fn strings_are_what_a_json_reader_reads() {
        for text in ["", "plain", "云栈 😀", "\"quoted\" \\ \n\r\t\u{1}\u{7f}\u{2028}", "\u{0}end"]
        {
            let mut out = String::new();
            string(&mut out, text);
            assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
        }
    }

    #[test]
    fn fields_follow_one_another() {
        let mut object = Object::new();
        object.text("code", "A");
        object.begin("data");
        object.number("total", 7);
        list(object.raw("list"), [1, 2], |out, item: i32| {
            out.push_str(&item.to_string());
            Ok(())
        })
        .unwrap();
        object.end();
        object.request_id(RequestId::NONE);
        let zeros = "0".repeat(32);
        let expected =
            format!(r#"{{"code":"A","data":{{"total":7,"list":[1,2]}},"requestId":"{zeros}"}}"#);
        assert_eq!(object.close(), expected);
    }
}
