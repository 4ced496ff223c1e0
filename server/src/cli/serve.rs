//! `yunzhan serve`: everything, until told to stop.

use std::sync::Arc;

use yunzhan_base::event::{Events, Level};
use yunzhan_base::{Clock, Error};
use yunzhan_ops::Notices;

use super::context::{Context, Failure};
use super::output::{complain, failed};
use super::{EXIT_DONE, EXIT_FAILED};
use crate::app::App;
use crate::signals::Signals;

/// Serves; 0 when every request ended in order, or when it was told to stop before there was one.
pub(super) fn run(context: &Context) -> u8 {
    match serve(context) {
        Ok(true) => EXIT_DONE,
        Ok(false) => EXIT_FAILED,
        Err(failure) => {
            complain(&failed(&failure, context));
            EXIT_FAILED
        }
    }
}

fn serve(context: &Context) -> Result<bool, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| Error::internal("starting the runtime").because(error))?;
    let served = runtime.block_on(async {
        // Before anything else, for a signal that comes earlier ends the process as the system pleases.
        let mut signals = Signals::take()
            .map_err(|error| Error::internal("taking signals over").because(error))?;
        match start(context, &mut signals).await? {
            Some(app) => Ok(app.serve(signals).await?),
            None => Ok(true),
        }
    });
    // What still runs after the drain has had its time.
    runtime.shutdown_background();
    served
}

/// Opens everything, or nothing when it is told to stop meanwhile: each step of a start may be cut anywhere.
async fn start(context: &Context, signals: &mut Signals) -> Result<Option<App>, Failure> {
    // In a task of its own, because opening also computes: rules are compiled, files are read.
    let (context, json) = (context.clone(), context.json);
    let mut opening = tokio::spawn(async move {
        Ok::<_, Failure>(App::open(context.start(true).await?).await?)
    });
    tokio::select! {
        opened = &mut opening => match opened {
            Ok(app) => app.map(Some),
            Err(error) => Err(Error::internal("the start panicked").because(error).into()),
        },
        () = signals.stop() => {
            opening.abort();
            let told = Arc::new(Notices::new(json, Clock::System));
            Events::to(vec![told]).notice(Level::Info, "stopped", "stopped before it was ready");
            Ok(None)
        }
    }
}
