//! `yunzhan version`: which program, which data format, for which machine.

use serde_json::json;
use yunzhan_base::data_dir::FORMAT_VERSION;

use super::EXIT_DONE;
use super::context::Context;
use super::output::print;

/// Prints the version.
pub(super) fn run(context: &Context) -> u8 {
    let (version, system, machine) =
        (env!("CARGO_PKG_VERSION"), std::env::consts::OS, std::env::consts::ARCH);
    if context.json {
        let object =
            json!({ "version": version, "format": FORMAT_VERSION, "os": system, "arch": machine });
        print(&format!("{object}\n"));
    } else {
        let format = context.lang.pick("data format", "数据格式");
        print(&format!("yunzhan {version} ({system} {machine}, {format} {FORMAT_VERSION})\n"));
    }
    EXIT_DONE
}
