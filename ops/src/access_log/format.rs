//! What the lines say. Their form is read by people's tools: members are added, never renamed.

use yunzhan_base::event::{AttackSuspected, ConnectionFailed, Outcome, RequestEnded, RequestFacts};
use yunzhan_base::mask;

use crate::line::Line;
use crate::timestamp::Timestamp;

/// Paths longer than this are cut: they are attacks, not addresses.
const PATH_CHARS_MAX: usize = 512;

/// Causes are long when sources chain.
const DETAIL_CHARS_MAX: usize = 512;

/// Rules that matched one request and that its line tells of.
const MATCHES_MAX: usize = 50;

/// One line for a request.
pub(super) fn request_line(lines: &mut Vec<u8>, now_ms: i64, request: &RequestEnded<'_>) {
    let RequestFacts { request_id, route, env, user, method, path, remote } = request.facts;
    let mut line = Line::begin(lines);
    let id = request_id.hex();
    line.word("at", Timestamp(now_ms).text(&mut [0; 24]))
        .word("request_id", std::str::from_utf8(&id).unwrap_or_default())
        .text("method", method.as_str(), 32)
        .text("path", path, PATH_CHARS_MAX)
        .number("status", u64::from(request.status.as_u16()))
        .number("duration_us", request.duration_us)
        .number("body_bytes", request.body_bytes_sent)
        .text("route", route, 128)
        .address("remote", remote)
        .word("protocol", request.protocol)
        .plain("tls", false, request.tls);
    if let Some(env) = env {
        line.word("env", env.as_str());
    }
    if let Some(user) = user {
        line.text("user", &mask::identifier(user), 16);
    }
    if request.outcome != Outcome::Complete {
        line.plain("outcome", true, request.outcome.name());
    }
    if let Some(error) = request.error {
        line.plain("error", true, error.kind().name()).text(
            "detail",
            &error.log_text(),
            DETAIL_CHARS_MAX,
        );
    }
    line.end();
}

/// One line for a request, and each rule that matched in the order of matching.
pub(super) fn attack_line(lines: &mut Vec<u8>, now_ms: i64, attack: &AttackSuspected<'_>) {
    let RequestFacts { request_id, route, env, user, method, path, remote } = attack.facts;
    let mut line = Line::begin(lines);
    let id = request_id.hex();
    line.word("at", Timestamp(now_ms).text(&mut [0; 24]))
        .word("attack", attack.matches.first().map_or("none", |first| first.attack.name()))
        .word("request_id", std::str::from_utf8(&id).unwrap_or_default())
        .text("method", method.as_str(), 32)
        .text("path", path, PATH_CHARS_MAX)
        .text("route", route, 128)
        .address("remote", remote)
        .plain("refused", false, attack.is_refused);
    if attack.is_exhausted {
        line.plain("exhausted", false, true);
    }
    if let Some(score) = attack.score {
        line.plain("score", false, score);
    }
    if let Some(env) = env {
        line.word("env", env.as_str());
    }
    if let Some(user) = user {
        line.text("user", &mask::identifier(user), 16);
    }
    line.list("matches", attack.matches.iter().take(MATCHES_MAX), |line, matched| {
        if let Some(rule) = matched.rule {
            line.number("rule", rule);
        }
        line.word("attack", matched.attack.name())
            .text("message", matched.message, DETAIL_CHARS_MAX)
            .text("variable", matched.variable, 128)
            .text("value", &matched.value, DETAIL_CHARS_MAX)
            .text("data", &matched.data, DETAIL_CHARS_MAX);
    });
    line.end();
}

/// One line for a connection that failed.
pub(super) fn connection_line(lines: &mut Vec<u8>, now_ms: i64, failed: &ConnectionFailed<'_>) {
    Line::begin(lines)
        .plain("at", true, Timestamp(now_ms))
        .plain("connection_failed", true, failed.reason.name())
        .plain("remote", true, failed.remote)
        .plain("tls", false, failed.tls)
        .text("detail", failed.detail, DETAIL_CHARS_MAX)
        .end();
}
