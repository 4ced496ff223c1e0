//! The `Content-Disposition` of a part.

use memchr::memmem;

use super::flags::Flags;
use crate::body::{Fill, hex};
use crate::seclang::ast::Variable;

/// What the header says.
#[derive(Default)]
pub(super) struct Disposition {
    pub(super) name: Vec<u8>,
    /// Empty where the part is no file.
    pub(super) filename: Vec<u8>,
    /// `filename*` without its encoding.
    pub(super) filename_decoded: Option<Vec<u8>>,
}

/// Reads `form-data; name="…"; filename="…"; filename*=…`, and refuses what readers understand in several ways.
pub(super) fn read(
    value: &[u8],
    flags: &mut Flags,
    fill: &mut dyn Fill,
) -> Result<Disposition, &'static str> {
    let mut found = Disposition::default();
    let rest = value.strip_prefix(b"form-data").ok_or("Content-Disposition is not form-data")?;
    let mut text = Text(rest);
    text.skip_space();
    if !text.0.is_empty() {
        text.expect(b';', "Content-Disposition lacks a semicolon")?;
    }
    while !text.0.is_empty() {
        text.parameter(&mut found, flags, fill)?;
    }
    if found.name.is_empty() {
        return Err("Content-Disposition without a name");
    }
    // Who looks for the literal must find what we found.
    if found.filename.is_empty() {
        if found.filename_decoded.is_some() {
            return Err("Content-Disposition with filename* and no filename");
        }
    } else if memmem::find(value, b"filename=").is_none() {
        return Err("space behind filename in Content-Disposition");
    }
    Ok(found)
}

/// What is left of the header.
struct Text<'t>(&'t [u8]);

impl<'t> Text<'t> {
    fn parameter(
        &mut self,
        found: &mut Disposition,
        flags: &mut Flags,
        fill: &mut dyn Fill,
    ) -> Result<(), &'static str> {
        self.skip_space();
        let name = self.take_while(|byte| !matches!(byte, b'=' | b'\t' | b' '));
        self.skip_space();
        self.expect(b'=', "a parameter of Content-Disposition without a value")?;
        self.skip_space();
        match name {
            b"name" => {
                let value = self.value(flags)?;
                fill.add(Variable::MultipartName, &value, &value);
                if !found.name.is_empty() {
                    return Err("name twice in Content-Disposition");
                }
                found.name = value;
            }
            b"filename" => {
                let value = self.value(flags)?;
                fill.add(Variable::MultipartFilename, &value, &value);
                if !found.filename.is_empty() {
                    return Err("filename twice in Content-Disposition");
                }
                found.filename = value;
            }
            b"filename*" => {
                let value = self.extended()?;
                fill.add(Variable::MultipartFilename, &value, &value);
                if found.filename_decoded.replace(value).is_some() {
                    return Err("filename* twice in Content-Disposition");
                }
            }
            _ => return Err("a parameter of Content-Disposition that is not known"),
        }
        self.skip_space();
        if self.0.is_empty() {
            Ok(())
        } else {
            self.expect(b';', "Content-Disposition lacks a semicolon")
        }
    }

    /// A value, in quotes or not. Single quotes are read as some do who should not, and flagged.
    fn value(&mut self, flags: &mut Flags) -> Result<Vec<u8>, &'static str> {
        let quote = match self.0.first() {
            Some(quote @ (b'"' | b'\'')) => *quote,
            Some(_) => {
                let value = self.take_while(is_token).to_vec();
                self.no_quotes(&value, flags);
                return Ok(value);
            }
            None => return Err("a parameter of Content-Disposition without a value"),
        };
        flags.raise_if(quote == b'\'', Variable::MultipartInvalidQuoting);
        let (mut value, mut at) = (Vec::new(), 1);
        loop {
            match self.0.get(at..).unwrap_or_default() {
                [byte, ..] if *byte == quote => break,
                // A backslash before anything else is one: browsers of old sent whole paths.
                [b'\\', byte, ..] if *byte == quote || *byte == b'\\' => {
                    value.push(*byte);
                    at += 2;
                }
                [byte, ..] => {
                    value.push(*byte);
                    at += 1;
                }
                [] => {
                    flags.raise(Variable::MultipartInvalidQuoting);
                    return Err("quotes without an end in Content-Disposition");
                }
            }
        }
        self.0 = &self.0[at + 1..];
        if quote == b'\'' {
            self.no_quotes(&value, flags);
        }
        let is_stray = !matches!(self.0.trim_ascii_start().first(), None | Some(b';'));
        flags.raise_if(is_stray, Variable::MultipartInvalidQuoting);
        Ok(value)
    }

    fn no_quotes(&self, value: &[u8], flags: &mut Flags) {
        flags.raise_if(value.contains(&b'\''), Variable::MultipartInvalidQuoting);
    }

    /// `charset'language'value` of RFC 8187, the value decoded.
    fn extended(&mut self) -> Result<Vec<u8>, &'static str> {
        const WRONG: &str = "filename* in Content-Disposition is not as RFC 8187 has it";
        let charset = self
            .take_while(|byte| byte.is_ascii_alphanumeric() || b"!#$%&+-^_`{}~".contains(&byte));
        if charset.is_empty() {
            return Err(WRONG);
        }
        self.expect(b'\'', WRONG)?;
        self.take_while(|byte| byte != b'\'');
        self.expect(b'\'', WRONG)?;
        let encoded = self.take_while(|byte| byte != b';');
        let (mut value, mut at) = (Vec::new(), 0);
        while let Some(&byte) = encoded.get(at) {
            match byte {
                b'%' => {
                    value.push(encoded.get(at + 1..at + 3).and_then(hex).ok_or(WRONG)?);
                    at += 3;
                }
                _ if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`~".contains(&byte) => {
                    value.push(byte);
                    at += 1;
                }
                _ => return Err(WRONG),
            }
        }
        Ok(value)
    }

    fn take_while(&mut self, is_meant: impl Fn(u8) -> bool) -> &'t [u8] {
        let len = self.0.iter().take_while(|&&byte| is_meant(byte)).count();
        let (taken, rest) = self.0.split_at(len);
        self.0 = rest;
        taken
    }

    fn skip_space(&mut self) {
        self.take_while(|byte| byte == b' ' || byte == b'\t');
    }

    fn expect(&mut self, byte: u8, otherwise: &'static str) -> Result<(), &'static str> {
        self.0 = self.0.strip_prefix(&[byte]).ok_or(otherwise)?;
        Ok(())
    }
}

/// Characters of a token: RFC 2045 section 5.1.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&byte)
}
