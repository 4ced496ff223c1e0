//! Whole-server tests of Yunzhan, and the stand-ins they need.

pub mod wechat;
