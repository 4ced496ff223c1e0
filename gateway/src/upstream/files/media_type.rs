//! Media types by the ending of a name, without case.

use http::HeaderValue;

/// What IANA registers where the crate's table still has an older name.
const REGISTERED: &[(&str, &str)] = &[
    ("cer", "application/pkix-cert"),
    ("der", "application/pkix-cert"),
    ("ico", "image/vnd.microsoft.icon"),
    ("m3u8", "application/vnd.apple.mpegurl"),
    ("m4a", "audio/mp4"),
    // A source map is JSON.
    ("map", "application/json"),
    ("mjs", "text/javascript"),
    ("mts", "video/mp2t"),
    ("otf", "font/otf"),
    ("rar", "application/vnd.rar"),
    ("toml", "application/toml"),
    ("ts", "video/mp2t"),
    ("vcf", "text/vcard"),
    ("woff", "font/woff"),
    ("yaml", "application/yaml"),
    ("yml", "application/yaml"),
];

/// The type of a file of this name. Text is UTF-8; what has no known ending is bytes.
pub(super) fn of(path: &str) -> HeaderValue {
    let name = path.rsplit('/').next().unwrap_or_default();
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    let registered = REGISTERED.iter().find(|(known, _)| known.eq_ignore_ascii_case(ending));
    let guessed = || mime_guess::from_ext(ending).first_raw();
    let media_type = registered.map(|(_, media_type)| *media_type).or_else(guessed);
    let media_type = media_type.unwrap_or("application/octet-stream");
    if !media_type.starts_with("text/") {
        return HeaderValue::from_static(media_type);
    }
    HeaderValue::from_str(&format!("{media_type}; charset=utf-8")).expect("a media type is ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_name_the_types_that_iana_registers() {
        for (name, expected) in [
            ("index.html", "text/html; charset=utf-8"),
            ("old.htm", "text/html; charset=utf-8"),
            ("a.css", "text/css; charset=utf-8"),
            ("a.js", "text/javascript; charset=utf-8"),
            ("a.mjs", "text/javascript; charset=utf-8"),
            ("a.json", "application/json"),
            ("a.js.map", "application/json"),
            ("a.wasm", "application/wasm"),
            ("a.webmanifest", "application/manifest+json"),
            ("MP_verify_x.txt", "text/plain; charset=utf-8"),
            ("a.csv", "text/csv; charset=utf-8"),
            ("a.md", "text/markdown; charset=utf-8"),
            ("a.vtt", "text/vtt; charset=utf-8"),
            ("a.xml", "text/xml; charset=utf-8"),
            ("a.svg", "image/svg+xml"),
            ("a.gif", "image/gif"),
            ("B.JPG", "image/jpeg"),
            ("a.Png", "image/png"),
            ("a.webp", "image/webp"),
            ("a.avif", "image/avif"),
            ("favicon.ico", "image/vnd.microsoft.icon"),
            ("a.mp4", "video/mp4"),
            ("a.MOV", "video/quicktime"),
            ("live.M3U8", "application/vnd.apple.mpegurl"),
            ("live-1.ts", "video/mp2t"),
            ("a.mp3", "audio/mpeg"),
            ("a.ttf", "font/ttf"),
            ("a.otf", "font/otf"),
            ("a.woff", "font/woff"),
            ("a.woff2", "font/woff2"),
            ("a.pdf", "application/pdf"),
            ("a.zip", "application/zip"),
            ("a.apk", "application/vnd.android.package-archive"),
            ("a", "application/octet-stream"),
            ("a.", "application/octet-stream"),
            ("a.b/c", "application/octet-stream"),
            ("html", "application/octet-stream"),
            (".well-known/acme-challenge/a_b", "application/octet-stream"),
        ] {
            assert_eq!(of(name), expected, "{name}");
        }
    }
}
