//! A stand-in for the server API of WeChat that Yunzhan calls. It is written from WeChat's published rules and keeps their
//! state, so that a mistake of ours meets the same answer here as there: codes are good once and for five minutes, users
//! have rates, tokens are replaced on time.
//!
//! | endpoint | what it is |
//! |---|---|
//! | `GET /sns/jscode2session` | a login code becomes an openid and a session key |
//! | `POST /cgi-bin/stable_token` | the app's access token |
//! | `GET /stand-in/login-code?appid=&user=` | ours: what `wx.login` gives on that user's phone |
//!
//! Everything else that WeChat has is answered 404, so that a new call is noticed.

mod http;
mod platform;
mod refusal;
mod session;
mod token;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use yunzhan_base::Clock;

use self::platform::Platform;

pub use self::http::Received;

/// A running stand-in on a loopback port of its own. It ends when it is dropped.
#[derive(Debug)]
pub struct WeChat {
    shared: Arc<Shared>,
    address: SocketAddr,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    platform: Platform,
    received: http::Record,
}

impl WeChat {
    /// Starts on a free port, by the machine's clock.
    ///
    /// # Errors
    /// When no loopback port can be had.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_at(Clock::System).await
    }

    /// Starts on a free port, by a clock that the test may move.
    ///
    /// # Errors
    /// When no loopback port can be had.
    pub async fn start_at(clock: Clock) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { clock, state: Mutex::default() });
        let server = tokio::spawn(http::serve(listener, Arc::clone(&shared)));
        Ok(Self { shared, address, server })
    }

    /// What the server is told instead of `https://api.weixin.qq.com`; no slash at its end.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Makes a mini-program known. Registering it again gives it another secret.
    pub fn register_app(&self, appid: &str, secret: &str) {
        self.platform(|platform, _| platform.register(appid, secret));
    }

    /// Puts the app under an open platform account: logins then carry a `unionid`, which is the same in all such apps.
    pub fn join_open_platform(&self, appid: &str) {
        self.platform(|platform, _| platform.join_open_platform(appid));
    }

    /// What `wx.login` gives on `user`'s phone. The user is whoever the test names.
    ///
    /// # Panics
    /// When the app was never registered.
    pub fn login_code(&self, appid: &str, user: &str) -> String {
        let code = self.platform(|platform, now_ms| platform.login_code(appid, user, now_ms));
        code.expect("the app is registered before somebody logs in to it")
    }

    /// The openid that this user has in this app, before and after any login.
    pub fn openid(&self, appid: &str, user: &str) -> String {
        platform::openid(appid, user)
    }

    /// From now on WeChat takes this user for a risk and stops the login in every app.
    pub fn mark_risky(&self, user: &str) {
        self.platform(|platform, _| platform.mark_risky(user));
    }

    /// The next `calls` calls of the server API are answered "system error" (-1), whatever they ask.
    pub fn be_busy(&self, calls: u32) {
        self.platform(|platform, _| platform.be_busy(calls));
    }

    /// Whether this access token would be taken now, for which app. For the APIs that a test adds.
    pub fn token_owner(&self, token: &str) -> Option<String> {
        self.platform(|platform, now_ms| platform.token_owner(token, now_ms))
    }

    /// What was received so far, oldest first; calls of the stand-in's own endpoint are left out.
    pub fn requests(&self) -> Vec<Received> {
        self.shared.lock().received.all()
    }

    fn platform<T>(&self, act: impl FnOnce(&mut Platform, i64) -> T) -> T {
        act(&mut self.shared.lock().platform, self.shared.clock.now_ms())
    }
}

impl Drop for WeChat {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no one panics while holding the stand-in's state")
    }
}
