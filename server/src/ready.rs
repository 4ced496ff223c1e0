//! The ready line: what to open now.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use yunzhan_base::config::Lang;

use crate::cli::output::print;
use crate::config::Protocol;

/// Where everything is.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    /// In the order of the configuration.
    pub(crate) listeners: Vec<ReadyListener>,
    pub(crate) data: PathBuf,
    pub(crate) development_envs: Vec<String>,
    /// Whether there is any environment, without which nobody can call anything.
    pub(crate) has_env: bool,
    pub(crate) page: Option<Page>,
    pub(crate) elapsed: Duration,
}

/// One listener.
#[derive(Clone, Debug)]
pub(crate) struct ReadyListener {
    pub(crate) protocol: Protocol,
    pub(crate) url: String,
    /// Whether it takes connections of trusted proxies alone, and no browser's.
    pub(crate) is_behind_proxy: bool,
    /// Whether it shows the certificate that this program made.
    pub(crate) has_development_certificate: bool,
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
            "http": self.url(Protocol::Http),
            "https": self.url(Protocol::Https),
            "control": self.url(Protocol::Control),
            "listeners": self.listeners.iter().map(ReadyListener::json).collect::<Vec<_>>(),
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
        let kinds = [Protocol::Http, Protocol::Https, Protocol::Control];
        let mut rows: Vec<_> = kinds.iter().flat_map(|kind| self.rows(*kind, lang)).collect();
        rows.push((lang.pick("data", "数据目录"), self.data.display().to_string()));
        let notes = [
            (lang.pick("login", "登录"), self.login_note(lang)),
            (lang.pick("next", "下一步"), self.next_step(lang)),
        ];
        rows.extend(notes.into_iter().filter_map(|(name, note)| Some((name, note?))));
        for (name, value) in rows {
            // Writing to a String cannot fail. Chinese characters are two columns wide.
            let width = 12 - name.chars().filter(|c| !c.is_ascii()).count();
            let _ = writeln!(text, "  {name:width$}{value}");
        }
        text
    }

    /// The first URL of a kind that a program can open by itself, else the first.
    fn url(&self, kind: Protocol) -> Option<&str> {
        let of_kind = || self.listeners.iter().filter(|listener| listener.protocol == kind);
        let first = of_kind().find(|listener| !listener.is_behind_proxy).or(of_kind().next());
        first.map(|listener| listener.url.as_str())
    }

    fn rows(&self, kind: Protocol, lang: Lang) -> Vec<(&'static str, String)> {
        let of_kind = self.listeners.iter().filter(|listener| listener.protocol == kind);
        of_kind.map(|listener| self.row(listener, lang)).collect()
    }

    fn row(&self, listener: &ReadyListener, lang: Lang) -> (&'static str, String) {
        let ReadyListener { protocol, url, is_behind_proxy, .. } = listener;
        let (name, value) = match (protocol, self.page) {
            (Protocol::Https, _) => ("https", format!("{url}/{}", listener.certificate_note(lang))),
            (Protocol::Control, _) => {
                (lang.pick("control", "管理接口"), self.control_line(url, lang))
            }
            (Protocol::Http, Some(_)) if *is_behind_proxy => ("http", url.clone()),
            (Protocol::Http, Some(Page::Shop)) => {
                (lang.pick("shop page", "演示商店"), format!("{url}/"))
            }
            (Protocol::Http, Some(Page::Site)) => (lang.pick("pages", "网页"), format!("{url}/")),
            (Protocol::Http, None) => ("http", url.clone()),
        };
        let note = lang.pick("  (PROXY protocol)", "  (PROXY 协议)");
        (name, if *is_behind_proxy { value + note } else { value })
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

impl ReadyListener {
    fn certificate_note(&self, lang: Lang) -> &'static str {
        if !self.has_development_certificate {
            return "";
        }
        lang.pick(
            "  (development certificate: browsers will warn)",
            "  (开发证书: 浏览器会提示风险)",
        )
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "protocol": self.protocol.name(),
            "url": self.url,
            "proxy_protocol": self.is_behind_proxy,
        })
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn listener(protocol: Protocol, url: &str) -> ReadyListener {
        ReadyListener {
            protocol,
            url: url.into(),
            is_behind_proxy: false,
            has_development_certificate: protocol == Protocol::Https,
        }
    }

    fn demo() -> Ready {
        Ready {
            listeners: vec![
                listener(Protocol::Http, "http://localhost:8080"),
                listener(Protocol::Https, "https://localhost:8443"),
                listener(Protocol::Control, "http://127.0.0.1:8079"),
            ],
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
            listeners: vec![listener(Protocol::Http, "http://localhost:8080")],
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
            listeners: vec![ReadyListener {
                has_development_certificate: false,
                ..listener(Protocol::Https, "https://localhost:8443")
            }],
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

    #[test]
    fn every_listener_is_named_and_programs_open_the_one_without_a_proxy() {
        let behind = ReadyListener {
            is_behind_proxy: true,
            ..listener(Protocol::Http, "http://10.0.0.2:80")
        };
        let ready = Ready {
            listeners: vec![
                behind,
                listener(Protocol::Http, "http://localhost:8080"),
                listener(Protocol::Http, "http://localhost:8081"),
            ],
            development_envs: Vec::new(),
            ..demo()
        };
        expect![[r#"
            Yunzhan 0.1.0 is ready, in 0.05 s

              http        http://10.0.0.2:80  (PROXY protocol)
              shop page   http://localhost:8080/
              shop page   http://localhost:8081/
              data        /srv/shop
        "#]]
        .assert_eq(&ready.text(Lang::En));
        let line: serde_json::Value = serde_json::from_str(&ready.json()).unwrap_or_default();
        assert_eq!(line["http"], "http://localhost:8080");
        assert_eq!(line["listeners"][0]["proxy_protocol"], true);
        assert_eq!(line["https"], serde_json::Value::Null);
    }
}
