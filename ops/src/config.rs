//! The keys of `[log]`.

use yunzhan_base::config::{ByteSize, Reader};

use crate::access_log::Keep;

/// With five older files 384 MiB: a day of a busy shop, and never a full disk.
const ACCESS_LOG_BYTES_DEFAULT: ByteSize = ByteSize::mib(64);
/// See [`ACCESS_LOG_BYTES_DEFAULT`].
const ACCESS_LOG_FILES_DEFAULT: u32 = 5;

/// What operators decide.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// The access log; none when it is turned off.
    pub access_log: Option<Keep>,
}

impl Config {
    /// Reads the keys of `[log]`.
    pub fn read(log: &mut Reader<'_>) -> Self {
        let enabled = log.value("access", true, "whether requests are logged to `log/access.log`");
        let bytes = log.value_in(
            "access_bytes_max",
            ACCESS_LOG_BYTES_DEFAULT,
            ByteSize::kib(64)..=ByteSize::gib(64),
            "when the file is full and the next one begins",
        );
        let files = log.value_in(
            "access_files",
            ACCESS_LOG_FILES_DEFAULT,
            0..=1000,
            "older files that are kept",
        );
        let daily = log.value(
            "access_daily",
            false,
            "whether the next file also begins at midnight (UTC), so that `access_files` counts days",
        );
        let keep = Keep { file_bytes_max: bytes.get(), files, daily };
        Self { access_log: enabled.then_some(keep) }
    }
}
