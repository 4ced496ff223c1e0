//! How WeChat says no: HTTP 200 with `{errcode, errmsg}`. The numbers are those of its published list.

use serde_json::{Value, json};

/// One line of WeChat's list of return codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    errcode: i32,
    errmsg: &'static str,
}

impl Refusal {
    pub(super) const BUSY: Self = Self::new(-1, "system error");
    pub(super) const GRANT_TYPE: Self = Self::new(40002, "invalid grant_type");
    pub(super) const APPID: Self = Self::new(40013, "invalid appid");
    pub(super) const CODE: Self = Self::new(40029, "invalid code");
    pub(super) const SECRET: Self = Self::new(40125, "invalid appsecret");
    pub(super) const CODE_USED: Self = Self::new(40163, "code been used");
    pub(super) const RISKY_USER: Self = Self::new(40226, "code blocked");
    pub(super) const APPID_MISSING: Self = Self::new(41002, "appid missing");
    pub(super) const SECRET_MISSING: Self = Self::new(41004, "appsecret missing");
    pub(super) const CODE_MISSING: Self = Self::new(41008, "missing code");
    pub(super) const DAY_LIMIT: Self = Self::new(45009, "reach max api daily quota limit");
    pub(super) const MINUTE_LIMIT: Self =
        Self::new(45011, "api minute-quota reach limit, must slower, retry next minute");
    pub(super) const NOT_JSON: Self = Self::new(47001, "data format error");

    const fn new(errcode: i32, errmsg: &'static str) -> Self {
        Self { errcode, errmsg }
    }

    pub(super) fn body(self) -> Value {
        json!({ "errcode": self.errcode, "errmsg": self.errmsg })
    }
}
