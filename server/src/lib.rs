//! Wiring: every room of Yunzhan meets here.
