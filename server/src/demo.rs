//! What a server without configuration shows: a small shop, carried by the program itself.

use yunzhan_gateway::{Asset, Files};

/// The environment that the page talks to.
pub(crate) const ENV: &str = "demo";

/// The shop's goods.
pub(crate) const SEED: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/shop/seed.json"));

/// Files of `examples/shop/h5`; a test compares the list with the folder.
macro_rules! shop {
    ($($path:literal),* $(,)?) => {
        &[$(Asset {
            path: $path,
            bytes: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/shop/h5/", $path)),
        }),*]
    };
}

const SHOP: &[Asset] = shop![
    "api.js",
    "app.js",
    "art.svg",
    "dom.js",
    "http.js",
    "i18n.js",
    "icon.svg",
    "index.html",
    "parts.css",
    "session.js",
    "store.js",
    "style.css",
    "views/account.js",
    "views/cart.js",
    "views/detail.js",
    "views/orders.js",
    "views/shop.js",
];

/// The shop's page.
pub(crate) fn page() -> Files {
    Files::carried(SHOP)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    fn files_below(folder: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries
            .flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] })
            .collect()
    }

    #[test]
    fn the_whole_shop_is_carried() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/shop/h5");
        let mut on_disk: Vec<_> = files_below(&root)
            .iter()
            .map(|path| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned())
            .collect();
        on_disk.sort();
        let carried: Vec<_> = SHOP.iter().map(|asset| asset.path).collect();
        assert_eq!(
            carried, on_disk,
            "list every file of examples/shop/h5 in server/src/demo.rs, sorted"
        );
    }
}
