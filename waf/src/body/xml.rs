//! XML: the text of the document is `XML:/*`, and the value of each attribute is an `XML://@*`.
//!
//! One pass without a tree. What is not well-formed is an error, and so is what makes a document say more than it shows:
//! entities and default values that it declares itself, and encodings in which ASCII is not ASCII. Nothing is ever loaded,
//! and nothing expands.

use std::collections::HashSet;

use memchr::memmem;

use super::{Fill, is_by_cut};
use crate::seclang::ast::Variable;

/// The name of the text of all elements, in the order of the document.
const TEXT: &[u8] = b"/*";
/// The name of each attribute's value; declarations of name spaces are none, as XPath has it.
const ATTRIBUTE: &[u8] = b"//@*";

/// Attributes of an element.
const ATTRIBUTES_MAX: usize = 256;

const UTF8_NAME: &[u8] = b"utf-8";
/// Encodings whose ASCII is ASCII, so that markup and what rules look for stand in them as they are.
const ENCODINGS: &[&[u8]] = &[b"us-ascii", b"iso-8859-1", b"gbk", b"gb2312", b"gb18030"];

const ENTITIES: &[(&[u8], u8)] =
    &[(b"lt", b'<'), (b"gt", b'>'), (b"amp", b'&'), (b"quot", b'"'), (b"apos", b'\'')];

/// Reads a document, or the beginning of one that was cut; `depth_max` bounds nesting.
pub(crate) fn xml(
    text: &[u8],
    depth_max: u64,
    is_cut: bool,
    fill: &mut dyn Fill,
) -> Result<(), String> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    // Behind the first byte that may not be there nothing is read.
    let is_bad = |byte: &u8| *byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r');
    let len = text.iter().position(is_bad).unwrap_or(text.len());
    let mut reader = Reader {
        text: &text[..len],
        at: 0,
        depth_max: usize::try_from(depth_max).unwrap_or(usize::MAX),
        open: Vec::new(),
        names: HashSet::new(),
        content: Vec::new(),
        value: Vec::new(),
        has_type: false,
        has_root: false,
        is_declaring: false,
        is_cut,
        fill,
    };
    let mut read = reader.run();
    if read.is_err() && is_by_cut(reader.text, reader.at, is_cut) {
        read = Ok(());
    }
    if reader.has_root {
        reader.fill.add_owned(Variable::Xml, TEXT, reader.content);
    }
    let mistake = match read {
        _ if len < text.len() => format!("unexpected byte at {len}"),
        Err(why) => why,
        Ok(()) if reader.is_declaring => "a document type with declarations of its own".to_owned(),
        Ok(()) => return Ok(()),
    };
    Err(format!("XML: {mistake}"))
}

struct Reader<'r> {
    text: &'r [u8],
    at: usize,
    depth_max: usize,
    /// The names of the elements that are open.
    open: Vec<&'r [u8]>,
    /// The names of the attributes of one element.
    names: HashSet<&'r [u8]>,
    content: Vec<u8>,
    /// The value of one attribute.
    value: Vec<u8>,
    has_type: bool,
    has_root: bool,
    is_declaring: bool,
    is_cut: bool,
    fill: &'r mut dyn Fill,
}

impl<'r> Reader<'r> {
    fn run(&mut self) -> Result<(), String> {
        let mut is_utf8 = true;
        if self.text.starts_with(b"<?xml") && self.text.get(5).copied().is_some_and(is_space) {
            is_utf8 = self.declaration()?;
        }
        let mut end = Ok(());
        if is_utf8 && let Err(error) = str::from_utf8(self.text) {
            let len = error.valid_up_to();
            self.text = &self.text[..len];
            if error.error_len().is_some() || !self.is_cut {
                end = Err(format!("unexpected byte at {len}"));
            }
        }
        while self.at < self.text.len() {
            if let Err(why) = self.piece() {
                return end.and(Err(why));
            }
        }
        end?;
        if self.open.is_empty() && self.has_root { Ok(()) } else { Err(self.unexpected()) }
    }

    /// Text up to markup or a reference, or one of these.
    fn piece(&mut self) -> Result<(), String> {
        let rest = self.rest();
        let len = memchr::memchr2(b'<', b'&', rest).unwrap_or(rest.len());
        if len > 0 {
            let text = &rest[..len];
            let is_wrong = if self.open.is_empty() {
                !text.iter().copied().all(is_space)
            } else {
                self.content.extend_from_slice(text);
                memmem::find(text, b"]]>").is_some()
            };
            if is_wrong {
                return Err(self.unexpected());
            }
            self.at += len;
            return Ok(());
        }
        if rest[0] == b'<' {
            return self.markup();
        }
        if self.open.is_empty() {
            return Err(self.unexpected());
        }
        let letter = self.reference()?;
        self.content.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    fn markup(&mut self) -> Result<(), String> {
        let is_inside = !self.open.is_empty();
        if self.skip(b"<!--") {
            self.until(b"--")?;
            return self.expect(b">");
        }
        if is_inside && self.skip(b"<![CDATA[") {
            let rest = self.rest();
            let text = self.until(b"]]>");
            self.content.extend_from_slice(match &text {
                Err(_) if self.is_cut => rest,
                text => text.as_ref().copied().unwrap_or_default(),
            });
            return text.map(drop);
        }
        if self.skip(b"<?") {
            if self.name()?.eq_ignore_ascii_case(b"xml") {
                return Err(self.unexpected());
            }
            return self.until(b"?>").map(drop);
        }
        if !self.has_type && !self.has_root && self.skip(b"<!DOCTYPE") {
            self.has_type = true;
            return self.document_type();
        }
        if is_inside && self.skip(b"</") {
            let name = self.name()?;
            self.skip_space();
            if self.open.last() != Some(&name) {
                return Err(self.unexpected());
            }
            self.open.pop();
            return self.expect(b">");
        }
        if self.has_root && !is_inside {
            return Err(self.unexpected());
        }
        self.expect(b"<")?;
        self.element()
    }

    fn element(&mut self) -> Result<(), String> {
        let name = self.name()?;
        self.has_root = true;
        self.names.clear();
        loop {
            let is_spaced = self.skip_space();
            if self.skip(b"/>") {
                return Ok(());
            }
            if self.skip(b">") {
                if self.open.len() >= self.depth_max {
                    return Err(format!("it nests deeper than {}", self.depth_max));
                }
                self.open.push(name);
                return Ok(());
            }
            if !is_spaced {
                return Err(self.unexpected());
            }
            self.attribute()?;
        }
    }

    fn attribute(&mut self) -> Result<(), String> {
        let name = self.name()?;
        if self.names.len() >= ATTRIBUTES_MAX {
            return Err(format!("an element has more than {ATTRIBUTES_MAX} attributes"));
        }
        if !self.names.insert(name) {
            return Err(self.unexpected());
        }
        self.skip_space();
        self.expect(b"=")?;
        self.skip_space();
        let quote = match self.rest().first() {
            Some(quote @ (b'"' | b'\'')) => *quote,
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        self.value.clear();
        loop {
            match self.rest().first().copied() {
                Some(byte) if byte == quote => break,
                Some(b'&') => {
                    let letter = self.reference()?;
                    self.value.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                    continue;
                }
                None if self.is_cut => {
                    self.fill.add(Variable::Xml, ATTRIBUTE, &self.value);
                    return Err(self.unexpected());
                }
                None | Some(b'<') => return Err(self.unexpected()),
                Some(byte) => self.value.push(if is_space(byte) { b' ' } else { byte }),
            }
            self.at += 1;
        }
        self.at += 1;
        if name != b"xmlns" && !name.starts_with(b"xmlns:") {
            self.fill.add(Variable::Xml, ATTRIBUTE, &self.value);
        }
        Ok(())
    }

    /// `&lt;`, `&#60;` and `&#x3c;`.
    fn reference(&mut self) -> Result<char, String> {
        let rest = self.rest();
        // The longest that means anything, with leading zeros that nobody needs.
        let end = memchr::memchr(b';', &rest[..rest.len().min(16)]);
        let end = end.ok_or_else(|| self.unexpected())?;
        let name = &rest[1..end];
        let number = |digits: &[u8], base| {
            let digits = str::from_utf8(digits).ok().filter(|it| !it.starts_with('+'))?;
            char::from_u32(u32::from_str_radix(digits, base).ok()?)
        };
        let letter = match name {
            [b'#', b'x', digits @ ..] => number(digits, 16),
            [b'#', digits @ ..] => number(digits, 10),
            _ => {
                let known = ENTITIES.iter().find(|(known, _)| *known == name);
                known.map(|&(_, byte)| char::from(byte))
            }
        };
        let is_allowed = |letter: &char| !matches!(letter, '\0'..'\t' | '\x0b' | '\x0c' | '\x0e'..' ' | '\u{fffe}' | '\u{ffff}');
        let letter = letter.filter(is_allowed).ok_or_else(|| self.unexpected())?;
        self.at += end + 1;
        Ok(letter)
    }

    /// `<?xml … ?>`. Says whether the document is UTF-8.
    fn declaration(&mut self) -> Result<bool, String> {
        self.at = 5;
        let text = self.until(b"?>")?;
        let Some(at) = memmem::find(text, b"encoding") else { return Ok(true) };
        let value = text[at + 8..].trim_ascii_start();
        let value = value.strip_prefix(b"=").map(<[u8]>::trim_ascii_start).unwrap_or_default();
        let name = match value {
            [quote @ (b'"' | b'\''), rest @ ..] => rest.split(|byte| byte == quote).next(),
            _ => None,
        };
        let name = name.ok_or_else(|| self.unexpected())?.to_ascii_lowercase();
        if name == UTF8_NAME {
            return Ok(true);
        }
        if ENCODINGS.contains(&name.as_slice()) {
            return Ok(false);
        }
        Err(format!("encoding {} is not read", String::from_utf8_lossy(&name)))
    }

    /// Behind `<!DOCTYPE`: what it declares is passed over, and noted.
    fn document_type(&mut self) -> Result<(), String> {
        let mut is_subset = false;
        loop {
            if is_subset && self.skip(b"<!--") {
                self.until(b"-->")?;
                continue;
            }
            if is_subset && self.skip(b"<?") {
                self.until(b"?>")?;
                continue;
            }
            let byte = *self.rest().first().ok_or_else(|| self.unexpected())?;
            self.at += 1;
            match byte {
                b'"' | b'\'' => drop(self.until(&[byte])?),
                b'[' if !self.is_declaring => (self.is_declaring, is_subset) = (true, true),
                b']' if is_subset => is_subset = false,
                b'>' if !is_subset => return Ok(()),
                _ => {}
            }
        }
    }

    fn name(&mut self) -> Result<&'r [u8], String> {
        let rest = self.rest();
        let is_first =
            |byte: u8| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b':' | 0x80..);
        let is_more =
            |byte: u8| is_first(byte) || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
        let len = rest.iter().take_while(|&&byte| is_more(byte)).count();
        if !rest.first().copied().is_some_and(is_first) {
            return Err(self.unexpected());
        }
        self.at += len;
        Ok(&rest[..len])
    }

    fn rest(&self) -> &'r [u8] {
        &self.text[self.at..]
    }

    /// Goes over a mark, if it stands here.
    fn skip(&mut self, mark: &[u8]) -> bool {
        let is_here = self.rest().starts_with(mark);
        self.at += if is_here { mark.len() } else { 0 };
        is_here
    }

    fn expect(&mut self, mark: &[u8]) -> Result<(), String> {
        if self.skip(mark) { Ok(()) } else { Err(self.unexpected()) }
    }

    /// Gives what stands before a mark, and goes over it.
    fn until(&mut self, mark: &[u8]) -> Result<&'r [u8], String> {
        let rest = self.rest();
        let Some(len) = memmem::find(rest, mark) else {
            self.at = self.text.len();
            return Err(self.unexpected());
        };
        self.at += len + mark.len();
        Ok(&rest[..len])
    }

    /// Says whether there was any.
    fn skip_space(&mut self) -> bool {
        let len = self.rest().iter().take_while(|&&byte| is_space(byte)).count();
        self.at += len;
        len > 0
    }

    fn unexpected(&self) -> String {
        match self.rest() {
            [] => "it ends too early".to_owned(),
            _ => format!("unexpected byte at {}", self.at),
        }
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::xml;
    use crate::body::testing::Told;

    fn tell(text: &[u8]) -> Vec<String> {
        let mut told = Told::default();
        let end = xml(text, 4, false, &mut told);
        let mut lines = told.0;
        lines.extend(end.err());
        lines
    }

    fn check(texts: &[&str], wanted: &Expect) {
        let shown = |text: &&str| {
            let told = tell(text.as_bytes()).join(" ; ");
            format!("> {}\n  {}\n", text.escape_debug(), told.escape_debug())
        };
        wanted.assert_eq(&texts.iter().map(shown).collect::<String>());
    }

    #[test]
    fn text_and_attributes() {
        check(
            &[
                "<a>1<b>2</b> <![CDATA[<3&amp;]]><!-- 4 --><?p 5?>6</a>",
                "<?xml version=\"1.0\" encoding='UTF-8'?>\n<!-- x --><a/>\n<?p?>",
                "\u{feff}<a x='1' y = \"&lt;&#60;&#x3C;&apos;\n'\"><b z=''/></a>",
                "<s:e xmlns:s='http://a/' xmlns='b' s:x='c'>\u{4e91}&amp;&gt;&quot;</s:e >",
                "<!DOCTYPE a PUBLIC \"-//W3C//>\" 'x>'><a>1</a>",
                "<?xml version='1.0' encoding='GBK'?><a>1</a>",
            ],
            &expect![[r#"
                > <a>1<b>2</b> <![CDATA[<3&amp;]]><!-- 4 --><?p 5?>6</a>
                  Xml /*=12 <3&amp;6
                > <?xml version=\"1.0\" encoding=\'UTF-8\'?>\n<!-- x --><a/>\n<?p?>
                  Xml /*=
                > \u{feff}<a x=\'1\' y = \"&lt;&#60;&#x3C;&apos;\n\'\"><b z=\'\'/></a>
                  Xml //@*=1 ; Xml //@*=<<<\' \' ; Xml //@*= ; Xml /*=
                > <s:e xmlns:s=\'http://a/\' xmlns=\'b\' s:x=\'c\'>云&amp;&gt;&quot;</s:e >
                  Xml //@*=c ; Xml /*=云&>\"
                > <!DOCTYPE a PUBLIC \"-//W3C//>\" \'x>\'><a>1</a>
                  Xml /*=1
                > <?xml version=\'1.0\' encoding=\'GBK\'?><a>1</a>
                  Xml /*=1
            "#]],
        );
    }

    #[test]
    fn what_is_not_sound_is_told_and_what_came_before_stays() {
        check(
            &[
                "",
                " ",
                "text",
                "<a>",
                "<a>1</b>",
                "<a>1</a>2",
                "<a/><b/>",
                "</a>",
                "<a",
                "<a x>",
                "<a x=1>",
                "<a x='1'y='2'/>",
                "<a x='1' x='2'/>",
                "<a x='<'/>",
                "<a x='1",
                "<1/>",
                "< a/>",
                "<a>1&b;</a>",
                "<a>1&</a>",
                "<a>&#0;</a>",
                "<a>&#xd800;</a>",
                "<a>&#+65;</a>",
                "&lt;<a/>",
                "<a>1]]></a>",
                "<a><!-- -- --></a>",
                "<a><!-- </a>",
                "<a><![CDATA[</a>",
                "<![CDATA[1]]><a/>",
                "<a><?xml 1?></a>",
                " <?xml version='1.0'?><a/>",
                "<a>1\u{1}2</a>",
                "<a><b><c><d><e/></d></c></b></a>",
                "<a><b><c><d><e>1</e></d></c></b></a>",
                "<?xml version='1.0' encoding='utf-7'?><a>+ADw-</a>",
                "<?xml version='1.0' encoding=utf-8?><a/>",
                "<!DOCTYPE a [<!ENTITY b 'x]>'>]><a>1</a>",
                "<!DOCTYPE a [<!ENTITY b '<x/>'>]><a>1&b;2</a>",
                "<!DOCTYPE a [<!-- ]> ' --><?p '?><!ATTLIST a b CDATA 'x'>] ><a>1</a>",
                "<!DOCTYPE a [",
                "<!DOCTYPE a",
                "<a/><!DOCTYPE a>",
                "<!DOCTYPE a><!DOCTYPE a><a/>",
            ],
            &expect![[r#"
                > 
                  XML: it ends too early
                >  
                  XML: it ends too early
                > text
                  XML: unexpected byte at 0
                > <a>
                  Xml /*= ; XML: it ends too early
                > <a>1</b>
                  Xml /*=1 ; XML: unexpected byte at 7
                > <a>1</a>2
                  Xml /*=1 ; XML: unexpected byte at 8
                > <a/><b/>
                  Xml /*= ; XML: unexpected byte at 4
                > </a>
                  XML: unexpected byte at 1
                > <a
                  Xml /*= ; XML: it ends too early
                > <a x>
                  Xml /*= ; XML: unexpected byte at 4
                > <a x=1>
                  Xml /*= ; XML: unexpected byte at 5
                > <a x=\'1\'y=\'2\'/>
                  Xml //@*=1 ; Xml /*= ; XML: unexpected byte at 8
                > <a x=\'1\' x=\'2\'/>
                  Xml //@*=1 ; Xml /*= ; XML: unexpected byte at 10
                > <a x=\'<\'/>
                  Xml /*= ; XML: unexpected byte at 6
                > <a x=\'1
                  Xml /*= ; XML: it ends too early
                > <1/>
                  XML: unexpected byte at 1
                > < a/>
                  XML: unexpected byte at 1
                > <a>1&b;</a>
                  Xml /*=1 ; XML: unexpected byte at 4
                > <a>1&</a>
                  Xml /*=1 ; XML: unexpected byte at 4
                > <a>&#0;</a>
                  Xml /*= ; XML: unexpected byte at 3
                > <a>&#xd800;</a>
                  Xml /*= ; XML: unexpected byte at 3
                > <a>&#+65;</a>
                  Xml /*= ; XML: unexpected byte at 3
                > &lt;<a/>
                  XML: unexpected byte at 0
                > <a>1]]></a>
                  Xml /*=1]]> ; XML: unexpected byte at 3
                > <a><!-- -- --></a>
                  Xml /*= ; XML: unexpected byte at 10
                > <a><!-- </a>
                  Xml /*= ; XML: it ends too early
                > <a><![CDATA[</a>
                  Xml /*= ; XML: it ends too early
                > <![CDATA[1]]><a/>
                  XML: unexpected byte at 1
                > <a><?xml 1?></a>
                  Xml /*= ; XML: unexpected byte at 8
                >  <?xml version=\'1.0\'?><a/>
                  XML: unexpected byte at 6
                > <a>1\u{1}2</a>
                  Xml /*=1 ; XML: unexpected byte at 4
                > <a><b><c><d><e/></d></c></b></a>
                  Xml /*=
                > <a><b><c><d><e>1</e></d></c></b></a>
                  Xml /*= ; XML: it nests deeper than 4
                > <?xml version=\'1.0\' encoding=\'utf-7\'?><a>+ADw-</a>
                  XML: encoding utf-7 is not read
                > <?xml version=\'1.0\' encoding=utf-8?><a/>
                  XML: unexpected byte at 36
                > <!DOCTYPE a [<!ENTITY b \'x]>\'>]><a>1</a>
                  Xml /*=1 ; XML: a document type with declarations of its own
                > <!DOCTYPE a [<!ENTITY b \'<x/>\'>]><a>1&b;2</a>
                  Xml /*=1 ; XML: unexpected byte at 37
                > <!DOCTYPE a [<!-- ]> \' --><?p \'?><!ATTLIST a b CDATA \'x\'>] ><a>1</a>
                  Xml /*=1 ; XML: a document type with declarations of its own
                > <!DOCTYPE a [
                  XML: it ends too early
                > <!DOCTYPE a
                  XML: it ends too early
                > <a/><!DOCTYPE a>
                  Xml /*= ; XML: unexpected byte at 4
                > <!DOCTYPE a><!DOCTYPE a><a/>
                  XML: unexpected byte at 13
            "#]],
        );
        assert_eq!(tell(b"<a>1\xff2</a>").join(" ; "), "Xml /*=1 ; XML: unexpected byte at 4");
        let many: String = (0..300).map(|at| format!(" a{at}=''")).collect();
        let told = tell(format!("<a{many}/>").as_bytes());
        assert_eq!(
            told.last().map(String::as_str),
            Some("XML: an element has more than 256 attributes")
        );
    }

    #[test]
    fn what_a_cut_leaves_is_told_as_far_as_it_goes_and_is_no_mistake() {
        const WHOLE: &str = "<?xml version='1.0' encoding='utf-8'?><!DOCTYPE a SYSTEM 'x'><!-- c --><a b='1&amp;2'>\u{4e91}\
            <![CDATA[3]]>&#x34;<?p 5?><c/></a>";
        for len in 0..WHOLE.len() {
            let mut told = Told::default();
            assert_eq!(xml(&WHOLE.as_bytes()[..len], 4, true, &mut told), Ok(()), "{len}");
        }
        let check = |text: &str, wanted: &str| {
            let mut told = Told::default();
            let end = xml(text.as_bytes(), 4, true, &mut told);
            told.0.extend(end.err());
            assert_eq!(told.0.join("; "), wanted, "{text}");
        };
        check("<a>1 union sel", "Xml /*=1 union sel");
        check("<a><![CDATA[1 uni", "Xml /*=1 uni");
        check("<a b='1 uni", "Xml //@*=1 uni; Xml /*=");
        check("<a></b>0123456789abcdef", "Xml /*=; XML: unexpected byte at 6");
        check(
            "<!DOCTYPE a [<!ENTITY b 'x'>]><a>1",
            "Xml /*=1; XML: a document type with declarations of its own",
        );
    }

    #[test]
    fn told_bytes_grow_as_the_document_does() {
        for piece in [
            "<a>",
            "<a/>",
            "<a b='&amp;'/>",
            "&amp;",
            "<!--",
            "<![CDATA[",
            "<!DOCTYPE a [",
            "<a b='",
            "</a>",
        ] {
            let told = |count: usize| -> usize {
                let text = format!("<r>{}", piece.repeat(count));
                tell(text.as_bytes()).iter().map(String::len).sum()
            };
            let (one, two) = (told(1000), told(2000));
            assert!(two <= one * 2 + 100, "{one} and then {two}: {piece}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(
            words in proptest::collection::vec(proptest::sample::select(vec![
                "<", ">", "/", "</", "/>", "a", " ", "=", "'", "\"", "&", "&amp;", "&#", ";", "x3c", "<!--", "-->",
                "<![CDATA[", "]]>", "<?", "?>", "<?xml ", "encoding", "<!DOCTYPE", "[", "]", "\u{4e91}", "\0",
            ]), 0..40),
            bytes in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            tell(words.concat().as_bytes());
            tell(&[words.concat().as_bytes(), &bytes].concat());
        }
    }
}
