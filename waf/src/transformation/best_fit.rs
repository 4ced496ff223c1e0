//! US-ASCII (code page 20127): which character of it stands for one that it does not have, as Windows converts and as
//! ModSecurity's `SecUnicodeMapFile` with that code page. Full-width forms are not here: `narrow` covers them all.

use std::sync::LazyLock;

const GROUPS: &[(u8, &str)] = &[
    (b' ', "\u{A0}\u{2000}\u{2001}\u{2002}\u{2003}\u{2004}\u{2005}\u{2006}"),
    (b'!', "¡"),
    (b'"', "\u{2BA}\u{30E}\u{201C}\u{201D}\u{201E}"),
    (b'$', "¤"),
    (b'\'', "\u{2B9}\u{2BC}\u{2C8}\u{2018}\u{2019}\u{2032}"),
    (b',', "¸\u{201A}"),
    (b'-', "\u{AD}\u{2010}\u{2011}\u{2013}\u{2014}"),
    (b'.', "·\u{2022}\u{2026}"),
    (b'1', "¹"),
    (b'2', "²"),
    (b'3', "³"),
    (b'<', "«‹"),
    (b'>', "»›"),
    (b'A', "ÀÁÂÃÄÅÆĀĂĄǍǞ"),
    (b'C', "©ÇĆĈĊČ"),
    (b'D', "ÐĎĐƉ"),
    (b'E', "ÈÉÊËĒĔĖĘĚ"),
    (b'F', "Ƒ"),
    (b'G', "ĜĞĠĢǤǦ"),
    (b'H', "ĤĦ"),
    (b'I', "ÌÍÎÏĨĪĬĮİƗǏ"),
    (b'J', "Ĵ"),
    (b'K', "ĶǨ"),
    (b'L', "ĹĻĽŁ"),
    (b'N', "ÑŃŅŇ"),
    (b'O', "ÒÓÔÕÖØŌŎŐŒƟƠǑǪǬ"),
    (b'R', "®ŔŖŘ"),
    (b'S', "ŚŜŞŠ"),
    (b'T', "ŢŤŦƮ™"),
    (b'U', "ÙÚÛÜŨŪŬŮŰŲƯǓǕǗǙǛ"),
    (b'W', "Ŵ"),
    (b'Y', "¥ÝŶŸ"),
    (b'Z', "ŹŻŽ"),
    (b'^', "\u{2C4}\u{2C6}\u{302}"),
    (b'_', "\u{2CD}\u{331}\u{332}"),
    (b'`', "\u{2CB}\u{300}\u{2035}"),
    (b'a', "ªàáâãäåæāăąǎǟ"),
    (b'b', "ƀ"),
    (b'c', "¢çćĉċč"),
    (b'd', "ďđ"),
    (b'e', "èéêëēĕėęě"),
    (b'f', "ƒ"),
    (b'g', "ĝğġģǥǧɡ"),
    (b'h', "ĥħ"),
    (b'i', "ìíîïĩīĭįıǐ"),
    (b'j', "ĵǰ"),
    (b'k', "ķǩ"),
    (b'l', "ĺļľłƚ"),
    (b'n', "ñńņň"),
    (b'o', "ºòóôõöøōŏőœơǒǫǭ"),
    (b'r', "ŕŗř"),
    (b's', "śŝşš"),
    (b't', "ţťŧƫ"),
    (b'u', "ùúûüũūŭůűųưǔǖǘǚǜ"),
    (b'w', "ŵ"),
    (b'y', "ýÿŷ"),
    (b'z', "żžƶ"),
    (b'|', "¦"),
    (b'~', "\u{2DC}\u{303}"),
];

static BY_CODE: LazyLock<Vec<(u32, u8)>> = LazyLock::new(|| {
    let each = |(byte, group): &(u8, &'static str)| {
        let byte = *byte;
        group.chars().map(move |it| (u32::from(it), byte))
    };
    let mut table: Vec<_> = GROUPS.iter().flat_map(each).collect();
    table.sort_unstable();
    table
});

/// The character of US-ASCII that stands for another.
pub(super) fn best_fit(code: u16) -> Option<u8> {
    let at = BY_CODE.binary_search_by_key(&u32::from(code), |row| row.0).ok()?;
    Some(BY_CODE[at].1)
}
