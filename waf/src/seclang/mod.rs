//! SecLang: text to directives.

pub mod ast;
