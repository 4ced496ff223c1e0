//! The ready line: what to open now.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use yunzhan_base::config::Lang;

use crate::cli::output::print;

/// Where everything is.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    pub(crate) http: Option<String>,
    pub(crate) https: Option<String>,
    pub(crate) development_certificate: bool,
    pub(crate) control: Option<String>,
    pub(crate) data: PathBuf,
    pub(crate) development_envs: Vec<String>,
    /// Whether there is any environment, without which nobody can call anything.
    pub(crate) has_env: bool,
    pub(crate) page: Option<Page>,
    pub(crate) elapsed: Duration,
}

/// What `/` of the clients' listener shows.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Page {
    /// The demo's shop.
    Shop,
    /// The folder of `server.site`.
    Site,
}

impl Ready {
    /// Prints it, as one line of JSON or for people.
    pub(crate) fn announce(&self, json: bool, lang: Lang) {
        print(&if json { self.json() } else { self.text(lang) });
    }

    fn json(&self) -> String {
        let line = json!({
            "ready": true,
            "version": env!("CARGO_PKG_VERSION"),
            "process": std::process::id(),
            "http": self.http,
            "https": self.https,
            "control": self.control,
            "data": self.data.display().to_string(),
            "development_login": self.development_envs,
            "elapsed_ms": u64::try_from(self.elapsed.as_millis()).unwrap_or(u64::MAX),
        });
        format!("{line}\n")
    }

    fn text(&self, lang: Lang) -> String {
        let seconds = self.elapsed.as_secs_f64();
        let version = env!("CARGO_PKG_VERSION");
        let mut text = match lang {
            Lang::En => format!("Yunzhan {version} is ready, in {seconds:.2} s\n\n"),
            Lang::Zh => format!("云栈 {version} 已就绪, 用时 {seconds:.2} 秒\n\n"),
        };
        for (name, value) in [
            self.http_row(lang),
            (
                "https",
                self.https.as_ref().map(|url| format!("{url}/{}", self.certificate_note(lang))),
            ),
            (
                lang.pick("control", "管理接口"),
                self.control.as_ref().map(|url| self.control_line(url, lang)),
            ),
            (lang.pick("data", "数据目录"), Some(self.data.display().to_string())),
            (lang.pick("login", "登录"), self.login_note(lang)),
            (lang.pick("next", "下一步"), self.next_step(lang)),
        ] {
            if let Some(value) = value {
                // Writing to a String cannot fail. Chinese characters are two columns wide.
                let width = 12 - name.chars().filter(|c| !c.is_ascii()).count();
                let _ = writeln!(text, "  {name:width$}{value}");
            }
        }
        text
    }

    fn http_row(&self, lang: Lang) -> (&'static str, Option<String>) {
        let name = match self.page {
            Some(Page::Shop) => lang.pick("shop page", "演示商店"),
            Some(Page::Site) => lang.pick("pages", "网页"),
            None => return ("http", self.http.clone()),
        };
        (name, self.http.as_ref().map(|url| format!("{url}/")))
    }

    fn certificate_note(&self, lang: Lang) -> &'static str {
        if !self.development_certificate {
            return "";
        }
        lang.pick(
            "  (development certificate: browsers will warn)",
            "  (开发证书: 浏览器会提示风险)",
        )
    }

    fn control_line(&self, url: &str, lang: Lang) -> String {
        let token = self.data.join("run").join("control.token");
        let (open, close) = lang.pick(("  (token in ", ")"), ("  (令牌在 ", " 中)"));
        format!("{url}/control/v1{open}{}{close}", token.display())
    }

    fn login_note(&self, lang: Lang) -> Option<String> {
        let envs = self.development_envs.join(", ");
        let text = match lang {
            Lang::En => format!(
                "development login: anybody may log in to {envs} under any name; give it an appid before real use"
            ),
            Lang::Zh => format!("开发登录: 任何人可用任意名字登录 {envs}; 正式使用前请设置 appid"),
        };
        (!envs.is_empty()).then_some(text)
    }

    /// What a server still lacks before a mini-program can call it.
    fn next_step(&self, lang: Lang) -> Option<String> {
        let data = self.data.display();
        let text = match lang {
            Lang::En => {
                format!("no environment yet; add one: yunzhan env add ID --data {data}")
            }
            Lang::Zh => format!("还没有环境, 请添加: yunzhan env add ID --data {data}"),
        };
        (!self.has_env).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn demo() -> Ready {
        Ready {
            http: Some("http://localhost:8080".into()),
            https: Some("https://localhost:8443".into()),
            development_certificate: true,
            control: Some("http://127.0.0.1:8079".into()),
            data: "/srv/shop".into(),
            development_envs: vec!["demo".into()],
            has_env: true,
            page: Some(Page::Shop),
            elapsed: Duration::from_millis(47),
        }
    }

    #[test]
    fn people_read_what_to_open() {
        expect![[r#"
            Yunzhan 0.1.0 is ready, in 0.05 s

              shop page   http://localhost:8080/
              https       https://localhost:8443/  (development certificate: browsers will warn)
              control     http://127.0.0.1:8079/control/v1  (token in /srv/shop/run/control.token)
              data        /srv/shop
              login       development login: anybody may log in to demo under any name; give it an appid before real use
        "#]].assert_eq(&demo().text(Lang::En));
        expect![[r#"
            云栈 0.1.0 已就绪, 用时 0.05 秒

              演示商店    http://localhost:8080/
              https       https://localhost:8443/  (开发证书: 浏览器会提示风险)
              管理接口    http://127.0.0.1:8079/control/v1  (令牌在 /srv/shop/run/control.token 中)
              数据目录    /srv/shop
              登录        开发登录: 任何人可用任意名字登录 demo; 正式使用前请设置 appid
        "#]]
        .assert_eq(&demo().text(Lang::Zh));
    }

    #[test]
    fn without_a_page_the_next_step_is_named() {
        let ready = Ready {
            https: None,
            control: None,
            development_envs: Vec::new(),
            has_env: false,
            page: None,
            ..demo()
        };
        expect![[r#"
            Yunzhan 0.1.0 is ready, in 0.05 s

              http        http://localhost:8080
              data        /srv/shop
              next        no environment yet; add one: yunzhan env add ID --data /srv/shop
        "#]]
        .assert_eq(&ready.text(Lang::En));
        expect![[r#"
            云栈 0.1.0 已就绪, 用时 0.05 秒

              http        http://localhost:8080
              数据目录    /srv/shop
              下一步      还没有环境, 请添加: yunzhan env add ID --data /srv/shop
        "#]]
        .assert_eq(&ready.text(Lang::Zh));
    }

    #[test]
    fn what_is_off_is_not_named() {
        let ready = Ready {
            http: None,
            control: None,
            development_certificate: false,
            development_envs: Vec::new(),
            ..demo()
        };
        expect![[r#"
            Yunzhan 0.1.0 is ready, in 0.05 s

              https       https://localhost:8443/
              data        /srv/shop
        "#]]
        .assert_eq(&ready.text(Lang::En));
    }
}
