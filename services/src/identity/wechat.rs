//! The one call to WeChat that a login needs: the code that a phone got from `wx.login`, for the person's openid.

use std::time::Instant;

use serde::Deserialize;
use yunzhan_base::{Error, Kind, Result, Secret};
use yunzhan_net::http::{Client, Target};

use super::logic::{OPENID_BYTES_MAX, percent_encode};

/// The largest answer in bytes; real ones have about 200.
const ANSWER_BYTES_MAX: usize = 16 << 10;

/// The longest login code in bytes; WeChat's have 32.
const CODE_BYTES_MAX: usize = 128;

/// What `jscode2session` answers. The session key is not even read: nothing here needs it, and it must never leave.
#[derive(Deserialize)]
struct Session {
    #[serde(default)]
    openid: Option<String>,
    #[serde(default)]
    errcode: i64,
}

/// Asks who gave this code. Errors: `InvalidGrant` for a bad or used code, `LimitExceeded`, `PermissionDenied` for a person
/// whom WeChat blocks, `Unavailable` when WeChat cannot be asked.
pub(crate) async fn openid_of_code(
    client: &Client,
    wechat: &Target,
    app: (&str, &Secret),
    code: &str,
    deadline: Instant,
) -> Result<String> {
    check_code(code)?;
    let secret = app.1.expose_str().ok_or_else(|| Error::internal("an app secret is not text"))?;
    let path = format!(
        "/sns/jscode2session?appid={}&secret={}&js_code={}&grant_type=authorization_code",
        percent_encode(app.0),
        percent_encode(secret),
        percent_encode(code)
    );
    let answer = client.get_bytes(wechat, &path, ANSWER_BYTES_MAX, deadline).await;
    let (status, body) = answer.map_err(unreachable)?;
    if !status.is_success() {
        return Err(unreachable(Error::internal(format!("WeChat answered {status}"))));
    }
    let session: Session = serde_json::from_slice(&body).map_err(|error| {
        Error::new(Kind::BadUpstream, "WeChat's answer is not understood").because(error)
    })?;
    read_session(session)
}

fn read_session(session: Session) -> Result<String> {
    if session.errcode != 0 {
        return Err(refusal(session.errcode));
    }
    let plain = |openid: &String| {
        (1..=OPENID_BYTES_MAX).contains(&openid.len())
            && openid.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let openid = session.openid.filter(plain);
    openid.ok_or_else(|| Error::new(Kind::BadUpstream, "WeChat's answer names nobody"))
}

/// WeChat's error number as one of our kinds.
fn refusal(errcode: i64) -> Error {
    let (kind, message) = match errcode {
        40029 => (Kind::InvalidGrant, "WeChat does not know this login code; call wx.login again"),
        40163 => (Kind::InvalidGrant, "this login code was used before; call wx.login again"),
        45011 => {
            (Kind::LimitExceeded, "WeChat allows no more logins this minute; wait and try again")
        }
        40226 => {
            (Kind::PermissionDenied, "WeChat blocks this person as a risk; they cannot log in")
        }
        -1 => (Kind::Unavailable, "WeChat is busy; try again"),
        40001 | 40013 | 40125 => (
            Kind::Unavailable,
            "WeChat refuses the environment's appid or secret; the operator must correct them",
        ),
        _ => (Kind::BadUpstream, "WeChat refused the login for another reason"),
    };
    Error::new(kind, message).with_detail(format!("jscode2session answered errcode {errcode}"))
}

fn unreachable(error: Error) -> Error {
    let kind = if error.kind() == Kind::Timeout { Kind::Timeout } else { Kind::Unavailable };
    Error::new(kind, "WeChat cannot be reached; try again").because(error)
}

fn check_code(code: &str) -> Result<()> {
    if (1..=CODE_BYTES_MAX).contains(&code.len())
        && code.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return Ok(());
    }
    Err(Error::new(Kind::InvalidParameter, "provider_code is what wx.login gave"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_says_what_to_do() {
        let check = |errcode: i64| {
            let error = refusal(errcode);
            format!("{} {}", error.kind().name(), error.message())
        };
        let table: Vec<String> =
            [40029, 40163, 45011, 40226, -1, 40125, 99999].into_iter().map(check).collect();
        expect_test::expect![[r#"
            invalid_grant WeChat does not know this login code; call wx.login again
            invalid_grant this login code was used before; call wx.login again
            limit_exceeded WeChat allows no more logins this minute; wait and try again
            permission_denied WeChat blocks this person as a risk; they cannot log in
            unavailable WeChat is busy; try again
            unavailable WeChat refuses the environment's appid or secret; the operator must correct them
            bad_upstream WeChat refused the login for another reason"#]].assert_eq(&table.join("\n"));
    }

    #[test]
    fn a_code_is_bounded() {
        assert!(check_code("0a1B").is_ok());
        for bad in ["", "a b", "a\n", &"x".repeat(129)] {
            assert!(check_code(bad).is_err(), "{bad:?}");
        }
    }
}
