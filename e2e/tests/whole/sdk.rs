//! The unmodified published clients against a fresh server, on each backend. What the steps are stands in `node/`.

use yunzhan_e2e::environment::Permission;
use yunzhan_e2e::node::{Packages, Score, failures};
use yunzhan_e2e::{Backend, Environment, Options, Server, WeChat};

const ENV: &str = "shop";
const APPID: &str = "wx0123456789abcdef";
const APP_SECRET: &str = "an app's secret";

/// A server with the WeChat stand-in, and an environment with the collections that the drivers ask for.
struct Scene {
    server: Server,
    wechat: WeChat,
    environment: Environment,
}

impl Scene {
    async fn set(backend: Backend) -> Option<Self> {
        let wechat = WeChat::start().await.unwrap();
        wechat.register_app(APPID, APP_SECRET);
        // A refresh token that comes again is theft at once: the driver does not wait.
        let options = Options::default().with_wechat(&wechat).with("identity.refresh_grace", "0s");
        let server = Server::start_on(backend, options).await?;
        let environment = server.add_mini_program(ENV, APPID, APP_SECRET).await;
        for (name, permission) in [
            ("e2e_private", Permission::Private),
            ("e2e_readonly", Permission::ReadOnly),
            ("e2e_adminonly", Permission::AdminOnly),
        ] {
            server.add_collection(ENV, name, permission).await;
        }
        Some(Self { server, wechat, environment })
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("YUNZHAN_URL", self.server.url("http").to_owned()),
            ("YUNZHAN_ENV", ENV.to_owned()),
            ("YUNZHAN_APPID", APPID.to_owned()),
            ("YUNZHAN_WECHAT", self.wechat.base_url()),
            ("YUNZHAN_SECRET_ID", self.environment.key.id.clone()),
            ("YUNZHAN_SECRET_KEY", self.environment.key.secret.clone()),
            ("YUNZHAN_ACCESS_KEY", self.environment.access_key.clone()),
        ]
    }
}

/// Runs a driver; each of its steps has to pass, and none may have got lost.
async fn every_step_passes(driver: &[&str], backend: Backend, steps: u32) {
    let Some(packages) = Packages::install().await else { return };
    let Some(scene) = Scene::set(backend).await else { return };
    let variables = scene.variables();
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let output = packages.drive(driver, &variables).await;
    let expected = Some(Score { passed: steps, failed: 0 });
    assert_eq!(Score::of(&output), expected, "{driver:?}:\n{}", failures(&output));
}

macro_rules! drivers {
    ($($name:ident: $driver:expr, $steps:literal;)*) => {
        $(mod $name {
            use super::*;

            #[tokio::test]
            async fn on_sqlite() {
                every_step_passes(&$driver, Backend::Sqlite, $steps).await;
            }

            #[tokio::test]
            async fn on_mysql() {
                every_step_passes(&$driver, Backend::Mysql, $steps).await;
            }
        })*
    };
}

drivers! {
    wx_server_sdk_4: ["wx-server-sdk.js", "4"], 62;
    wx_server_sdk_2: ["wx-server-sdk.js", "2"], 62;
    node_sdk: ["node-sdk.js"], 80;
    js_sdk_gateway: ["js-sdk.js", "gateway"], 98;
    js_sdk_web: ["js-sdk.js", "web"], 98;
}
