//! Whoever answers: a service of this process, a server elsewhere, or a folder.

pub(crate) mod files;
pub(crate) mod local;
pub(crate) mod progress;
pub(crate) mod remote;

use std::pin::Pin;

use yunzhan_base::Error;

use crate::exchange::{Answered, Exchange, Upstream, UpstreamFuture};
use crate::upstream::files::Files;

impl Upstream for Files {
    fn answer<'x>(&'x self, exchange: &'x mut Exchange) -> UpstreamFuture<'x> {
        Box::pin(async move { self.answer(&exchange.head).await.map(Answered::Response) })
    }

    fn refusal<'x>(
        &'x self,
        path: &'x str,
    ) -> Option<Pin<Box<dyn Future<Output = Error> + Send + 'x>>> {
        Some(Box::pin(self.refusal(path)))
    }
}
