//! `yunzhan serve`: everything, until told to stop.

use yunzhan_base::Error;

use super::context::{Context, Failure};
use super::output::{complain, failed};
use super::{EXIT_DONE, EXIT_FAILED};
use crate::app::App;

/// Serves; 0 when every request ended in order.
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
    let loaded = context.source.load()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| Error::internal("starting the runtime").because(error))?;
    let served =
        runtime.block_on(async { App::open(context.start(loaded, true)).await?.serve().await });
    // What still runs after the drain has had its time.
    runtime.shutdown_background();
    Ok(served?)
}
