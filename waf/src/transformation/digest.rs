//! Digests, raw, and the length in decimal. These make something of an empty value too.

use std::io::Write as _;

use md5::{Digest as _, Md5};
use sha1::Sha1;

pub(super) fn md5(value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&Md5::digest(value));
}

pub(super) fn sha1(value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&Sha1::digest(value));
}

pub(super) fn length(value: &[u8], out: &mut Vec<u8>) {
    let _ = write!(out, "{}", value.len());
}
